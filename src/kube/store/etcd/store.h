// The etcd store: a real etcd cluster (v3 API) behind the Store interface. All keys below a prefix are kept in memory
// and follow the cluster by one watch, over failures of members without a gap: reads and watches are served from
// there as with the embedded store.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "kube/store/etcd/cluster.h"
#include "kube/store/store.h"

namespace proa::kube::store {

struct EtcdOptions {
  etcd::ClusterOptions cluster;
  std::string prefix = "/registry/";    // of all keys; others are refused, and not seen
  std::chrono::seconds history{300};    // what is older is compacted; 0: never by age
  size_t history_bytes = 32 << 20;      // of superseded versions in memory
  Revision history_revisions = 10'000;  // of before the start that are loaded, so that watches can go on
  size_t watch_buffer = 4096;           // events a watch may lie behind
  etcd::Annotate annotate;              // Record::note for what comes from the cluster; none: 0
  const Clock* clock = nullptr;         // the machine's
};

// Loads the keys. To be called from, and the store destroyed on, a thread that is no loop's.
Result<std::unique_ptr<Store>> open_etcd(net::Loops& loops, EtcdOptions options);

}  // namespace proa::kube::store
