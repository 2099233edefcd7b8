// One container's cgroup, whatever the host has: v1 controllers, the unified hierarchy, or both at
// once (a controller is used where it is mounted; a v2 mount holding few or no controllers beside v1
// is fine). Two drivers: cgroupfs makes the folders itself, systemd asks PID 1 for a transient scope.
//
// Order of use at creation:
//   cgroupfs  create, apply, then the process enters (entry_files or CLONE_INTO_CGROUP).
//             Or begin, CLONE_INTO_CGROUP, complete, apply, entry_files.
//   systemd   create, fork, attach(pid), apply, let the process go on.
// Entering comes before unshare(CLONE_NEWCGROUP), else the new namespace shows the caller's cgroup.
//
// Threads: a Cgroup belongs to one thread. Ownership: destroying a Cgroup leaves the kernel's cgroup
// alone; remove() deletes it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/cgroup/resources.h"

namespace proa::kernel::cgroup {

enum class Driver : uint8_t { kCgroupfs, kSystemd };

// What is asked for.
struct Request {
  Driver driver = Driver::kCgroupfs;
  // linux.cgroupsPath. cgroupfs: absolute is below each mount, relative is below the caller's own
  // cgroup (its parent on a pure v2 host, where a cgroup with processes can have no limited children),
  // empty is the relative path `id`. systemd: "slice:prefix:name"; empty is ":proa:<id>".
  std::string cgroups_path;
  std::string id;         // container id
  bool rootless = false;  // without a cgroups_path, hierarchies that may not be written are skipped
  // org.systemd.property.* annotations as (whole key, GVariant text), for the systemd driver.
  std::vector<std::pair<std::string, std::string>> systemd_properties;
  std::string filesystem_root;  // prefix for /sys and /proc (tests); empty: the host's
};

// Where it is: saved in the container's state, enough to find it again after a restart.
struct Location {
  struct Hierarchy {
    std::string controllers;  // "cpu", "cpu,cpuacct", "name=systemd"; "" for the unified hierarchy
    std::string path;         // absolute folder
    uint32_t made = 0;        // how many of the path's last components create() made
  };
  std::vector<Hierarchy> hierarchies;
  std::string systemd_unit;           // empty for cgroupfs
  bool systemd_user_manager = false;  // the unit lives in the caller's own manager
  bool rootless = false;
};

// Counters in the units of the kernel; absent controllers stay zero (stats.h).
struct Stats;

class Cgroup {
 public:
  // Makes the folders (cgroupfs) or only decides the unit's name (systemd, made by attach()). On
  // failure nothing is left. A folder that is already there is fine while no process is in it.
  static Result<Cgroup> create(const Request& request);
  // create() in two steps, for a creator with other work between them: begin() makes the unified folder, for
  // a process to be born in; complete() the rest. When that fails, remove() takes away what was made.
  static Result<Cgroup> begin(const Request& request);
  Result<> complete();
  // Where create() (and a scope's start) would have put it, as far as it is there; for cleaning up after a
  // creator that died before it could tell. Makes and checks nothing.
  static Result<Cgroup> find(const Request& request);
  // Trusts `location`: nothing is looked up. `filesystem_root` as in Request.
  static Result<Cgroup> open(Location location, std::string filesystem_root = {});
  Cgroup(Cgroup&&) noexcept;
  Cgroup& operator=(Cgroup&&) noexcept;
  ~Cgroup();

  const Location& location() const;

  // Writes the limits of a new container; an unsupported one is an error that names the field
  // ("linux.resources.…"). Device access is denied but for resources.devices and, after them, the
  // devices every container gets (default_device_rules()). Under rootless, device rules are skipped.
  Result<> apply(const Resources& resources);
  // Writes only what is set, on a cgroup that has limits already. Device rules, if there are any,
  // replace the old ones. When one is refused, those written before it are set back.
  Result<> update(const Resources& resources);

  // cgroupfs: the files a single-threaded process writes "0" to in order to move itself in. v1 gives
  // `tasks` (no global lock is taken for oneself), v2 `cgroup.procs`; `unified` false leaves the latter
  // out, for processes made with CLONE_INTO_CGROUP. `below` is `exec --cgroup`, one each: "PATH" for
  // every hierarchy or "CONTROLLER[,...]:PATH" for some, sub-cgroups that exist. Call after apply().
  Result<std::vector<Fd>> entry_files(bool unified = true, std::span<const std::string> below = {}) const;
  // The unified folder for clone3(CLONE_INTO_CGROUP); an invalid Fd when there is no unified part.
  Result<Fd> unified_folder() const;
  // ... of the cgroup that `pid` is in: where exec goes when init moved to a sub-cgroup and the
  // container's own may have no processes any more (EBUSY).
  Result<Fd> unified_folder_of(pid_t pid) const;
  // Moves `pid` in from outside. For systemd this starts the scope, then the hierarchies are known.
  Result<> attach(pid_t pid, const Resources& resources);
  // v2: hands the folder and the files of /sys/kernel/cgroup/delegate to `uid` (config-linux.md,
  // "Cgroup ownership"). v1 hierarchies are left alone.
  Result<> delegate(uid_t uid);

  Result<> freeze();
  Result<> thaw();
  Result<bool> frozen() const;
  // Processes of this cgroup and those below it.
  Result<std::vector<pid_t>> processes() const;
  // `signal` to all of them; SIGKILL uses cgroup.kill where the kernel has it, and thaws.
  Result<> signal_all(int signal);
  Result<Stats> stats() const;
  // Kills nobody: fails with EBUSY while processes live. Retries briefly while the kernel lets go of
  // the dead. Sub-cgroups go too, and parents that create() made once they are empty. Missing folders
  // are fine.
  Result<> remove();
  // remove() of a cgroup that is empty, at one call for each folder; false: it was not, or not yet.
  bool remove_empty();

 private:
  struct State;
  explicit Cgroup(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Fields that are set but have no effect on any kernel, as sentences for the log (memory.kernel).
std::vector<std::string> ignored_fields(const Resources& resources);

}  // namespace proa::kernel::cgroup
