// A container's file system view: mounts, devices, masks, and the change of root. All of it runs in the
// container's own mount namespace, before the user's program, in the order of the functions below.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/cgroup/cgroup.h"
#include "oci/runtime/mount_options.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {

struct PreparedMount {
  const Mount* mount = nullptr;
  MountOptions options;
  Fd detached;  // a bind source opened where the host's privileges still held; may be empty
};

struct RootfsContext {
  const Spec* spec = nullptr;
  std::string rootfs;  // absolute
  std::vector<PreparedMount> mounts;
  const kernel::cgroup::Location* cgroup = nullptr;  // null: no cgroup
  bool user_namespace = false;                       // devices are bound, not made
  bool no_pivot = false;
  bool host_is_shared = false;  // linux.rootfsPropagation is shared: volumes may hand mounts back to the host
  bool attached = false;        // the root's bind mount is in place
  Fd root;                      // the root's mount, from attach_root() on
  Fd proc_sys;                  // the host's /proc/sys: inside, /proc may be anything
};

// In the runtime, before the namespaces are made: reads mount options and, when the container's user
// namespace would lack the rights (or for idmapped mounts), opens bind sources.
Result<> prepare_mounts(RootfsContext& context, int user_namespace_fd);

// In the container's mount namespace:
Result<> attach_root(RootfsContext& context);
Result<> mount_all(RootfsContext& context);
Result<> make_devices(RootfsContext& context);
Result<> mask_paths(RootfsContext& context);
Result<> write_sysctls(RootfsContext& context);
// Propagation that single mounts ask for, put back after the root's was set on all of them.
Result<> restore_propagation(const RootfsContext& context);
// pivot_root, read-only remount, propagation.
Result<> enter_root(RootfsContext& context);

// The host has the unified hierarchy alone.
bool host_is_unified();
// The hierarchy's folder in a container's /sys/fs/cgroup: "cpu,cpuacct", "systemd", "unified".
std::string cgroup_folder_name(const kernel::cgroup::Location::Hierarchy& hierarchy);

// Binds the terminal `pty_slave` over /dev/console.
Result<> bind_console(RootfsContext& context, int pty_slave);

}  // namespace proa::oci::runtime
