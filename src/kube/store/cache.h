// Cache: all keys of a store in memory, with the versions of the recent past, and whoever watches them. Both stores
// read and watch through it; one thread at a time writes to it.
//
// Versions hang below the newest of their key. A reader takes a revision and sees of each key what was there then, so
// that a list is consistent while writing goes on; it takes no lock. Changes become visible with publish(), all of a
// commit at once. The history is the changes since the compacted revision, which is where watches begin.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/error.h"
#include "kube/store/hub.h"
#include "kube/store/index.h"
#include "kube/store/types.h"
#include "kube/store/watch.h"

namespace proa::kube::store {

class Cache;

// The keys as they were at one revision, for as long as this lives, compaction or not. Any thread.
class Snapshot {
 public:
  Snapshot(const Cache& cache, Revision revision) : cache_(cache), revision_(revision) {}
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot();
  Revision revision() const { return revision_; }
  // `range.revision` is ignored.
  RangeResult range(const Range& range) const;

 private:
  const Cache& cache_;
  Revision revision_;
};

class Cache {
 public:
  struct Options {
    bool own_thread = true;      // tells watchers from a thread of its own; else publish() does
    size_t watch_buffer = 4096;  // events a watch may lie behind
  };
  explicit Cache(const Options& options);
  ~Cache();

  // --- readers, any thread
  Revision revision() const { return published_.load(std::memory_order_acquire); }
  Revision compacted() const { return compacted_.load(std::memory_order_acquire); }
  // Null when there is none. Errors: kCompacted, kFutureRevision.
  Result<RecordPtr> get(std::string_view key, Revision at = 0) const;
  Result<RangeResult> range(const Range& range) const;
  Result<std::unique_ptr<Snapshot>> snapshot(Revision at = 0) const;
  Result<std::unique_ptr<Watch>> watch(WatchRequest request);
  struct Figures {
    size_t keys = 0;  // deleted ones too, while they are in the history
    size_t history_events = 0;
    size_t history_bytes = 0;  // of versions only the history needs
    size_t watches = 0;
  };
  Figures figures() const;

  // --- the writer
  // The newest record of the key, published or not; null when there is none or it is deleted.
  const Record* newest(std::string_view key) const;
  RangeResult newest_range(const Range& range) const;
  // Not visible before publish(). Revisions never fall.
  void apply(RecordPtr record);
  void publish(Revision revision);
  // Instead of publish() where changes were missed: ends all watches with this error, and the past.
  void jump(Revision revision, const Error& why);
  // Takes back what was applied and not published.
  void undo();
  // Fills an empty cache: what is applied next is told to nobody.
  void begin_at(Revision revision, Revision compacted);
  // From now on reads and watches before `revision` fail. Clamped to what is published.
  void compact(Revision revision);
  // Frees versions from before the compacted revision, at most `most` at a time; calls `dropped` for each. False when
  // none are left that could be freed now.
  bool trim(size_t most, const std::function<void(const Record&)>& dropped);
  // The revision to compact to so that the history has `bytes` at most.
  Revision revision_to_fit(size_t bytes) const;
  // Ends all watches.
  void end_watches(const Error& error) { hub_.end_all(error); }
  Hub& hub() { return hub_; }

 private:
  friend class Snapshot;
  struct Past {
    RecordPtr record;
    RecordPtr previous;
  };

  Result<Revision> check(Revision at) const;
  void enter_history();
  RangeResult collect(const Range& range, Revision at) const;
  std::vector<Event> backlog(const WatchRequest& request, Revision upto) const;
  // One portion; false when nothing was left to tell.
  bool tell_some();
  void run();

  const Options options_;
  Epochs epochs_;
  Index index_{epochs_};
  std::vector<RecordPtr> applied_;
  std::atomic<Revision> published_ = 0;
  std::atomic<Revision> compacted_ = 0;
  std::atomic<Revision> trimmed_ = 0;  // versions superseded up to here may be gone

  mutable std::mutex pins_mutex_;
  mutable std::multiset<Revision> pins_;

  mutable std::mutex history_mutex_;
  std::deque<Past> history_;
  size_t history_bytes_ = 0;

  Hub hub_;
  std::mutex wake_mutex_;
  std::condition_variable wake_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace proa::kube::store
