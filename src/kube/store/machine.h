// Machine: the embedded store's state and what changes it, one call after the other. Calls take effect in memory at
// once, for later calls only; commit() makes all since the last durable and visible, or takes all back.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "kube/store/cache.h"
#include "kube/store/embedded.h"
#include "kube/store/journal.h"
#include "kube/store/lease_book.h"

namespace proa::kube::store {

class Machine {
 public:
  // No journal: nothing is kept.
  Machine(Cache& cache, std::optional<Journal> journal, const EmbeddedOptions& options, const Clock& clock);

  // Fills the cache from the journal.
  Result<> load();

  Result<TxnResult> txn(Txn txn);
  Result<Lease> grant(int64_t ttl, LeaseId id);
  Result<Lease> renew(LeaseId id);
  Result<> revoke(LeaseId id);
  std::vector<Lease> leases() const;
  Result<> compact(Revision revision);

  // Ends leases whose time has come, and forgets old history. First in a batch of calls.
  void keep_house();
  // When keep_house() has something to do next.
  std::optional<MonotonicTime> next_deadline() const;
  Result<> commit();

 private:
  OperationResult apply(Operation& operation);
  OperationResult apply_put(Put& put);
  OperationResult apply_delete(const Delete& gone);
  void remove(const Record& record);
  void enter(RecordPtr record, const Record* previous);
  RangeResult search(const Range& range) const;
  Result<> check_leases(const std::vector<Operation>& operations) const;
  Result<> check_changes(const std::vector<Operation>& operations) const;
  Result<> check_usable() const;
  void remove_lease(LeaseId id);
  void sample_history(MonotonicTime now);
  void trim();
  // The first error of the journal decides over the whole batch.
  void note(const Result<>& result);
  void take_back();

  Cache& cache_;
  std::optional<Journal> journal_;
  const EmbeddedOptions& options_;
  const Clock& clock_;
  LeaseBook leases_;

  Revision revision_ = 1;        // committed
  Revision next_ = 1;            // with what is not
  uint32_t order_ = 0;           // changes of the revision in the making
  std::optional<Error> failed_;  // this batch
  std::optional<Error> broken_;  // for good

  struct Sample {
    MonotonicTime time;
    Revision revision;
  };
  std::deque<Sample> samples_;
  Revision saved_compacted_ = 0;
  bool more_to_trim_ = false;
  std::optional<MonotonicTime> rest_until_;  // after an error
};

}  // namespace proa::kube::store
