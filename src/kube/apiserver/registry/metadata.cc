#include "kube/apiserver/registry/metadata.h"

#include <algorithm>

#include "base/ids.h"
#include "kube/apiserver/registry/strategy.h"
#include "kube/codec/time.h"
#include "kube/validation/validate.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kNameLetters = "bcdfghjklmnpqrstvwxz2456789";
constexpr size_t kLongestGenerated = 63, kSuffix = 5;

std::string generated_name(std::string_view base) {
  std::string out(base.substr(0, kLongestGenerated - kSuffix));
  uint64_t random = random_number().value_or(0);
  for (size_t i = 0; i < kSuffix; ++i) {
    out += kNameLetters[random % kNameLetters.size()];
    random /= kNameLetters.size();
  }
  return out;
}

void keep(Arena& arena, Value& metadata, const Value& old_metadata, std::string_view field) {
  if (const Value* old = old_metadata.find(field); old != nullptr && !old->is_null())
    metadata.set(arena, field, *old);
  else
    metadata.erase(field);
}

void keep_if_missing(Arena& arena, Value& metadata, const Value& old_metadata, std::string_view field) {
  const Value* given = metadata.find(field);
  if (given == nullptr || given->is_null() || (given->is_string() && given->as_string().empty()))
    keep(arena, metadata, old_metadata, field);
}

// The metadata as an object of its own, whatever it is shared with.
Value& own_metadata(Arena& arena, Value& object) {
  Value& metadata = object.child(arena, "metadata");
  metadata = Value::object_of(arena, metadata.members());
  return metadata;
}

Value without_times(Arena& arena, const Value& managed_fields) {
  Value out = Value::array(arena, managed_fields.size());
  for (const Value& entry : managed_fields.items()) {
    Value bare = Value::object_of(arena, entry.members());
    bare.erase("time");
    out.push(arena, bare);
  }
  return out;
}

}  // namespace

