// Collecting what no repository needs, while the registry serves.
//
// A repository needs its manifests, and the blobs that they name. A blob that no manifest names is kept for as long
// as `grace` after somebody uploaded, mounted or asked for it: its manifest may be on the way. Repositories are looked
// through without a lock; then each is locked for as long as it takes to list it, and the store likewise, so pushes
// wait for milliseconds. Any number of processes may serve, push and collect at once.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "base/error.h"
#include "oci/image/store.h"
#include "oci/registry/repositories.h"

namespace proa::oci::registry {

struct CollectOptions {
  std::chrono::seconds grace = std::chrono::hours(1);
  // Manifests too, if neither a tag, nor an index with a tag, nor a subject in use leads to them.
  bool untagged = false;
  std::chrono::seconds upload_expiry = std::chrono::hours(24);  // since the last byte
  // What no repository links any more, and nothing else.
  bool sweep_only = false;
  bool dry_run = false;
  std::function<void(std::string_view)> warn = {};
};

struct CollectReport {
  size_t manifests = 0, links = 0, repositories = 0, uploads = 0, blobs = 0;
  uint64_t bytes = 0;
};

Result<CollectReport> collect(const Repositories& repositories, const CollectOptions& options);

}  // namespace proa::oci::registry
