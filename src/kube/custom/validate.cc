// Validation of custom objects by their schema, with the messages of upstream's OpenAPI validator.
#include "kube/validation/validate.h"

#include <re2/re2.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "kube/custom/custom.h"
#include "kube/object/json.h"

namespace proa::kube {
namespace {

std::string_view type_name(const Value& value) {
  switch (value.type()) {
    case Value::Type::kNull: return "null";
    case Value::Type::kBool: return "boolean";
    case Value::Type::kInt: return "integer";
    case Value::Type::kDouble: return "number";
    case Value::Type::kString: return "string";
    case Value::Type::kArray: return "array";
    case Value::Type::kObject: return "object";
  }
  return {};
}

// What the schema wants; empty if anything goes.
std::string_view wanted_type(NodeView node) {
  switch (node.form()) {
    case Form::kStruct:
    case Form::kMap: return "object";
    case Form::kList: return "array";
    case Form::kString: return "string";
    case Form::kInt32:
    case Form::kInt64: return "integer";
    case Form::kDouble: return "number";
    case Form::kBool: return "boolean";
    default: return {};
  }
}

bool has_type(NodeView node, const Value& value) {
  const std::string_view wanted = wanted_type(node), is = type_name(value);
  if (node.form() == Form::kIntOrString) return is == "integer" || is == "string";
  if (wanted.empty() || wanted == is) return true;
  if (wanted == "number") return value.is_number();
  // 3.0 is an integer.
  return wanted == "integer" && value.is_double() && std::floor(value.as_double()) == value.as_double();
}

size_t code_points(std::string_view text) {
  size_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(utf8::decode(text).length);
  return count;
}

void check(NodeView node, const Spot& spot);

bool matches(NodeView node, const Spot& spot) {
  Checks checks;
  check(node, checks.root(spot.value()));
  return checks.errors().empty();
}

void complain(const Spot& spot, const auto&... what) { spot.invalid(cat(spot.path(), " in body ", what...)); }

void check_number(const FacetRecord& facets, const Spot& spot) {
  const double number = spot.value().as_double();
  const auto text = [](double bound) { return write_json(Value::real(bound)); };
  if ((facets.flags & 1) != 0 ? number <= facets.minimum : number < facets.minimum)
    complain(spot, "should be greater than ", (facets.flags & 1) != 0 ? "" : "or equal to ", text(facets.minimum));
  if ((facets.flags & 2) != 0 ? number >= facets.maximum : number > facets.maximum)
    complain(spot, "should be less than ", (facets.flags & 2) != 0 ? "" : "or equal to ", text(facets.maximum));
  if (facets.multiple_of > 0) {
    const double times = number / facets.multiple_of;
    if (std::abs(times - std::round(times)) > 1e-9)
      complain(spot, "should be a multiple of ", text(facets.multiple_of));
  }
}

void check_text(NodeView node, const FacetRecord& facets, const Spot& spot) {
  const size_t length = code_points(spot.text());
  if (length < facets.min_length) complain(spot, "should be at least ", facets.min_length, " chars long");
  if (length > facets.max_length) spot.too_long(facets.max_length);
  const std::string_view pattern = node.text(facets.pattern);
  if (pattern.empty()) return;
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  const re2::RE2 expression(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!expression.ok() || !re2::RE2::PartialMatch(re2::StringPiece(spot.text().data(), spot.text().size()), expression))
    complain(spot, "should match '", pattern, "'");
}

void check_size(const FacetRecord& facets, const Spot& spot) {
  const size_t size = spot.size();
  if (size < facets.min_length)
    complain(spot, "should have at least ", facets.min_length, spot.value().is_array() ? " items" : " properties");
  if (size > facets.max_length) spot.too_many(facets.max_length);
}

void check_branches(NodeView node, const FacetRecord& facets, const Spot& spot) {
  size_t any = 0, any_valid = 0, one = 0, one_valid = 0;
  for (uint16_t i = 0; i < facets.branch_count; ++i) {
    const BranchRecord& branch = node.table().branches()[facets.first_branch + i];
    const NodeView inner = node.table().node(branch.node);
    switch (branch.kind) {
      case BranchRecord::kAllOf: check(inner, spot); break;
      case BranchRecord::kAnyOf: ++any, any_valid += matches(inner, spot) ? 1 : 0; break;
      case BranchRecord::kOneOf: ++one, one_valid += matches(inner, spot) ? 1 : 0; break;
      default:
        if (matches(inner, spot)) complain(spot, "must not validate the schema (not)");
    }
  }
  if (any > 0 && any_valid == 0) complain(spot, "must validate at least one schema (anyOf)");
  if (one > 0 && one_valid != 1)
    complain(spot, "must validate one and only one schema (oneOf). ",
             one_valid == 0 ? std::string("Found none valid") : cat("Found ", one_valid, " valid alternatives"));
}

void check_enumeration(NodeView node, const Spot& spot) {
  const std::span<const TextId> allowed = node.enumeration();
  if (allowed.empty()) return;
  const std::string own = write_json(spot.value());
  std::string detail = "supported values: ";
  bool first = true;
  for (const TextId id : allowed) {
    const std::string_view json = node.text(id);
    if (json == own) return;
    detail += cat(first ? "" : ", ", json.starts_with('"') ? std::string(json) : cat("\"", json, "\""));
    first = false;
  }
  spot.add(FieldError::Type::kUnsupported, own, detail);
}

// The identity of an item of a set or keyed list.
std::string identity(NodeView list, const Value& item) {
  if (!list.has(NodeRecord::kKeyed)) return write_json(item);
  std::string out = "{";
  std::string_view keys = list.keys();
  while (!keys.empty()) {
    const size_t comma = std::min(keys.find(','), keys.size());
    out +=
        cat(out.size() > 1 ? "," : "", "\"", keys.substr(0, comma), "\":", write_json(item.get(keys.substr(0, comma))));
    keys.remove_prefix(std::min(comma + 1, keys.size()));
  }
  return out + "}";
}

void check_list(NodeView node, const Spot& spot) {
  const bool unique = node.has(NodeRecord::kSet) || node.has(NodeRecord::kKeyed);
  std::vector<std::string> seen;
  for (size_t i = 0; i < spot.size(); ++i) {
    check(node.element(), spot.item(i));
    if (!unique) continue;
    std::string id = identity(node, spot.item(i).value());
    if (std::ranges::find(seen, id) != seen.end()) spot.item(i).add(FieldError::Type::kDuplicate, id, {});
    seen.push_back(std::move(id));
  }
}

void check_object(NodeView node, const Spot& spot) {
  const TypeView type = node.type();
  for (size_t i = 0; i < type.size(); ++i) {
    const FieldView field = type.field(i);
    if (field.node().has(NodeRecord::kBase)) continue;
    const Value* found = spot.value().find(field.name());
    if (found != nullptr)
      check(field.node(), spot[field.name()]);
    else if (field.has(FieldRecord::kRequired))
      spot[field.name()].required();
  }
}

void check(NodeView node, const Spot& spot) {
  const Value& value = spot.value();
  if (value.is_null() && node.has(NodeRecord::kNullable)) return;
  if (!has_type(node, value)) {
    const std::string_view wanted = wanted_type(node);
    spot.add(FieldError::Type::kTypeInvalid, cat("\"", type_name(value), "\""),
             cat(spot.path(), " in body must be of type ", wanted.empty() ? "integer,string" : wanted, ": \"",
                 type_name(value), "\""));
    return;
  }
  check_enumeration(node, spot);
  if (const FacetRecord* facets = node.facets()) {
    if (value.is_number()) check_number(*facets, spot);
    if (value.is_string()) check_text(node, *facets, spot);
    if (value.is_array() || value.is_object()) check_size(*facets, spot);
    if (facets->branch_count > 0) check_branches(node, *facets, spot);
  }
  if (node.form() == Form::kStruct && value.is_object())
    check_object(node, spot);
  else if (node.form() == Form::kList)
    check_list(node, spot);
  else if (node.form() == Form::kMap)
    for (const Member& member : value.members()) check(node.element(), spot[member.key]);
}

}  // namespace

void validate_custom_value(NodeView node, const Spot& spot) { check(node, spot); }

std::vector<FieldError> validate_custom(const ResourceView& resource, const Value& object, const Value& old_object) {
  Checks checks;
  const Spot root = checks.root(object);
  validate_metadata(root["metadata"], resource.namespaced(), dns_subdomain_faults, false);
  if (!old_object.is_null()) validate_metadata_update(root["metadata"], old_object.get("metadata"));
  check(resource.node(), root);
  return checks.take();
}

}  // namespace proa::kube
