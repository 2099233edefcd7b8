// A log file that rotates: FILE, and the older FILE.1, FILE.2, ...
//
// Errors after open() are not handed on: a container must not stop because its log's disk is full.
// What could not be written is counted, and a record is never left torn.
//
// Threads: one at a time; only reaped() and the counters are for any.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "shim/options.h"
#include "shim/process.h"
#include "shim/text.h"

namespace proa::shim {

class LogFile {
 public:
  // Rotation keeps every file at most `max_size` bytes (0: no limit) unless one write is longer, and
  // at most `max_files` of them, the current one included. `path` is absolute.
  // `lines`: a last line that a killed writer left unfinished is ended before anything is added.
  Result<> open(std::string_view path, uint64_t max_size, unsigned max_files, bool lines);
  bool is_open() const { return fd_ >= 0; }
  // From now on each rotated file, and its name, is given to a command, which may put FILE.gz in its place. One runs at
  // a time: the next rotation waits for it. Both outlive the file.
  void run_when_rotated(const Origin& origin, const CommandArgs& command) { origin_ = &origin, command_ = &command; }
  // A child was waited for.
  void reaped(int process) { std::atomic_ref(running_).compare_exchange_strong(process, 0); }
  // Waits until no command is at work on the files any more.
  void settle();

  void write(std::string_view bytes);
  // Whether `bytes` more would not fit beside the `pending` ones that are about to be written.
  bool is_full(uint64_t pending, uint64_t bytes) const {
    return max_size_ != 0 && size_ + pending != 0 && size_ + pending + bytes > max_size_;
  }
  void rotate();
  // Opens the path anew, for when someone else has moved the file away; keeps the old one if that fails.
  Result<> reopen();
  // Removes the file if this object made it and nothing was written: a create that failed leaves nothing.
  void discard_if_new();

  uint64_t room() const { return max_size_ == 0 ? UINT64_MAX : max_size_ > size_ ? max_size_ - size_ : 0; }
  uint64_t written() const { return written_; }
  uint64_t lost() const { return lost_; }
  uint64_t rotations() const { return rotations_; }

 private:
  Result<int> open_file(bool* made);
  void end_torn_line();
  void move(unsigned from, unsigned to, const char* ending);
  void run_command();

  Path path_;
  int fd_ = -1;
  bool made_ = false, lines_ = true;
  unsigned max_files_ = 1;
  uint64_t max_size_ = 0, size_ = 0;
  std::atomic<uint64_t> written_ = 0, lost_ = 0, rotations_ = 0;
  const Origin* origin_ = nullptr;
  const CommandArgs* command_ = nullptr;
  int running_ = 0;  // the command's process
};

// Removes FILE and its rotated forerunners; returns the first failure after trying all.
Result<> remove_logs(std::string_view path);

}  // namespace proa::shim
