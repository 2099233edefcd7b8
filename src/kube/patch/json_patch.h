// JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386).
#pragma once

#include "base/error.h"
#include "kube/object/value.h"

namespace proa::kube {

// Both give a new document that shares with `object` and `patch` what stays as it is, and change neither.

constexpr size_t kMostPatchOperations = 10'000;

// `patch` is an array of operations, at most that many. The error names the operation: "test operation does not apply:
// /spec/replicas: not equal".
Result<Value> apply_json_patch(Arena& arena, const Value& object, const Value& patch);

Value apply_merge_patch(Arena& arena, const Value& object, const Value& patch);

}  // namespace proa::kube
