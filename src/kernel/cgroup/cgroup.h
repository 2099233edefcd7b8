// One container's cgroup, whatever the host has: v1 controllers, the unified hierarchy, or both at
// once (a controller is used where it is mounted; a v2 mount holding few or no controllers beside v1
// is fine). Two drivers: cgroupfs makes the folders itself, systemd asks PID 1 for a transient scope.
//
// Threads: a Cgroup belongs to one thread. Ownership: destroying a Cgroup leaves the kernel's cgroup
// alone; remove() deletes it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
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
  std::string cgroups_path;  // linux.cgroupsPath; empty: made from `id`
  std::string id;            // container id
  bool rootless = false;     // hierarchies that may not be written are skipped
  // org.systemd.property.* annotations, for the systemd driver.
  std::vector<std::pair<std::string, std::string>> systemd_properties;
  std::string filesystem_root;  // prefix for /sys/fs/cgroup and /proc (tests); empty: the host's
};

// Where it is: saved in the container's state, enough to find it again after a restart.
struct Location {
  struct Hierarchy {
    std::string controllers;  // "cpu", "cpu,cpuacct", "name=systemd"; "" for the unified hierarchy
    std::string path;         // absolute folder
  };
  std::vector<Hierarchy> hierarchies;
  std::string systemd_unit;  // empty for cgroupfs
  bool rootless = false;
  // First folder that create() made in each hierarchy's path, so that remove() takes away no more.
};

// Counters in the units of the kernel; absent controllers stay zero. Shape of `events --stats`.
struct Stats;

class Cgroup {
 public:
  // Makes the folders (cgroupfs) or only decides the unit's name (systemd, made by attach()). On
  // failure nothing is left.
  static Result<Cgroup> create(const Request& request);
  static Result<Cgroup> open(Location location);
  Cgroup(Cgroup&&) noexcept;
  Cgroup& operator=(Cgroup&&) noexcept;
  ~Cgroup();

  const Location& location() const;

  // Writes every limit; an unsupported one is an error that names the field ("linux.resources.…").
  // Device rules become devices.allow/deny files on v1 and an eBPF program on v2.
  Result<> apply(const Resources& resources);

  // cgroupfs: the files a single-threaded process writes "0" to in order to move itself in. v1 gives
  // `tasks` (no global lock is taken for oneself), v2 `cgroup.procs`. Empty for systemd before attach().
  Result<std::vector<Fd>> entry_files() const;
  // The unified folder for clone3(CLONE_INTO_CGROUP); an invalid Fd when the host has no unified part.
  Result<Fd> unified_folder() const;
  // Moves `pid` in from outside. For systemd this starts the scope, then hierarchies are known.
  Result<> attach(pid_t pid, const Resources& resources);

  Result<> freeze();
  Result<> thaw();
  Result<bool> frozen() const;
  // Processes of this cgroup and those below it.
  Result<std::vector<pid_t>> processes() const;
  // `signal` to all of them; SIGKILL uses cgroup.kill where the kernel has it, and thaws.
  Result<> signal_all(int signal);
  Result<Stats> stats() const;
  // Kills nobody: fails with EBUSY while processes live. Retries briefly while the kernel lets go of
  // the dead. Missing folders are fine.
  Result<> remove();

 private:
  struct State;
  explicit Cgroup(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace proa::kernel::cgroup
