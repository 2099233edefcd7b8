// Stopping and resuming all processes of a cgroup.
#pragma once

#include "base/error.h"
#include "kernel/cgroup/folder.h"

namespace proa::kernel::cgroup {

// v1's freezer.state. Freezing is retried while new processes keep appearing; when it does not succeed
// the cgroup is thawed again.
Result<> freeze_v1(const Folder& folder);
Result<> thaw_v1(const Folder& folder);
Result<bool> frozen_v1(const Folder& folder);

// v2's cgroup.freeze; freezing is complete when cgroup.events says so, which is waited for at most 10 s.
Result<> freeze_v2(const Folder& folder);
Result<> thaw_v2(const Folder& folder);
Result<bool> frozen_v2(const Folder& folder);

}  // namespace proa::kernel::cgroup
