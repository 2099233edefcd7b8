// What concurrent clients of a store did and saw, and whether that can be true of a store with etcd's semantics.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kube/store/store.h"

namespace proa::kube::store {

// A change as the collector's watch told it: the truth all else is held against.
struct Change {
  Revision revision = 0;
  std::string key;
  std::string value;
  bool deleted = false;
  Revision created = 0;
  int64_t version = 0;
  bool operator==(const Change&) const = default;
};
Change change_of(const Record& record);

// One call of a client. Times count what begins and ends.
struct Call {
  enum Kind : uint8_t { kPut, kDelete, kRead, kList } kind = kPut;
  enum Outcome : uint8_t { kDone, kRefused, kUncertain, kFailed } outcome = kDone;
  std::string key;
  std::string value;       // put, unique; read: what was there
  Revision expected = -1;  // of a guard; -1: none
  Revision revision = 0;   // of the answer
  uint64_t begin = 0;
  uint64_t end = 0;
  std::vector<std::pair<std::string, Revision>> listed;
};

// One stretch of a watcher's: all changes of its prefix after `from` up to `upto`.
struct Stretch {
  std::string prefix;
  Revision from = 0;
  Revision upto = 0;
  std::vector<Change> seen;
};

class History {
 public:
  uint64_t now() { return clock_.fetch_add(1); }
  void add(std::vector<Call> operations);
  void add(Stretch stretch);
  // What was there before the first change.
  void begin_with(const Change& change) { base_.push_back(change); }
  void collect(const Change& change) { truth_.push_back(change); }  // by one thread, read when it has ended

  // Every contradiction, in words; none: the history is right.
  std::vector<std::string> check(Revision upto) const;
  std::string summary() const;

 private:
  using State = std::map<std::string, Change>;
  State first_state() const;
  void check_truth(std::vector<std::string>& wrong) const;
  void check_operations(Revision upto, std::vector<std::string>& wrong) const;
  void check_order(std::vector<std::string>& wrong) const;
  void check_stretches(std::vector<std::string>& wrong) const;
  const Change* at(const std::string& key, Revision revision) const;

  std::atomic<uint64_t> clock_ = 1;
  std::mutex mutex_;
  std::vector<Call> operations_;
  std::vector<Stretch> stretches_;
  std::vector<Change> base_;
  std::vector<Change> truth_;
};

}  // namespace proa::kube::store
