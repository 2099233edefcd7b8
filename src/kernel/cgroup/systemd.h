// The systemd driver: the container's cgroup is a transient scope that the service manager makes.
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "kernel/cgroup/cgroup.h"

namespace proa::kernel::cgroup::systemd {

// `root`: prefix of /run and /proc (tests).

// The unit's name, from linux.cgroupsPath. Asks nobody.
Result<> choose_unit(const Request& request, Location& location);
// Where the unit's cgroup is below the mounts, unless the manager is one of a user's.
Result<std::string> usual_path(const Request& request);
// Starts the scope with `pid` in it and fills in the hierarchies. On failure nothing is left.
Result<> start_unit(const Request& request, pid_t pid, const Resources& resources, Location& location);
// Tells the manager, so that its next daemon-reload does not write old limits back.
Result<> update_unit(const std::string& root, const Location& location, const Resources& resources);
// Stops the scope; one that is gone is fine.
Result<> stop_unit(const std::string& root, const Location& location);

}  // namespace proa::kernel::cgroup::systemd
