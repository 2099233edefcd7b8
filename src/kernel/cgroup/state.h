// What a Cgroup holds; for the files that implement it.
#pragma once

#include "kernel/cgroup/cgroup.h"
#include "kernel/cgroup/hosts.h"

namespace proa::kernel::cgroup {

struct Cgroup::State {
  Location location;
  Request request;     // of create(); after open() only filesystem_root
  bool fresh = false;  // this object made the cgroup, nothing was written yet
  Host host;           // between begin() and complete()
  std::string inner;   // cleaned cgroups_path, then too
};

}  // namespace proa::kernel::cgroup
