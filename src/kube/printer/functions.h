// Computed columns, by the names they have in the schema ("pod.status").
#pragma once

#include <string_view>

#include "kube/object/value.h"

namespace proa::kube {

struct Cell {
  Arena& arena;
  const Value& object;
  int64_t now;
};

using CellFunction = Value (*)(const Cell&);

// nullptr if there is none of this name.
CellFunction cell_function(std::string_view name);

}  // namespace proa::kube
