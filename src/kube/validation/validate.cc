#include "kube/validation/validate.h"

#include <algorithm>

#include "base/error.h"
#include "kube/validation/rules.h"

namespace proa::kube {
namespace {

const KindRules* rules_of(const ResourceView& resource) {
  const std::string_view group = resource.group_version().group();
  for (const std::span<const KindRules> rules :
       {core_rules(), workload_rules(), other_rules(), definition_rules(), policy_rules()})
    for (const KindRules& found : rules)
      if (found.kind == resource.kind() && found.group == group) return &found;
  return nullptr;
}

// Objects that are answered and never stored have no name.
bool has_name(const ResourceView& resource) { return resource.verbs() != kCreate; }

// What the schema says may never change.
void check_fixed(TypeView type, const Spot& object, const Value& old_object) {
  for (size_t i = 0; i < type.size(); ++i) {
    const FieldView field = type.field(i);
    const std::string_view name = field.name();
    if (name == "status" || name == "metadata" || field.has(FieldRecord::kInline)) continue;
    if (field.has(FieldRecord::kFixed))
      check_immutable(object[name], old_object.get(name));
    else if (name == "spec" && field.node().form() == Form::kStruct)
      check_fixed(field.node().type(), object[name], old_object.get(name));
  }
}

void check_object(const ResourceView& resource, const Spot& object, const Value& old_object) {
  const KindRules* rules = rules_of(resource);
  if (has_name(resource))
    validate_metadata(object["metadata"], resource.namespaced(),
                      rules == nullptr ? dns_subdomain_faults : rules->name_faults,
                      resource.group_version().group() != "apiextensions.k8s.io");
  if (!old_object.is_null()) validate_metadata_update(object["metadata"], old_object.get("metadata"));
}

// An error found both by the schema and by a kind's rule is told once, the rule's.
std::vector<FieldError> united(Checks& structure, Checks& rules) {
  std::vector<FieldError> out = rules.take();
  for (FieldError& error : structure.take()) {
    const bool known = std::ranges::any_of(out, [&](const FieldError& other) { return other.field == error.field; });
    if (!known) out.push_back(std::move(error));
  }
  return out;
}

}  // namespace

ApiError invalid(std::string_view group, std::string_view kind, std::string_view name,
                 const std::vector<FieldError>& errors) {
  ApiError out;
  out.code = 422;
  out.reason = "Invalid";
  out.group = group;
  out.kind = kind;
  out.name = name;
  out.message = cat(kind, group.empty() ? "" : ".", group, " ", quoted(name), " is invalid: ", aggregate(errors));
  for (const FieldError& error : errors) out.causes.push_back({std::string(error.reason()), error.body(), error.field});
  return out;
}

std::vector<FieldError> validate_create(const ResourceView& resource, const Value& object) {
  Checks structure, checks;
  check_object(resource, checks.root(object), Value());
  validate_structure(resource.type(), structure.root(object));
  if (const KindRules* rules = rules_of(resource)) rules->check(checks.root(object), Value());
  return united(structure, checks);
}

std::vector<FieldError> validate_update(const ResourceView& resource, const Value& object, const Value& old_object,
                                        std::string_view subresource) {
  Checks structure, checks;
  check_object(resource, checks.root(object), old_object);
  if (subresource == "status") return checks.take();
  validate_structure(resource.type(), structure.root(object));
  check_fixed(resource.type(), checks.root(object), old_object);
  const bool pod = resource.kind() == "Pod" && resource.group_version().group().empty();
  if (pod && !subresource.empty())
    check_pod_subresource(checks.root(object), old_object, subresource);
  else if (const KindRules* rules = rules_of(resource))
    rules->check(checks.root(object), old_object);
  return united(structure, checks);
}

}  // namespace proa::kube
