// How often the kernel killed a process of the container for want of memory.
#pragma once

#include <cstdint>
#include <string_view>

#include "shim/text.h"

namespace proa::shim {

class OomCounter {
 public:
  // Opens the counter of `pid`'s memory control group, v1 or v2. None is fine: the count is then 0.
  void open(int pid);
  // Still right after the container's end, until its control group is removed.
  uint64_t kills() const;

 private:
  int fd_ = -1;
};

// The counter's file for a process whose /proc/PID/cgroup reads `memberships`; false if none has memory.
bool oom_counter_path(std::string_view memberships, Path* path);
// N of the line "oom_kill N".
uint64_t parse_oom_kills(std::string_view text);

}  // namespace proa::shim
