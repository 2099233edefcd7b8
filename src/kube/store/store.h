// Store: where a cluster's objects are. Ordered keys with one revision counter, transactions, watches and leases:
// etcd's semantics, from SQLite in this process (embedded.h) or a real etcd cluster (etcd/store.h).
//
//   auto store = TRY(open_embedded({.folder = "/var/lib/proa/cluster"}));
//   Txn txn;
//   txn.compares.push_back(Compare::absent(key));
//   txn.success.push_back(Put{Draft(key, json)});
//   const TxnResult result = CO_TRY(co_await store->commit(std::move(txn)));   // durable when it returns
//   const RecordPtr object = TRY(store->get(key));                            // from memory: its bytes are sent as
//   they are
//
// Reads are from memory, on any thread, never wait and take no lock. They see every write this Store has acknowledged;
// with an etcd cluster, what other processes wrote is seen once it has come, or after `co_await store->fresh()`.
// Coroutines go on on the loop they awaited on. On a thread that is no loop's, awaiting blocks it: see `finish`.
//
// Watches, snapshots and running calls must have ended before the store is destroyed.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "kube/store/cache.h"
#include "kube/store/errors.h"
#include "kube/store/types.h"
#include "net/loop.h"
#include "net/task.h"

namespace proa::kube::store {

struct StoreStatus {
  std::string kind;  // "embedded", "etcd"
  Revision revision = 0;
  Revision compacted = 0;
  uint64_t bytes_on_disk = 0;
  Cache::Figures memory;
};

class Store {
 public:
  Store(const Store&) = delete;
  virtual ~Store() = default;

  // --- reads, in memory. Errors: kCompacted, kFutureRevision.
  Revision revision() const { return cache_.revision(); }
  Revision compacted() const { return cache_.compacted(); }
  Result<RecordPtr> get(std::string_view key, Revision at = 0) const { return cache_.get(key, at); }
  Result<RangeResult> range(const Range& range) const { return cache_.range(range); }
  Result<std::unique_ptr<Snapshot>> snapshot(Revision at = 0) const { return cache_.snapshot(at); }
  // Errors: kCompacted. One that begins in the future is silent until then.
  Result<std::unique_ptr<Watch>> watch(WatchRequest request) { return cache_.watch(std::move(request)); }
  // Whether others write too, so that reads may show what was there a moment ago.
  virtual bool may_lag() const { return false; }
  // Returns once reads see everything that was acknowledged to anybody before the call.
  virtual net::Task<Result<Revision>> fresh() = 0;
  // As range(), also for revisions that are in the history of the store but not of this process.
  virtual net::Task<Result<RangeResult>> read(Range range) = 0;

  // --- writes. Errors: kInvalid, kTooLarge, kLeaseNotFound, kUnavailable, kUncertain, kFailed, ENOSPC.
  virtual net::Task<Result<TxnResult>> commit(Txn txn) = 0;
  // What is older than the revision may be forgotten. Stores also compact by themselves.
  virtual net::Task<Result<>> compact(Revision revision) = 0;

  // --- leases: keys put with one end when it is not renewed in time. `id` 0: the store chooses.
  virtual net::Task<Result<Lease>> grant(int64_t ttl_seconds, LeaseId id = 0) = 0;
  virtual net::Task<Result<Lease>> renew(LeaseId id) = 0;
  virtual net::Task<Result<>> revoke(LeaseId id) = 0;
  virtual net::Task<Result<std::vector<Lease>>> leases() = 0;

  virtual net::Task<Result<StoreStatus>> status() = 0;

 protected:
  explicit Store(const Cache::Options& options) : cache_(options) {}
  Cache cache_;
};

// Runs a store's task to its end from a thread that is no loop's, and blocks it: finish(store->commit(txn)).
template <typename T>
T finish(net::Task<T> task) {
  net::detail::Rendezvous done;
  std::optional<T> result;
  net::Loop::start(net::detail::deliver(std::move(task), done, result));
  done.wait();
  return std::move(*result);
}

}  // namespace proa::kube::store
