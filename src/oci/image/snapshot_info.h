// The records that stand beside unpacked layers and snapshots (info.json).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "oci/image/digest.h"
#include "oci/image/store.h"

namespace proa::oci::image {

// layers/NAME/info.json
struct LayerInfo {
  Digest diff_id, parent;  // parent: chain id, empty at the bottom
  uint64_t bytes = 0;      // disk used by its files
  uint64_t entries = 0;
};
// snapshots/ID/info.json
struct SnapshotInfo {
  std::vector<Digest> chain;  // chain ids of its layers, lowest first
  std::string map;            // of the ids its layers were shifted by; see layer_name()
  std::string created;        // RFC 3339
};

// An unpacked layer's folder: the hex digits of its chain id, "-" and `map` behind them if that is not empty.
std::string layer_name(const Digest& chain, std::string_view map);

std::string emit(const LayerInfo& info);
std::string emit(const SnapshotInfo& info);
Result<LayerInfo> read_layer_info(const Store& store, std::string_view layer);
Result<SnapshotInfo> read_snapshot_info(const Store& store, std::string_view id);
// 0 when nothing is recorded.
uint64_t layer_bytes(const Store& store, std::string_view layer);

}  // namespace proa::oci::image
