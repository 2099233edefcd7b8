// How far a log was sent, on the disk beside it. Its lock says who sends it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/fd.h"

namespace proa::logs {

// Of one stream: the pieces of a long line whose end is still to come.
struct Pieces {
  std::string of;
  unsigned count = 0;
};

struct Position {
  uint64_t identity = 0;  // of the file (files.h); 0: nothing was sent yet
  uint64_t offset = 0;    // where the next record begins
  std::string time;       // of the last record that was sent: where the file is not to be found any more
  Pieces pieces[2];
};

class PositionFile {
 public:
  // Made if it is not there. `path` is the log's.
  static Result<PositionFile> open(const std::string& path);
  // Waits for whoever sends the log now. A signal ends the wait with EINTR.
  Result<> lock() const;
  Position load() const;
  // One write: a killed process leaves the old one or the new one.
  Result<> save(const Position& position) const;

 private:
  explicit PositionFile(Fd file) : file_(std::move(file)) {}
  Fd file_;
};

// The process that sends the log, if there is one.
std::optional<pid_t> sender_of(const std::string& path);
// Whether there is nothing in the log that was not sent.
bool all_sent(const std::string& path);

}  // namespace proa::logs
