// Where host paths of control groups are walked from. Each walk of /sys/fs takes the lock of sysfs, which
// every network namespace being made holds for long; from a descriptor of /sys/fs/cgroup it is left alone.
//
// Threads: any. The descriptor is opened at the first use and kept; it stands for the mount namespace of
// that moment, so code that goes into another one uses paths of its own.
#pragma once

#include <string>

#include "base/error.h"
#include "base/fd.h"

namespace proa::kernel::cgroup {

struct Place {
  int dirfd;
  const char* path;  // within the caller's text
};

// For calls of the *at family; AT_FDCWD and the path itself when it is not below /sys/fs/cgroup/.
Place place(const char* path);
Result<Fd> open_from_top(const std::string& path, int flags);

}  // namespace proa::kernel::cgroup
