// metadata.managedFields: who owns which fields. Server-side apply, and keeping the record with every other write.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/object/value.h"
#include "kube/schema/table.h"

namespace proa::kube {

// Who writes. `now` is in seconds since 1970.
struct FieldWriter {
  std::string_view manager;
  std::string_view api_version;
  std::string_view subresource;  // "status", or empty
  int64_t now = 0;
};

struct FieldConflict {
  std::string manager;  // as text: "\"kubectl-edit\" using v1"
  std::string path;     // ".spec.replicas"
};

struct ApplyResult {
  Value object;  // to be conformed and validated; its managedFields are set. Undefined if there are conflicts.
  std::vector<FieldConflict> conflicts;
  bool changed = false;  // false: neither object nor managedFields differ from `live`
};

// Server-side apply of `config` (as sent, without managedFields) to `live`. When nothing exists, `live` is an empty
// object of the type, conformed without defaults. With `force`, conflicting fields change their owner.
Result<ApplyResult> apply_fields(Arena& arena, TypeView type, const Value& live, const Value& config,
                                 const FieldWriter& writer, bool force);

// "Apply failed with 1 conflict: conflict with "x": .spec.replicas".
std::string conflict_message(const std::vector<FieldConflict>& conflicts);

// Sets the managedFields of `object`, which is about to replace `live` by any other write: what it changes belongs to
// the writer. `live` as above when nothing exists.
Result<> update_managed_fields(Arena& arena, TypeView type, const Value& live, Value& object,
                               const FieldWriter& writer);

}  // namespace proa::kube
