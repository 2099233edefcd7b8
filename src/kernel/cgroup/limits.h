// All limits of a container, sent to the controller that has each.
#pragma once

#include "base/error.h"
#include "kernel/cgroup/cgroup.h"

namespace proa::kernel::cgroup {

struct LimitOptions {
  bool fresh = false;   // the cgroup was just made: its values are the defaults
  bool create = false;  // for a new container: what it needs though it asks for nothing (devices, cpuset)
};

Result<> write_limits(const Location& location, const Resources& resources, const LimitOptions& options);

}  // namespace proa::kernel::cgroup
