// Which cgroup hierarchies this host has, where they are mounted and where the caller is in them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::kernel::cgroup {

struct Mount {
  std::string controllers;  // "cpu,cpuacct", "name=systemd"; "" for the unified hierarchy
  std::string folder;       // mount point
  std::string root = "/";   // which cgroup of the hierarchy is mounted there
  std::string own = "/";    // the caller's cgroup in the hierarchy
};

struct Host {
  std::vector<Mount> mounts;
  bool pure_v2 = false;  // the unified hierarchy is all there is

  // True when `controllers` is one of the host's v1 hierarchies ("cpu" finds "cpu,cpuacct").
  const Mount* find(std::string_view controller) const;
};

// `root`: prefix of /sys and /proc. `relative`: own cgroups are needed, thus the mounts' roots too.
// The usual layout costs one read and a look at each hierarchy; mountinfo is read only when a hierarchy
// is not at its usual place, or for `relative` below the top when a mount shows only a part of one. It is dear:
// reading it takes the lock of all mounts.
Result<Host> find_host(const std::string& root, bool relative);

// Parts of it, for tests. Text as in /proc/self/cgroup and /proc/self/mountinfo; `root` prefixes folders.
std::vector<Mount> parse_own_cgroups(std::string_view text);
Result<> parse_mounts(std::string_view mountinfo, const std::string& root, std::vector<Mount>& mounts);

// Whether `list` ("cpu,cpuacct") names `controller`.
bool names_controller(std::string_view list, std::string_view controller);

// Where a container's cgroup is below a mount: "/a/b".
std::string inner_path(const Host& host, const Mount& mount, const std::string& cleaned);

}  // namespace proa::kernel::cgroup
