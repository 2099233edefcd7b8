#include "kube/custom/definition.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "kube/codec/time.h"
#include "kube/validation/names.h"

namespace proa::kube {
namespace {

// Whether a name may be had: it is its own already, or nobody's.
std::string name_fault(std::string_view wanted, std::string_view accepted,
                       const std::set<std::string, std::less<>>& in_use) {
  if (wanted == accepted || !in_use.contains(wanted)) return {};
  return cat(quoted(wanted), " is already in use");
}

struct Verdict {
  std::string_view reason = "NoConflicts";
  std::string message = "no conflicts found";
  bool good = true;
  void blame(std::string_view why, std::string fault) { reason = why, message = std::move(fault), good = false; }
};

// Each name that can be had is accepted, whatever becomes of the others.
Value accept_names(Arena& arena, const Value& wanted, const Value& accepted, const NamesInUse& in_use,
                   Verdict& verdict) {
  Value out = clone_shape(arena, accepted.is_object() ? accepted : Value::object(arena));
  const auto take = [&](std::string_view field, std::string_view reason, const auto& used) {
    std::string fault = name_fault(wanted.string(field), accepted.string(field), used);
    if (fault.empty())
      out.set(arena, field, wanted.get(field));
    else
      verdict.blame(reason, std::move(fault));
  };
  take("plural", "PluralConflict", in_use.resources);
  take("singular", "SingularConflict", in_use.resources);
  std::string faults;
  const Value mine = accepted.get("shortNames");
  for (const Value& name : wanted.get("shortNames").items()) {
    const bool own = std::ranges::any_of(mine.items(), [&](const Value& one) { return equal(one, name); });
    if (const std::string fault = name_fault(name.as_string(), own ? name.as_string() : "", in_use.resources);
        !fault.empty())
      faults += cat(faults.empty() ? "" : ", ", fault);
  }
  if (!faults.empty())
    verdict.blame("ShortNamesConflict", faults.find(", ") == std::string::npos ? faults : cat("[", faults, "]"));
  else if (const Value names = wanted.get("shortNames"); names.size() > 0)
    out.set(arena, "shortNames", names);
  else
    out.erase("shortNames");
  take("kind", "KindConflict", in_use.kinds);
  take("listKind", "ListKindConflict", in_use.kinds);
  if (const Value categories = wanted.get("categories"); categories.size() > 0)
    out.set(arena, "categories", categories);
  else
    out.erase("categories");
  return out;
}

// Groups of the project itself want to know who approved of them.
void settle_approval(Arena& arena, Value& definition, int64_t now) {
  const std::string_view group = definition.string({"spec", "group"});
  const bool guarded =
      group == "k8s.io" || group == "kubernetes.io" || group.ends_with(".k8s.io") || group.ends_with(".kubernetes.io");
  if (!guarded) return;
  constexpr std::string_view kType = "KubernetesAPIApprovalPolicyConformant";
  const std::string_view approval = definition.get({"metadata", "annotations"}).string(kApprovedAnnotation);
  if (approval.starts_with("unapproved"))
    set_definition_condition(arena, definition, kType, false, "UnapprovedAnnotation",
                             cat("not approved: ", quoted(approval)), now);
  else if (approval.find("://") != std::string_view::npos)
    set_definition_condition(arena, definition, kType, true, "ApprovedAnnotation", cat("approved in ", approval), now);
  else
    set_definition_condition(arena, definition, kType, false, "MissingAnnotation",
                             "protected groups must have approval annotation \"api-approved.kubernetes.io\", see "
                             "https://github.com/kubernetes/enhancements/pull/1111",
                             now);
}

}  // namespace

void NamesInUse::add(const Value& definition) {
  const Value names = definition.get({"status", "acceptedNames"});
  for (const std::string_view field : {"plural", "singular"})
    if (const std::string_view name = names.string(field); !name.empty()) resources.emplace(name);
  for (const Value& name : names.get("shortNames").items()) resources.emplace(name.as_string());
  for (const std::string_view field : {"kind", "listKind"})
    if (const std::string_view name = names.string(field); !name.empty()) kinds.emplace(name);
}

void NamesInUse::add(const ResourceView& resource) {
  resources.emplace(resource.plural());
  resources.emplace(resource.singular());
  for (const std::string_view name : split(resource.short_names(), ' ')) resources.emplace(name);
  kinds.emplace(resource.kind());
  kinds.insert(resource.list_kind().empty() ? cat(resource.kind(), "List") : std::string(resource.list_kind()));
}

bool definition_is(const Value& definition, std::string_view condition) {
  const Value conditions = definition.get({"status", "conditions"});
  return std::ranges::any_of(conditions.items(), [&](const Value& one) {
    return one.string("type") == condition && one.string("status") == "True";
  });
}

void set_definition_condition(Arena& arena, Value& definition, std::string_view type, bool status,
                              std::string_view reason, std::string_view message, int64_t now) {
  Value& parent = definition.child(arena, "status");
  if (!parent.get("conditions").is_array()) parent.set(arena, "conditions", Value::array(arena));
  Value& conditions = *parent.find("conditions");
  const std::string_view state = status ? "True" : "False";
  Value* found = nullptr;
  for (Value& one : conditions.items())
    if (one.string("type") == type) found = &one;
  const bool same = found != nullptr && found->string("status") == state;
  Value entry = Value::object(arena);
  entry.add(arena, "type", Value::view(type));
  entry.add(arena, "status", Value::view(state));
  entry.add(arena, "lastTransitionTime",
            same ? found->get("lastTransitionTime") : Value::text(arena, format_time(now)));
  entry.add(arena, "reason", Value::text(arena, reason));
  entry.add(arena, "message", Value::text(arena, message));
  if (found != nullptr)
    *found = entry;
  else
    conditions.push(arena, entry);
}

Value settle_definition(Arena& arena, const Value& definition, const NamesInUse& in_use, int64_t now) {
  Value out = clone_shape(arena, definition);
  Value& status = out.child(arena, "status");
  Verdict verdict;
  const Value names = accept_names(arena, out.get({"spec", "names"}), status.get("acceptedNames"), in_use, verdict);
  status.set(arena, "acceptedNames", names);
  const Value before = status.get("storedVersions");
  Value stored = Value::array_of(arena, before.items());
  for (const Value& version : out.get({"spec", "versions"}).items()) {
    const auto same = [&](const Value& one) { return one.as_string() == version.string("name"); };
    if (version.get("storage").as_bool() && std::ranges::none_of(stored.items(), same))
      stored.push(arena, version.get("name"));
  }
  status.set(arena, "storedVersions", stored);
  set_definition_condition(arena, out, "NamesAccepted", verdict.good, verdict.reason, verdict.message, now);
  if (verdict.good)
    set_definition_condition(arena, out, "Established", true, "InitialNamesAccepted",
                             "the initial names have been accepted", now);
  else if (!definition_is(out, "Established"))
    set_definition_condition(arena, out, "Established", false, "NotAccepted", "not all names are accepted", now);
  settle_approval(arena, out, now);
  return out;
}

void begin_definition_end(Arena& arena, Value& definition, int64_t now) {
  Value& metadata = definition.child(arena, "metadata");
  const Value present = metadata.get("finalizers");
  Value finalizers = Value::array_of(arena, present.items());
  const auto is_ours = [](const Value& one) { return one.as_string() == kCleanupFinalizer; };
  if (std::ranges::none_of(finalizers.items(), is_ours)) finalizers.push(arena, Value::view(kCleanupFinalizer));
  metadata.set(arena, "finalizers", finalizers);
  set_definition_condition(arena, definition, "Terminating", true, "InstanceDeletionPending",
                           "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
                           now);
}

}  // namespace proa::kube
