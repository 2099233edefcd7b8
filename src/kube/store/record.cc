#include "kube/store/record.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace proa::kube::store {

// A chain of versions may be long: no recursion.
void Record::destroy(const Record* record) {
  while (record) {
    const Record* const previous = record->previous_.load(std::memory_order_relaxed);
    record->~Record();
    ::operator delete(const_cast<Record*>(record));
    if (!previous || previous->references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    record = previous;
  }
}

Draft::Draft(std::string_view key, size_t value_size)
    : record_(new(::operator new(sizeof(Record) + key.size() + value_size)) Record(key.size(), value_size)) {
  if (!key.empty()) std::memcpy(record_->block(), key.data(), key.size());
}

Draft::Draft(std::string_view key, std::string_view value, uint64_t note) : Draft(key, value.size()) {
  if (!value.empty()) std::memcpy(bytes(), value.data(), value.size());
  record_->note_ = note;
}

RecordPtr Draft::finish(const Stamp& stamp) && {
  record_->create_revision_ = stamp.create_revision;
  record_->mod_revision_ = stamp.mod_revision;
  record_->version_ = stamp.version;
  record_->lease_ = stamp.lease;
  record_->deleted_ = stamp.deleted;
  record_->order_ = stamp.order;
  return std::move(record_);
}

}  // namespace proa::kube::store
