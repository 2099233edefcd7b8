// What the server does to an object's metadata, whatever its kind: upstream's BeforeCreate, BeforeUpdate, BeforeDelete.
#pragma once

#include <cstdint>
#include <string_view>

#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/objects.h"

namespace proa::kube::api {

// The namespace and name of `object` against those of the request; sets what is missing.
Answer<> check_address(const Context& context, Operation operation, Value& object);

// A new object: name from generateName, uid, creation time. 500 for one with a resource version.
Answer<> begin_metadata(Context& context, Value& object, int64_t now);

// An object that replaces `old_object`: keeps what clients cannot change. 409 when it is of another version or uid.
Answer<> continue_metadata(const Context& context, Value& object, const Value& old_object);

// Whether anything but metadata and status differs.
bool differs_in_content(const Value& a, const Value& b);
// Whether they are the same but for the times in managedFields; `object` then gets those of `old_object`.
bool settle_unchanged(Arena& arena, Value& object, const Value& old_object);

// The conflicts of preconditions; null if they hold.
Answer<> check_preconditions(const Context& context, const DeleteOptions& options, const Value& object);
// metadata.finalizers as the way of deletion wants them.
Value finalizers_for(Arena& arena, const Value& object, Propagation propagation, bool orphans_by_default);
// Marks an object as being deleted.
void begin_deletion(Arena& arena, Value& object, int64_t now, int64_t grace_seconds);

}  // namespace proa::kube::api
