// LeaseBook: who holds which keys alive until when. One thread at a time.
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "kube/store/types.h"

namespace proa::kube::store {

class LeaseBook {
 public:
  struct Entry {
    int64_t ttl = 0;
    MonotonicTime deadline;
    std::unordered_set<const Record*> records;  // the newest of their keys
  };

  bool contains(LeaseId id) const { return entries_.contains(id); }
  const Entry* find(LeaseId id) const;
  void grant(LeaseId id, int64_t ttl, MonotonicTime now);
  // False when there is none.
  bool renew(LeaseId id, MonotonicTime now);
  void remove(LeaseId id);
  void clear();

  // A record has become, or is no longer, the newest of its key.
  void attach(const Record& record);
  void detach(const Record& record);

  // The lease that ends next.
  std::optional<std::pair<MonotonicTime, LeaseId>> first() const;
  const std::unordered_map<LeaseId, Entry>& all() const { return entries_; }

 private:
  std::unordered_map<LeaseId, Entry> entries_;
  std::set<std::pair<MonotonicTime, LeaseId>> deadlines_;
};

}  // namespace proa::kube::store
