// SQLite with owners and Results. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace proa::kube::store {

class Statement {
 public:
  explicit Statement(sqlite3_stmt* statement = nullptr) : statement_(statement) {}
  Statement& bind(int place, int64_t number);
  // Views must live until the next step or reset. A null pointer is NULL.
  Statement& bind_blob(int place, std::string_view bytes);
  // Whether there is a row.
  Result<bool> step();
  // To the end, and ready for the next time.
  Result<> run();
  void reset();

  int64_t number(int column) const;
  std::string_view blob(int column) const;
  bool is_null(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
 public:
  enum class Mode : uint8_t { kReadWrite, kReadOnly };
  // Errors name the file: ENOSPC when the disk is full, kCorrupt when it is no database or a broken one.
  static Result<Database> open(const std::string& path, Mode mode, const std::string& vfs = {});

  Result<> run(const char* sql);
  Result<Statement> prepare(std::string_view sql);
  // Moves the log into the database; what readers still need stays.
  Result<> checkpoint(bool truncate);
  bool in_transaction() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  explicit Database(sqlite3* database) : database_(database) {}
  std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace proa::kube::store
