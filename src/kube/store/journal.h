// Journal: the embedded store's file, a SQLite database in WAL mode: every version of every key in the order of
// revisions, until compaction takes the superseded ones out. One thread at a time.
//
//   record(id, key, value, created, version, lease, note)   id: revision and place in it; value NULL: key deleted
//   lease(id, ttl)
//   meta(name, value)                                       format, compacted, revision
#pragma once

#include <functional>

#include "kube/store/sqlite.h"
#include "kube/store/types.h"

namespace proa::kube::store {

class Journal {
 public:
  static constexpr int64_t kFormat = 1;
  static constexpr int kOrderBits = 20;
  static constexpr uint32_t kMostChanges = 1u << kOrderBits;  // at one revision

  // Makes the file if there is none. Errors name it; a newer format is one.
  static Result<Journal> open(const std::string& path, const std::string& vfs = {});
  // For a copy while another process writes: sees one moment for as long as it lives.
  static Result<Journal> open_for_reading(const std::string& path);

  struct Start {
    Revision revision = 1;  // etcd's empty store has it too
    Revision compacted = 0;
  };
  Result<Start> start();
  // All records in the order of their revisions.
  Result<> load(const std::function<Result<>(RecordPtr)>& take);
  Result<> load_leases(const std::function<void(LeaseId, int64_t ttl)>& take);

  // The first change begins a transaction; nothing is durable before commit().
  Result<> append(const Record& record);
  Result<> drop(const Record& record);
  Result<> put_lease(LeaseId id, int64_t ttl);
  Result<> drop_lease(LeaseId id);
  // Kept apart from the records: those of the newest revision may be compacted away.
  Result<> set_compacted(Revision compacted, Revision revision);
  // One fsync; nothing to do when nothing was changed.
  Result<> commit();
  void rollback();
  // Makes the log short; for when it is idle, or has run out of space.
  Result<> checkpoint() { return database_.checkpoint(true); }

 private:
  explicit Journal(Database database) : database_(std::move(database)) {}
  Result<> create_tables();
  Result<> check_format();
  Result<> prepare();
  Result<> begin();
  Result<> set_meta(std::string_view name, int64_t value);
  Result<int64_t> meta(std::string_view name, int64_t otherwise);

  Database database_;
  Statement append_, drop_, put_lease_, drop_lease_, begin_, commit_;
};

}  // namespace proa::kube::store
