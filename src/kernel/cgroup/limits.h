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

// The same limits with what they depend on filled in from the cgroup, for whoever cannot leave a half as
// it is: a quota its period, a period its quota, memory+swap the memory limit.
Resources complete_limits(const Location& location, Resources resources);

}  // namespace proa::kernel::cgroup
