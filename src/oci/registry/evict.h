// Keeping a mirror's cache below a size: what nobody asked for the longest goes first.
//
// What is counted is each blob and manifest of the mirror's repositories, once, however many of them have it. Only
// their links are taken away here; content that no repository links and no lease protects goes with the next sweep
// (collect.h), so whoever reads it, or is about to link it anew, is not disturbed. Evicted content comes from upstream
// again when it is asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "oci/registry/repositories.h"

namespace proa::oci::registry {

struct CacheLimit {
  std::function<bool(std::string_view repository)> holds;  // whether it is one of the mirror's
  uint64_t max_bytes = 0;
};

struct EvictReport {
  size_t blobs = 0;              // and manifests
  uint64_t freed = 0, kept = 0;  // bytes
};

// Nothing goes below the limit; above it, so much that nine tenths of it are left. What is used meanwhile stays. One
// process at a time; others wait.
Result<EvictReport> evict(const Repositories& repositories, const CacheLimit& limit);

}  // namespace proa::oci::registry
