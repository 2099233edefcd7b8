// Being told when a container runs out of memory.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/cgroup/cgroup.h"

namespace proa::kernel::cgroup {

// Wait with poll(2) on fd() for POLLIN, then call take(). One thread; owns its descriptors.
class OomWatch {
 public:
  // v1: an eventfd on memory.oom_control. v2: inotify on memory.events.
  static Result<OomWatch> open(const Location& location);
  int fd() const { return fd_.get(); }

  struct Events {
    uint64_t ooms = 0;  // out-of-memory events since the last call
    bool gone = false;  // the cgroup was removed; no more will come
  };
  Result<Events> take();

 private:
  OomWatch() = default;
  Result<Events> take_v1();
  Result<Events> take_v2();

  Fd fd_;           // eventfd or inotify
  Fd oom_control_;  // v1: must stay open
  std::string folder_;
  uint64_t seen_ = 0;  // v2: oom_kill counter
  bool v2_ = false;
};

}  // namespace proa::kernel::cgroup
