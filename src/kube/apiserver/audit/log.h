// The audit log: lines to a file that is turned over by size, by a thread of its own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/fd.h"

namespace proa::kube::api {

struct AuditLogOptions {
  std::string path;                 // "-" is standard output, which is not turned over
  uint64_t most_bytes = 100 << 20;  // of one file
  unsigned most_backups = 0;        // that are kept beside it; 0: all
  unsigned most_days = 0;           // that they are kept; 0: for ever
};

// Any thread may add. Nothing is lost while it can be written: the destructor writes what is left. While the disk takes
// nothing, lines wait, and full() tells those who make them to wait too.
class AuditLog {
 public:
  // Errors name the path.
  static Result<std::unique_ptr<AuditLog>> open(AuditLogOptions options);
  ~AuditLog();

  // `line` without its end.
  void add(std::string line);
  // So many bytes wait that no more should be added for now.
  bool full() const;

 private:
  explicit AuditLog(AuditLogOptions options) : options_(std::move(options)) {}
  void run();
  // What was written is taken off `text`.
  Result<> write(std::string& text);
  Result<> open_file();
  Result<> turn_over();
  void remove_old() const;

  const AuditLogOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable some_;
  std::string waiting_;
  bool ending_ = false;
  // The thread's own.
  Fd file_;
  uint64_t size_ = 0;
  std::thread thread_;
};

}  // namespace proa::kube::api
