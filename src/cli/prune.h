// What `prune` of each kind removes. Filters as on its command line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"

namespace proa::cli {

struct Pruned {
  std::string text;    // what went, a line each, below a heading; empty when nothing did
  uint64_t bytes = 0;  // won
};
using Filters = std::vector<std::string>;
Result<Pruned> prune_containers(engine::Engine& engine, const Filters& filters);
Result<Pruned> prune_volumes(engine::Engine& engine, bool all, const Filters& filters);
Result<Pruned> prune_networks(engine::Engine& engine, const Filters& filters);
Result<Pruned> prune_images(engine::Engine& engine, bool all, const Filters& filters);
// With the space won, as the commands end.
Result<> print_pruned(const Pruned& pruned);

// Bytes on the disk below a folder.
uint64_t size_of_folder(const std::string& path);

}  // namespace proa::cli
