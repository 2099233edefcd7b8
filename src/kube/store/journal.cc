#include "kube/store/journal.h"

#include <algorithm>

#include "kube/store/errors.h"

namespace proa::kube::store {

namespace {

int64_t id_of(const Record& record) { return record.mod_revision() << Journal::kOrderBits | record.order(); }

// Read by its position: the order of the columns counts.
RecordPtr record_of(const Statement& row) {
  const int64_t id = row.number(0);
  const bool deleted = row.is_null(2);
  Draft draft(row.blob(1), deleted ? std::string_view() : row.blob(2), static_cast<uint64_t>(row.number(6)));
  return std::move(draft).finish({.create_revision = row.number(3),
                                  .mod_revision = id >> Journal::kOrderBits,
                                  .version = row.number(4),
                                  .lease = row.number(5),
                                  .deleted = deleted,
                                  .order = static_cast<uint32_t>(id & (Journal::kMostChanges - 1))});
}

}  // namespace

Result<Journal> Journal::open(const std::string& path, const std::string& vfs) {
  Journal journal(TRY(Database::open(path, Database::Mode::kReadWrite, vfs)));
  // FULL: a commit has reached the disk when it returns. The cache is small: the objects are in memory already.
  TRY(
      journal.database_.run("PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                            "PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 1000;"
                            "PRAGMA journal_size_limit = 16777216;"));
  TRY(journal.create_tables());
  TRY_CTX(journal.check_format(), path);
  TRY(journal.prepare());
  return journal;
}

Result<Journal> Journal::open_for_reading(const std::string& path) {
  Journal journal(TRY(Database::open(path, Database::Mode::kReadOnly)));
  TRY(journal.database_.run("BEGIN"));
  TRY_CTX(journal.check_format(), path);
  return journal;
}

Result<> Journal::create_tables() {
  return database_.run(
      "BEGIN IMMEDIATE;"
      "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
      "CREATE TABLE IF NOT EXISTS record(id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB, created INTEGER NOT "
      "NULL,"
      " version INTEGER NOT NULL, lease INTEGER NOT NULL, note INTEGER NOT NULL);"
      "CREATE TABLE IF NOT EXISTS lease(id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL);"
      "INSERT OR IGNORE INTO meta VALUES('format', 1);"
      "COMMIT");
}

Result<> Journal::check_format() {
  const int64_t format = TRY(meta("format", 0));
  if (format != kFormat)
    return fail_as(Code::kCorrupt, "format ", format, " is not ", kFormat, ", the one this program knows");
  return {};
}

Result<> Journal::prepare() {
  append_ = TRY(database_.prepare("INSERT INTO record VALUES(?, ?, ?, ?, ?, ?, ?)"));
  drop_ = TRY(database_.prepare("DELETE FROM record WHERE id = ?"));
  put_lease_ = TRY(database_.prepare("INSERT OR REPLACE INTO lease VALUES(?, ?)"));
  drop_lease_ = TRY(database_.prepare("DELETE FROM lease WHERE id = ?"));
  begin_ = TRY(database_.prepare("BEGIN IMMEDIATE"));
  commit_ = TRY(database_.prepare("COMMIT"));
  return {};
}

Result<int64_t> Journal::meta(std::string_view name, int64_t otherwise) {
  Statement select = TRY(database_.prepare("SELECT value FROM meta WHERE name = CAST(? AS TEXT)"));
  if (TRY(select.bind_blob(1, name).step())) return select.number(0);
  return otherwise;
}

Result<> Journal::set_meta(std::string_view name, int64_t value) {
  TRY(begin());
  Statement set = TRY(database_.prepare("INSERT OR REPLACE INTO meta VALUES(CAST(? AS TEXT), ?)"));
  return set.bind_blob(1, name).bind(2, value).run();
}

Result<Journal::Start> Journal::start() {
  Start start;
  start.compacted = TRY(meta("compacted", 0));
  start.revision = TRY(meta("revision", 1));
  Statement newest = TRY(database_.prepare("SELECT max(id) FROM record"));
  if (TRY(newest.step()) && !newest.is_null(0))
    start.revision = std::max(start.revision, newest.number(0) >> kOrderBits);
  return start;
}

Result<> Journal::load(const std::function<Result<>(RecordPtr)>& take) {
  Statement rows =
      TRY(database_.prepare("SELECT id, key, value, created, version, lease, note FROM record ORDER BY id"));
  while (TRY(rows.step())) TRY(take(record_of(rows)));
  return {};
}

Result<> Journal::load_leases(const std::function<void(LeaseId, int64_t ttl)>& take) {
  Statement rows = TRY(database_.prepare("SELECT id, ttl FROM lease"));
  while (TRY(rows.step())) take(rows.number(0), rows.number(1));
  return {};
}

Result<> Journal::begin() {
  if (database_.in_transaction()) return {};
  return begin_.run();
}

Result<> Journal::append(const Record& record) {
  TRY(begin());
  const std::string_view value = record.value();
  append_.bind(1, id_of(record)).bind_blob(2, record.key());
  append_.bind_blob(3, record.deleted() ? std::string_view() : value);
  append_.bind(4, record.create_revision()).bind(5, record.version());
  return append_.bind(6, record.lease()).bind(7, static_cast<int64_t>(record.note())).run();
}

Result<> Journal::drop(const Record& record) {
  TRY(begin());
  return drop_.bind(1, id_of(record)).run();
}

Result<> Journal::put_lease(LeaseId id, int64_t ttl) {
  TRY(begin());
  return put_lease_.bind(1, id).bind(2, ttl).run();
}

Result<> Journal::drop_lease(LeaseId id) {
  TRY(begin());
  return drop_lease_.bind(1, id).run();
}

Result<> Journal::set_compacted(Revision compacted, Revision revision) {
  TRY(set_meta("compacted", compacted));
  return set_meta("revision", revision);
}

Result<> Journal::commit() {
  if (!database_.in_transaction()) return {};
  return commit_.run();
}

void Journal::rollback() {
  if (database_.in_transaction()) static_cast<void>(database_.run("ROLLBACK"));
}

}  // namespace proa::kube::store
