// Validation of custom objects by their schema, with the messages of upstream's OpenAPI validator.
#include "kube/validation/validate.h"

#include <re2/re2.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "kube/custom/custom.h"
#include "kube/custom/invariants.h"
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

// `before` is what was there; null if nothing was. What has not changed need not fit (ratcheting, KEP-4008).
void check(NodeView node, const Spot& spot, const Value* before = nullptr);

bool matches(NodeView node, const Spot& spot) {
  Checks checks;
  check(node, checks.root(spot.value()));
  return checks.errors().empty();
}

// The whole that is judged has no name.
std::string body_path(const Spot& spot) {
  std::string path = spot.path();
  return path == "<nil>" ? std::string() : path;
}

void complain(const Spot& spot, const auto&... what) { spot.invalid(cat(body_path(spot), " in body ", what...)); }

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

// The item of the old list that this one was; null in lists whose items have no identity.
const Value* item_before(NodeView list, const Value* before, const Value& item) {
  if (before == nullptr || !list.has(NodeRecord::kKeyed)) return nullptr;
  const std::string id = item_identity(list, item);
  for (const Value& old : before->items())
    if (item_identity(list, old) == id) return &old;
  return nullptr;
}

void check_list(NodeView node, const Spot& spot, const Value* before) {
  for (size_t i = 0; i < spot.size(); ++i) {
    const Spot item = spot.item(i);
    check(node.element(), item, item_before(node, before, item.value()));
  }
}

const Value* member_before(const Value* before, std::string_view key) {
  return before == nullptr ? nullptr : before->find(key);
}

void check_object(NodeView node, const Spot& spot, const Value* before) {
  const TypeView type = node.type();
  for (size_t i = 0; i < type.size(); ++i) {
    const FieldView field = type.field(i);
    if (field.node().has(NodeRecord::kBase)) continue;
    const Value* found = spot.value().find(field.name());
    if (found != nullptr)
      check(field.node(), spot[field.name()], member_before(before, field.name()));
    else if (field.has(FieldRecord::kRequired))
      spot[field.name()].required();
  }
}

void check(NodeView node, const Spot& spot, const Value* before) {
  const Value& value = spot.value();
  if (before != nullptr && equal(*before, value)) return;
  if (value.is_null() && node.has(NodeRecord::kNullable)) return;
  if (!has_type(node, value)) {
    const std::string_view wanted = wanted_type(node);
    spot.add(FieldError::Type::kTypeInvalid, cat("\"", type_name(value), "\""),
             cat(body_path(spot), " in body must be of type ", wanted.empty() ? "integer,string" : wanted, ": \"",
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
    check_object(node, spot, before);
  else if (node.form() == Form::kList)
    check_list(node, spot, before);
  else if (node.form() == Form::kMap)
    for (const Member& member : value.members())
      check(node.element(), spot[member.key], member_before(before, member.key));
}

}  // namespace

std::vector<FieldError> validate_custom_part(NodeView node, const Value& value, std::string_view place,
                                             const Value* before) {
  Checks checks;
  check(node, checks.root(value), before);
  return placed(place, checks.take());
}

std::vector<FieldError> validate_custom(const ResourceView& resource, const Value& object, const Value& old_object,
                                        std::string_view subresource) {
  Checks checks;
  const Spot root = checks.root(object);
  const bool creates = old_object.is_null();
  validate_metadata(root["metadata"], resource.namespaced(), dns_subdomain_faults, false);
  if (!creates) validate_metadata_update(root["metadata"], old_object.get("metadata"));
  if (subresource == "status") {
    const FieldView status = resource.type().find("status");
    if (const Value* given = object.find("status"); given != nullptr && status)
      root.add(validate_custom_part(status.node(), *given, "status", member_before(&old_object, "status")));
    check_scale_status(resource, root);
  } else {
    check(resource.node(), root, creates ? nullptr : &old_object);
    check_scale_spec(resource, root);
    check_scale_status(resource, root);
    check_embedded(resource.node(), root);
  }
  Checks known;
  if (!creates) check_unique_items(resource.node(), known.root(old_object));
  if (known.errors().empty()) check_unique_items(resource.node(), root);
  return checks.take();
}

}  // namespace proa::kube
