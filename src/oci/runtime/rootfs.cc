#include "oci/runtime/rootfs.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "kernel/file.h"
#include "kernel/mount.h"
#include "oci/runtime/mountpoint.h"
#include "oci/spec/sysctl.h"

namespace proa::oci::runtime {
namespace {

struct Propagation {
  std::string_view name;
  uint64_t flags;
};
constexpr Propagation kPropagations[] = {{"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
                                         {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
                                         {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
                                         {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC}};

uint64_t propagation_flags(std::string_view name) {
  for (const Propagation& each : kPropagations)
    if (each.name == name) return each.flags;
  return 0;
}

// pivot_root(2) refuses a root whose parent mount is shared, and the bind of the root would travel to
// the host: make the mount that holds the folder private.
Result<> make_parent_private(const std::string& rootfs) {
  std::string path = rootfs;
  for (;;) {
    auto done = kernel::set_propagation(path.c_str(), MS_PRIVATE);
    if (done) return {};
    if (done.error().code() != EINVAL || path == "/") return done;  // EINVAL: not a mount point
    path = path.substr(0, path.rfind('/'));
    if (path.empty()) path = "/";
  }
}

bool has_mount_namespace(const RootfsContext& context) {
  return context.spec->linux_ && context.spec->linux_->find(NamespaceType::kMount) != nullptr;
}

}  // namespace

Result<> attach_root(RootfsContext& context) {
  context.proc_sys = TRY(kernel::open("/proc/sys", O_PATH | O_DIRECTORY));
  if (!has_mount_namespace(context)) {
    // In the host's own mount namespace: all that is mounted hangs below one bind mount, which `delete`
    // takes away whole.
    context.root = TRY_CTX(kernel::clone_tree(AT_FDCWD, context.rootfs.c_str(), true), "root.path");
    TRY_CTX(kernel::set_attributes(context.root.get(), "", {.propagation = MS_PRIVATE}, true), "root.path");
    TRY_CTX(kernel::attach_at(context.root.get(), context.rootfs.c_str()), "root.path");
    context.attached = true;
    return {};
  }
  // Until the root is changed nothing we mount may reach the host, whatever the root becomes later. With
  // a shared root the volumes must stay tied to the host's mounts, so there only the root itself is untied.
  const uint64_t wanted = propagation_flags(context.spec->linux_->rootfs_propagation);
  context.host_is_shared = (wanted & MS_SHARED) != 0;
  if (context.host_is_shared)
    TRY_CTX(make_parent_private(context.rootfs), "root.path");
  else
    TRY(kernel::set_propagation("/", (wanted == (MS_PRIVATE | MS_REC) ? MS_PRIVATE : MS_SLAVE) | MS_REC));
  context.root = TRY_CTX(kernel::clone_tree(AT_FDCWD, context.rootfs.c_str(), true), "root.path");
  if (context.host_is_shared)
    TRY_CTX(kernel::set_attributes(context.root.get(), "", {.propagation = MS_SLAVE}, true), "root.path");
  TRY_CTX(kernel::attach_at(context.root.get(), context.rootfs.c_str()), "root.path");
  context.attached = true;
  return {};
}

Result<> write_sysctls(RootfsContext& context) {
  for (const auto& [key, value] : context.spec->linux_->sysctl) {
    const std::string path = TRY(sysctl_path(key));
    Fd file =
        TRY_CTX(kernel::open_beneath_no_links(context.proc_sys.get(), path.c_str(), O_WRONLY), "linux.sysctl.", key);
    TRY_CTX(kernel::write_all(file.get(), value), "linux.sysctl.", key, "=", value);
  }
  return {};
}

Result<> enter_root(RootfsContext& context) {
  if (!has_mount_namespace(context))
    TRY(kernel::change_root(context.root.get()));
  else if (context.no_pivot)
    TRY(kernel::move_root(context.root.get()));
  else
    TRY(kernel::pivot_to(context.root.get()));
  if (const uint64_t flags = propagation_flags(context.spec->linux_->rootfs_propagation);
      flags != 0 && has_mount_namespace(context)) {
    TRY_CTX(kernel::set_propagation("/", flags), "linux.rootfsPropagation");
    if ((flags & MS_REC) != 0) TRY(restore_propagation(context));
  }
  if (context.spec->root->readonly)
    TRY_CTX(kernel::set_attributes(context.root.get(), "", {.set = MOUNT_ATTR_RDONLY}, false), "root.readonly");
  return {};
}

}  // namespace proa::oci::runtime
