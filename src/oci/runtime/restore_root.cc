#include "oci/runtime/restore_root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kernel/file.h"
#include "kernel/mount.h"
#include "oci/runtime/criu.h"
#include "oci/runtime/mountpoint.h"

namespace proa::oci::runtime {
namespace {

// criu brings a tmpfs back with all that is in it, mount points too.
bool on_tmpfs(const Spec& spec, const std::string& destination) {
  for (const Mount& each : spec.mounts)
    if (each.type == "tmpfs" && destination.starts_with(place_in_root(each.destination) + "/")) return true;
  return false;
}

// Bound for the time being, since later mounts may have their places in it.
Result<> bind_for_now(int root, const std::string& source, const std::string& destination) {
  struct stat info{};
  if (::stat(source.c_str(), &info) != 0) return fail_errno(errno, "source ", source);
  Fd target =
      TRY(S_ISDIR(info.st_mode) ? make_folder_in_root(root, destination) : make_file_in_root(root, destination));
  return kernel::mount_bind({.source = source.c_str(), .recursive = true, .own = {}, .all = {}},
                            {target.get(), root, destination.c_str()});
}

Result<bool> prepare_mount(const Spec& spec, const std::string& bundle, int root, const Mount& mount) {
  const std::string destination = place_in_root(mount.destination);
  if (mount.type == "cgroup" || mount.type == "cgroup2" || on_tmpfs(spec, destination)) return false;
  if (criu::is_bind(mount, *spec.linux_)) {
    TRY(bind_for_now(root, absolute_source(bundle, mount), destination));
    return true;
  }
  const Fd target = TRY(make_folder_in_root(root, destination));
  return false;
}

}  // namespace

std::string absolute_source(const std::string& bundle, const Mount& mount) {
  return mount.source.starts_with('/') ? mount.source : cat(bundle, "/", mount.source);
}

Result<> prepare_root_for_restore(const Spec& spec, const std::string& bundle, const std::string& rootfs,
                                  const std::string& place) {
  TRY(kernel::set_propagation("/", MS_SLAVE | MS_REC));
  Fd tree = TRY_CTX(kernel::clone_tree(AT_FDCWD, rootfs.c_str(), true), "root.path");
  TRY_CTX(kernel::attach_at(tree.get(), place.c_str()), "root.path");
  std::vector<std::string> bound;
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    const Mount& mount = spec.mounts[i];
    if (TRY_CTX(prepare_mount(spec, bundle, tree.get(), mount), "mounts[", i, "] (", mount.destination, ")"))
      bound.push_back(place_in_root(mount.destination));
  }
  for (auto each = bound.rbegin(); each != bound.rend(); ++each) {
    Fd mounted = TRY(kernel::open_in_root(tree.get(), each->c_str(), O_PATH));
    TRY(kernel::unmount(kernel::FdPath(mounted.get()).c_str(), MNT_DETACH));
  }
  return {};
}

}  // namespace proa::oci::runtime
