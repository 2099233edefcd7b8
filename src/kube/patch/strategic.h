// Strategic merge patch: merges lists of objects by their merge keys, guided by the schema and by directives
// ($patch, $retainKeys, $setElementOrder/x, $deleteFromPrimitiveList/x).
#pragma once

#include "base/error.h"
#include "kube/object/value.h"
#include "kube/schema/table.h"

namespace proa::kube {

// `type` is the object's. Gives a new document that shares with both what stays as it is. Errors are worded as
// upstream's.
Result<Value> apply_strategic_patch(Arena& arena, TypeView type, const Value& object, const Value& patch);

}  // namespace proa::kube
