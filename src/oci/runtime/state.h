// What the runtime remembers of a container: <root>/<id>/ with
//   record       config.json as it was at create, and this struct (record.h; `version` in it grows when a reader
//                must care)
//   start.sock   while created: the process waits on it for "start"
// The folder's mode is 0700 while the container is being created and 0711 afterwards, 01711 if its processes
// may look into others. Its flock is held by
// whoever changes the container. A folder that is "creating" and whose lock is free belongs to a creator
// that died: the next command takes it away.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/cgroup/cgroup.h"
#include "oci/runtime/runtime.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {

// runtime-spec "State".
enum class Status : uint8_t { kCreating, kCreated, kRunning, kStopped, kPaused };
std::string_view status_name(Status status);

struct ContainerState {
  std::string id, oci_version, bundle, rootfs, created;  // created: RFC 3339
  bool creating = true;                                  // not saved: StateFolder::finish()
  bool started = false;                                  // start was ordered
  bool traced = false;                                   // not saved either
  pid_t pid = 0;                                         // init process, in the runtime's pid namespace
  uint64_t start_time = 0;                               // with pid: kernel/process.h, process_start_time()
  uint32_t owner = 0;                                    // uid that created it
  bool rootless = false, no_new_keyring = false;
  bool systemd_cgroup = false, no_cgroup = false;  // how the cgroup is made
  // Without a mount namespace the root's bind mount is on the host: the mount that held the root before; 0 with one.
  uint64_t host_mount = 0;
  std::string resctrl_group, resctrl_monitor;  // folders to remove, empty when none
  StringMap annotations;
  kernel::cgroup::Location cgroup;
};

// Folder of all containers.
Result<std::string> state_root(const Globals& globals);
Result<> check_id(std::string_view id);

// What a record holds.
struct WholeRecord {
  ContainerState state;
  Spec spec;
};

// An open container folder.
class StateFolder {
 public:
  // Makes it; EEXIST when the id is taken (after taking away what a dead creator left). Locked.
  static Result<StateFolder> create(const Globals& globals, const std::string& id);
  // ENOENT when there is no such container. `lock`: wait for whoever changes it.
  static Result<StateFolder> open(const Globals& globals, const std::string& id, bool lock);

  const std::string& path() const { return path_; }
  int fd() const { return dir_.get(); }

  // The first word of a creator, with its configuration; save() for what changes from then on. replace() is for
  // a configuration that changes, too.
  Result<> begin(const ContainerState& state, std::string_view config) const;
  Result<> save(const ContainerState& state) const;
  Result<> replace(const ContainerState& state, std::string_view config) const;
  // The container is complete: until now it was "creating", whatever was saved. One system call, as it is
  // the moment that decides whether a killed creator's work is kept.
  // `traced`: a process of the container may look into others (shield.h).
  Result<> finish(bool traced) const;
  Result<ContainerState> load() const;
  Result<Spec> load_config() const;
  // Both, with the record read once.
  Result<WholeRecord> load_whole() const;

  // Listens on start.sock; the container's process inherits the descriptor.
  Result<Fd> listen() const;
  // Connects to a waiting process; ECONNREFUSED or ENOENT when none waits.
  Result<Fd> connect() const;
  void forget_start() const;

  // In a child of whoever locked it: lets go of the descriptor and so of the lock.
  void leave() { dir_.reset(); }

  // For a `run` that waits: others may change the container meanwhile. lock_again() is false when it
  // was removed.
  void unlock() const;
  Result<bool> lock_again() const;

  // Removes the folder and all in it.
  Result<> remove();

 private:
  Result<ContainerState> parse(std::string_view text) const;

  std::string path_;
  Fd dir_;
};

// The mount that `path` is on, by the number that no two mounts have at a time (statx(2), STATX_MNT_ID).
Result<uint64_t> mount_id(const std::string& path);

// The state as the kernel has it now.
Result<Status> current_status(const StateFolder& folder, const ContainerState& state);

// The state document (runtime-spec "State") for hooks, seccomp listeners and `state`.
std::string state_document(const ContainerState& state, Status status, pid_t pid);

// The cgroup to make for a container, or that a dead creator may have made.
kernel::cgroup::Request cgroup_request(const ContainerState& state, const Linux& linux_, const StringMap& annotations);

// Takes away everything a container still holds (processes, cgroup, resctrl group), then its folder.
Result<> destroy(StateFolder& folder, const ContainerState& state);

// Names of the folders in the state root, sorted; folders that a dead creator left are taken away.
Result<std::vector<std::string>> container_ids(const Globals& globals);

}  // namespace proa::oci::runtime
