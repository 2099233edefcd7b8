#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kube/object/json.h"
#include "kube/validation/validate.h"

namespace proa::kube {
namespace {

void check_node(NodeView node, const Spot& spot);

// A number as upstream prints it.
std::string plain(double number) { return write_json(Value::real(number)); }

void check_bounds(NodeView node, const Spot& spot) {
  const FacetRecord* facets = node.facets();
  if (facets == nullptr || !spot.value().is_number()) return;
  if (spot.value().as_double() < facets->minimum)
    spot.invalid(cat("must be greater than or equal to ", plain(facets->minimum)));
  if (spot.value().as_double() > facets->maximum)
    spot.invalid(cat("must be less than or equal to ", plain(facets->maximum)));
}

void check_enumeration(NodeView node, const Spot& spot) {
  const std::span<const TextId> allowed = node.enumeration();
  if (allowed.empty() || spot.text().empty()) return;
  std::vector<std::string_view> names;
  for (const TextId id : allowed) {
    std::string_view json = node.text(id);
    json = json.substr(1, json.size() - 2);
    if (json == spot.text()) return;
    if (!json.empty()) names.push_back(json);
  }
  spot.unsupported(std::move(names));
}

void check_field(FieldView field, const Spot& spot) {
  const NodeView node = field.node();
  const bool text = node.form() == Form::kString && spot.text().empty();
  const bool pointer = field.has(FieldRecord::kPointer) && !spot.present();
  // Lists may be empty for all that OpenAPI says.
  if (field.has(FieldRecord::kRequired) && node.form() != Form::kList && (text || pointer)) {
    spot.required();
    return;
  }
  if (spot.present()) check_node(node, spot);
}

void check_fields(TypeView type, const Spot& object) {
  for (size_t i = 0; i < type.size(); ++i) {
    const FieldView field = type.field(i);
    if (field.has(FieldRecord::kInline))
      check_fields(field.node().type(), object);
    else if (field.name() != "status" && field.name() != "metadata")
      check_field(field, object[field.name()]);
  }
}

// Keys of a keyed list are unique; so are the values of a set.
void check_unique(NodeView node, const Spot& list) {
  if (!node.has(NodeRecord::kSet)) return;
  const std::span<Value> items = list.value().items();
  for (size_t i = 0; i < items.size(); ++i)
    if (std::any_of(items.begin(), items.begin() + static_cast<ptrdiff_t>(i),
                    [&](const Value& other) { return equal(other, items[i]); }))
      list.item(i).duplicate();
}

void check_node(NodeView node, const Spot& spot) {
  switch (node.form()) {
    case Form::kStruct: check_fields(node.type(), spot); return;
    case Form::kList:
      for (size_t i = 0; i < spot.size(); ++i) check_node(node.element(), spot.item(i));
      check_unique(node, spot);
      return;
    case Form::kMap:
      for (const Member& member : spot.value().members()) check_node(node.element(), spot.key(member.key));
      return;
    case Form::kString: check_enumeration(node, spot); return;
    default: check_bounds(node, spot);
  }
}

}  // namespace

void validate_structure(TypeView type, const Spot& object) { check_fields(type, object); }

}  // namespace proa::kube
