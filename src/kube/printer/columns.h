// Table rows of objects, as `kubectl get` shows them: by the schema's printer columns.
#pragma once

#include <cstdint>

#include "kube/object/value.h"
#include "kube/schema/table.h"

namespace proa::kube {

enum class IncludeObject : uint8_t { kMetadata, kObject, kNone };

struct TableOptions {
  IncludeObject include = IncludeObject::kMetadata;
  bool no_headers = false;
  int64_t now = 0;  // seconds since 1970, for ages
};

// A meta.k8s.io/v1 Table of these objects; `list_metadata` (may be null) becomes its metadata.
Value make_table(Arena& arena, const ResourceView& resource, std::span<const Value> objects, const Value& list_metadata,
                 const TableOptions& options);

// One row's cells.
Value table_cells(Arena& arena, const ResourceView& resource, const Value& object, int64_t now);

// The parts of an object that PartialObjectMetadata has.
Value partial_metadata(Arena& arena, const Value& object);

}  // namespace proa::kube
