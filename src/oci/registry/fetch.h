// A blob on its way from upstream into the store, which any number of clients read while it comes.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "net/loop.h"
#include "net/task.h"

namespace proa::oci::registry {

class Fetch {
 public:
  explicit Fetch(uint64_t total) : total_(total) {}

  // Bytes of the whole blob.
  uint64_t total() const { return total_; }

  // --- its maker's
  // Where the bytes are. Before the first advance(), once.
  void set_file(Fd file);
  // So many bytes are there now; after a restart fewer than before.
  void advance(uint64_t have);
  // All are there, and are what was asked for.
  void succeed();
  void fail(Error error);

  // --- its readers'
  // The descriptor to read from with pread, once more() has given something.
  int file() const { return file_.get(); }
  // How many bytes may be read, more than `after`; waits for them. The last byte is shown only when the whole is
  // verified: nobody takes a wrong blob for a right one.
  net::Task<Result<uint64_t>> more(uint64_t after);

 private:
  void wake();

  const uint64_t total_;
  std::mutex mutex_;  // guards the rest
  Fd file_;
  uint64_t have_ = 0;
  bool done_ = false;
  std::optional<Error> error_;
  std::vector<std::shared_ptr<net::Event>> waiting_;
};

}  // namespace proa::oci::registry
