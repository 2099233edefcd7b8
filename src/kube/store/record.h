// Record: one version of one key: key, bytes and revisions in a single block of memory that everybody shares.
//
// A record never changes once a store has taken it; RecordPtr keeps it alive, from any thread, as long as some
// socket still sends from it.
#pragma once

#include <atomic>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace proa::kube::store {

using Revision = int64_t;
using LeaseId = int64_t;

class Record {
 public:
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  std::string_view key() const { return {block(), key_size_}; }
  std::string_view value() const { return {block() + key_size_, value_size_}; }
  // The revision that made the key, and this version of it; how many versions it has had since it was made.
  Revision create_revision() const { return create_revision_; }
  Revision mod_revision() const { return mod_revision_; }
  int64_t version() const { return version_; }
  // The lease the key ends with; 0: none.
  LeaseId lease() const { return lease_; }
  // What its writer wants to remember of the value: the offset where a resource version goes, flags. 0 unless set.
  uint64_t note() const { return note_; }
  // The end of a key: it has a mod_revision, and no value.
  bool deleted() const { return deleted_ != 0; }
  // Its place among the changes of its revision, from 0.
  uint32_t order() const { return order_; }
  // Its memory in bytes.
  size_t footprint() const { return sizeof(Record) + key_size_ + value_size_; }

 private:
  friend class Draft;
  friend class Index;
  friend class Cache;
  friend void intrusive_ptr_add_ref(const Record* record) {
    record->references_.fetch_add(1, std::memory_order_relaxed);
  }
  friend void intrusive_ptr_release(const Record* record) {
    if (record->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy(record);
  }

  Record(size_t key_size, size_t value_size)
      : key_size_(static_cast<uint32_t>(key_size)), value_size_(static_cast<uint32_t>(value_size)) {}
  ~Record() = default;
  static void destroy(const Record* record);
  const char* block() const { return reinterpret_cast<const char*>(this + 1); }
  char* block() { return reinterpret_cast<char*>(this + 1); }

  mutable std::atomic<uint32_t> references_ = 0;
  uint32_t key_size_;
  uint32_t value_size_;
  uint32_t order_ : 31 = 0;
  uint32_t deleted_ : 1 = 0;
  Revision create_revision_ = 0;
  Revision mod_revision_ = 0;
  int64_t version_ = 0;
  LeaseId lease_ = 0;
  uint64_t note_ = 0;
  // The version before this one, owned, for as long as it is in the history.
  mutable std::atomic<const Record*> previous_ = nullptr;
};

using RecordPtr = boost::intrusive_ptr<const Record>;

// A record in the making: its owner fills in the value, a store stamps it and takes it.
class Draft {
 public:
  Draft() = default;
  // Room for the value, to be written to before the draft is handed on.
  Draft(std::string_view key, size_t value_size);
  Draft(std::string_view key, std::string_view value, uint64_t note = 0);
  Draft(Draft&&) = default;
  Draft& operator=(Draft&&) = default;

  std::string_view key() const { return record_->key(); }
  std::string_view value() const { return record_->value(); }
  char* bytes() { return record_->block() + record_->key_size_; }
  void set_note(uint64_t note) { record_->note_ = note; }
  explicit operator bool() const { return record_ != nullptr; }

  // For stores. With `deleted`, the end of the key.
  struct Stamp {
    Revision create_revision = 0;
    Revision mod_revision = 0;
    int64_t version = 0;
    LeaseId lease = 0;
    bool deleted = false;
    uint32_t order = 0;
  };
  RecordPtr finish(const Stamp& stamp) &&;

 private:
  boost::intrusive_ptr<Record> record_;
};

}  // namespace proa::kube::store
