#include "kube/store/lease_book.h"

namespace proa::kube::store {

const LeaseBook::Entry* LeaseBook::find(LeaseId id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second;
}

void LeaseBook::grant(LeaseId id, int64_t ttl, MonotonicTime now) {
  entries_[id] = {.ttl = ttl, .deadline = now + std::chrono::seconds(ttl), .records = {}};
  deadlines_.emplace(now + std::chrono::seconds(ttl), id);
}

bool LeaseBook::renew(LeaseId id, MonotonicTime now) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return false;
  Entry& entry = found->second;
  deadlines_.erase({entry.deadline, id});
  entry.deadline = now + std::chrono::seconds(entry.ttl);
  deadlines_.emplace(entry.deadline, id);
  return true;
}

void LeaseBook::remove(LeaseId id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  deadlines_.erase({found->second.deadline, id});
  entries_.erase(found);
}

void LeaseBook::clear() {
  entries_.clear();
  deadlines_.clear();
}

void LeaseBook::attach(const Record& record) {
  if (record.lease() == 0) return;
  if (const auto found = entries_.find(record.lease()); found != entries_.end()) found->second.records.insert(&record);
}

void LeaseBook::detach(const Record& record) {
  if (record.lease() == 0) return;
  if (const auto found = entries_.find(record.lease()); found != entries_.end()) found->second.records.erase(&record);
}

std::optional<std::pair<MonotonicTime, LeaseId>> LeaseBook::first() const {
  if (deadlines_.empty()) return std::nullopt;
  return *deadlines_.begin();
}

}  // namespace proa::kube::store
