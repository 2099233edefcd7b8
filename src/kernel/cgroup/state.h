// What a Cgroup holds; for the files that implement it.
#pragma once

#include "kernel/cgroup/cgroup.h"

namespace proa::kernel::cgroup {

struct Cgroup::State {
  Location location;
  Request request;     // of create(); after open() only filesystem_root
  bool fresh = false;  // this object made the cgroup, nothing was written yet
};

}  // namespace proa::kernel::cgroup
