#include "kube/store/sqlite.h"

#include <sqlite3.h>

#include "kube/store/errors.h"

namespace proa::kube::store {

namespace {

// `path` only where the connection could not be made.
Failure failure(sqlite3* database, std::string_view path = {}) {
  const char* const known = database ? sqlite3_db_filename(database, "main") : nullptr;
  const std::string_view file = !path.empty() ? path : known ? known : "database";
  const int code = database ? sqlite3_errcode(database) & 0xff : SQLITE_NOMEM;
  const std::string_view text = database ? sqlite3_errmsg(database) : "out of memory";
  if (code == SQLITE_FULL)
    return fail_errno(ENOSPC, file).hint("free space on that file system; reading goes on, writes work again then");
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
    return fail_as(Code::kCorrupt, file, ": ", text).hint("restore a backup with `proa cluster restore`");
  const int system = database ? sqlite3_system_errno(database) : 0;
  if (system == ENOSPC || system == EDQUOT)
    return fail_errno(ENOSPC, file).hint("free space on that file system; reading goes on, writes work again then");
  if ((code == SQLITE_IOERR || code == SQLITE_CANTOPEN) && system != 0) return fail_errno(system, file, ": ", text);
  return fail(file, ": ", text);
}

}  // namespace

// --- Statement ------------------------------------------------------------------------------------------------

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Statement& Statement::bind(int place, int64_t number) {
  sqlite3_bind_int64(statement_.get(), place, number);
  return *this;
}

Statement& Statement::bind_blob(int place, std::string_view bytes) {
  if (!bytes.data())
    sqlite3_bind_null(statement_.get(), place);
  else
    sqlite3_bind_blob64(statement_.get(), place, bytes.data(), bytes.size(), SQLITE_STATIC);
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  auto failed = failure(sqlite3_db_handle(statement_.get()));
  sqlite3_reset(statement_.get());
  return failed;
}

Result<> Statement::run() {
  while (TRY(step())) continue;
  reset();
  return {};
}

void Statement::reset() { sqlite3_reset(statement_.get()); }

int64_t Statement::number(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string_view Statement::blob(int column) const {
  const void* const bytes = sqlite3_column_blob(statement_.get(), column);
  return {static_cast<const char*>(bytes), static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }

// --- Database -------------------------------------------------------------------------------------------------

void Database::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

Result<Database> Database::open(const std::string& path, Mode mode, const std::string& vfs) {
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                    (mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags, vfs.empty() ? nullptr : vfs.c_str());
  Database database(raw);
  if (code != SQLITE_OK) return failure(raw, path);
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, 10'000);
  return database;
}

Result<> Database::run(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failure(database_.get());
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                         &statement, nullptr) != SQLITE_OK)
    return failure(database_.get());
  return Statement(statement);
}

Result<> Database::checkpoint(bool truncate) {
  const int code = sqlite3_wal_checkpoint_v2(
      database_.get(), nullptr, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY) return failure(database_.get());
  return {};
}

bool Database::in_transaction() const { return sqlite3_get_autocommit(database_.get()) == 0; }

}  // namespace proa::kube::store
