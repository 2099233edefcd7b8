// A log's files: PATH is the newest, PATH.1 and so on older ones, PATH.N.gz compressed. They may be rotated while
// they are read: what is open stays readable.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::logs {

struct LogFile {
  Fd fd;
  uint64_t identity = 0;   // what it was when it was written; 0: not known. Kept when it is renamed or compressed
  off_t size = 0;          // when it was opened
  std::string compressed;  // the folder for its content; empty: it is plain
  // What `fd` reads, and `size`, is the content from here on: that of a compressed file in an unlinked one.
  Result<> unpack();
};

// The oldest first; none when there is no log.
Result<std::vector<LogFile>> open_files(const std::string& path);
// Those that were begun after this one; if that is none of them (any more), all.
Result<std::vector<LogFile>> open_newer(const std::string& path, uint64_t identity);
// Of what PATH names now; 0: nothing.
uint64_t identity_at(const std::string& path);

// PATH becomes PATH.gz. A reader finds one or the other at any time, and a compression that was killed leaves what its
// next try replaces.
Result<> compress(const std::string& path);

}  // namespace proa::logs