Answer<> check_address(const Context& context, Operation operation, Value& object) {
  Value& metadata = own_metadata(context.arena, object);
  const std::string_view ns = metadata.string("namespace");
  if (!context.resource->namespaced()) {
    if (!ns.empty() && operation == Operation::kCreate) metadata.erase("namespace");
  } else if (ns.empty()) {
    metadata.set(context.arena, "namespace", Value::view(context.ns));
  } else if (ns != context.ns) {
    if (operation == Operation::kCreate)
      return refuse(
          bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    return refuse(bad_request(
        cat("the namespace of the object (", ns, ") does not match the namespace on the URL (", context.ns, ")")));
  }
  if (context.name.empty()) return {};
  const std::string_view name = metadata.string("name");
  if (name.empty())
    return refuse(bad_request(
        cat("the name of the object (", context.name, " based on URL) was undeterminable: name must be provided")));
  if (name != context.name)
    return refuse(bad_request(
        cat("the name of the object (", name, ") does not match the name on the URL (", context.name, ")")));
  return {};
}

Answer<> begin_metadata(Context& context, Value& object, int64_t now) {
  Arena& arena = context.arena;
  Value& metadata = own_metadata(arena, object);
  if (const std::string_view version = metadata.string("resourceVersion"); !version.empty() && version != "0") {
    ApiError error;
    error.code = 500;
    error.message = "resourceVersion should not be set on objects to be created";
    return refuse(std::move(error));
  }
  for (const std::string_view field :
       {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation", "resourceVersion"})
    metadata.erase(field);
  if (metadata.string("name").empty() && !metadata.string("generateName").empty())
    metadata.set(arena, "name", Value::text(arena, generated_name(metadata.string("generateName"))));
  const auto uid = random_uuid();
  if (!uid) return refuse(internal_error(uid.error().message()));
  metadata.set(arena, "uid", Value::text(arena, *uid));
  metadata.set(arena, "creationTimestamp", Value::text(arena, format_time(now)));
  return {};
}

Answer<> continue_metadata(const Context& context, Value& object, const Value& old_object) {
  Arena& arena = context.arena;
  Value& metadata = own_metadata(arena, object);
  const Value old = old_object.get("metadata");
  const std::string_view version = metadata.string("resourceVersion");
  const std::string_view name = old.string("name");
  if (version.empty() || version == "0") {
    if (!context.resource->strategy->unconditional_update)
      return refuse(
          invalid(context.resource->group(), context.resource->view.plural(), name,
                  {{FieldError::Type::kInvalid, "metadata.resourceVersion", "0", "must be specified for an update"}}));
  } else if (version != old.string("resourceVersion")) {
    return refuse(conflict(context.resource->qualified, name));
  }
  if (const std::string_view uid = metadata.string("uid"); !uid.empty() && uid != old.string("uid"))
    return refuse(
        conflict(context.resource->qualified, name,
                 cat("Precondition failed: UID in precondition: ", uid, ", UID in object meta: ", old.string("uid"))));
  keep(arena, metadata, old, "resourceVersion");
  keep(arena, metadata, old, "generation");
  keep(arena, metadata, old, "selfLink");
  for (const std::string_view field :
       {"uid", "creationTimestamp", "generateName", "deletionTimestamp", "deletionGracePeriodSeconds"})
    keep_if_missing(arena, metadata, old, field);
  return {};
}

bool differs_in_content(const Value& a, const Value& b) {
  const auto counts = [](std::string_view key) { return key != "metadata" && key != "status"; };
  size_t left = 0, right = 0;
  for (const Member& member : a.members()) {
    if (!counts(member.key)) continue;
    ++left;
    const Value* other = b.find(member.key);
    if (other == nullptr || !equal(member.value, *other)) return true;
  }
  for (const Member& member : b.members()) right += counts(member.key) ? 1 : 0;
  return left != right;
}

bool settle_unchanged(Arena& arena, Value& object, const Value& old_object) {
  const Value old_owners = old_object.get({"metadata", "managedFields"});
  const Value owners = object.get({"metadata", "managedFields"});
  if (!equal(without_times(arena, owners), without_times(arena, old_owners))) return false;
  Value same = Value::object_of(arena, object.members());
  Value& metadata = own_metadata(arena, same);
  keep(arena, metadata, old_object.get("metadata"), "managedFields");
  if (!equal(same, old_object)) return false;
  object = same;
  return true;
}

Answer<> check_preconditions(const Context& context, const DeleteOptions& options, const Value& object) {
  const Value metadata = object.get("metadata");
  const std::string_view group = context.resource->group();
  const std::string kind = cat(context.resource->kind(), group.empty() ? "" : ".", group);
  const auto failed = [&](std::string_view what, std::string_view wanted, std::string_view is, std::string_view why) {
    return refuse(conflict(kind, metadata.string("name"),
                           cat("the ", what, " in the precondition (", wanted, ") does not match the ", what,
                               " in record (", is, "). The object might have been ", why)));
  };
  if (options.uid && *options.uid != metadata.string("uid"))
    return failed("UID", *options.uid, metadata.string("uid"), "deleted and then recreated");
  if (options.resource_version && *options.resource_version != metadata.string("resourceVersion"))
    return failed("ResourceVersion", *options.resource_version, metadata.string("resourceVersion"), "modified");
  return {};
}

Value finalizers_for(Arena& arena, const Value& object, Propagation propagation, bool orphans_by_default) {
  const Value old = object.get({"metadata", "finalizers"});
  if (propagation == Propagation::kDefault) {
    const bool decided = std::ranges::any_of(old.items(), [](const Value& known) {
      return known.as_string() == "orphan" || known.as_string() == "foregroundDeletion";
    });
    if (decided || !orphans_by_default) return old;
    propagation = Propagation::kOrphan;
  }
  Value out = Value::array(arena, old.size() + 1);
  for (const Value& known : old.items())
    if (known.as_string() != "orphan" && known.as_string() != "foregroundDeletion") out.push(arena, known);
  if (propagation == Propagation::kOrphan) out.push(arena, Value::view("orphan"));
  if (propagation == Propagation::kForeground) out.push(arena, Value::view("foregroundDeletion"));
  return out;
}

void begin_deletion(Arena& arena, Value& object, int64_t now, int64_t grace_seconds) {
  Value& metadata = own_metadata(arena, object);
  metadata.set(arena, "deletionTimestamp", Value::text(arena, format_time(now + grace_seconds)));
  metadata.set(arena, "deletionGracePeriodSeconds", Value::integer(grace_seconds));
  if (const int64_t generation = metadata.get("generation").as_int(); generation > 0)
    metadata.set(arena, "generation", Value::integer(generation + 1));
}

}  // namespace proa::kube::api
