// The log as a forwarder reads it: from where the last one stopped, across rotations, in batches.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "logs/files.h"
#include "logs/forward/position.h"
#include "logs/forward/sender.h"

namespace proa::logs {

class Source {
 public:
  // `path`: a log in CRI's format.
  explicit Source(std::string path) : path_(std::move(path)) {}

  // Goes to a position. What it names may be renamed, compressed or gone by now.
  Result<> seek(const Position& position);
  // The next records, some 256 KiB of them at most; none: there is nothing more for now.
  Result<std::vector<Record>> next();
  // Behind the records that were given last.
  const Position& position() const { return after_; }
  // Leaves out all but the last `bytes`. Whether it left out anything.
  Result<bool> skip_to_last(uint64_t bytes);

 private:
  Result<bool> fill();
  Result<bool> open_next();
  void take(std::string_view record, std::vector<Record>& to);

  std::string path_;
  std::optional<LogFile> file_;
  std::vector<LogFile> later_;  // that are to be read after it, the oldest first
  Position after_;
  std::string skip_until_;  // records up to this time were sent already
  std::string bytes_;       // read and not taken
  size_t used_ = 0;
};

}  // namespace proa::logs
