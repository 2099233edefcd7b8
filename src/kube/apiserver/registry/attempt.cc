#include "kube/apiserver/registry/attempt.h"

#include <iterator>

#include "kube/apiserver/registry/decode.h"
#include "kube/apiserver/registry/strategy.h"

namespace proa::kube::api {

void Objects::Attempt::take(store::Txn together) {
  std::ranges::move(together.compares, std::back_inserter(txn.compares));
  std::ranges::move(together.success, std::back_inserter(txn.success));
}

Answer<Value> empty_object(Arena& arena, const Resource& resource) {
  Value bare = Value::object(arena, 2);
  bare.add(arena, "apiVersion", Value::text(arena, resource.api_version()));
  bare.add(arena, "kind", Value::view(resource.kind()));
  auto out = conform_as(arena, body_kind(resource, ""), bare, false);
  if (!out) return refuse(internal_error(out.error().message()));
  return *out;
}

void set_version(Arena& arena, Value& object, store::Revision revision) {
  Value& metadata = object.child(arena, "metadata");
  const std::string_view version = arena.copy(cat(revision));
  if (Value* known = metadata.find("resourceVersion")) {
    *known = Value::view(version);
    return;
  }
  // Where its form has it: behind the uid.
  const std::span<Member> members = metadata.members();
  Value out = Value::object(arena, members.size() + 1);
  for (const Member& member : members) {
    out.add(arena, member.key, member.value);
    if (member.key == "uid") out.add(arena, "resourceVersion", Value::view(version));
  }
  metadata = out;
}

bool goes_now(const Resource& resource, const Value& object) {
  const Value metadata = object.get("metadata");
  if (metadata.get("deletionTimestamp").is_null() || metadata.get("finalizers").size() > 0) return false;
  if (metadata.get("deletionGracePeriodSeconds").as_int() > 0) return false;
  return resource.strategy->keeps == nullptr || !resource.strategy->keeps(object);
}

}  // namespace proa::kube::api
