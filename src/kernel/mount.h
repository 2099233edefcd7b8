// Mounts by the new mount API (open_tree, fsopen, mount_setattr, move_mount), on descriptors: a
// mount is made detached, given its attributes, and only then attached, so it is never seen half made
// and no path is resolved twice. Where a kernel lacks a call, the mount(2) form of the same step is
// used on /proc/self/fd/N of the target.
#pragma once

#include <linux/mount.h>

#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace proa::kernel {

// Detached copy of the mount at `path` (and those below it when `recursive`). `nofollow`: of a symlink
// itself.
Result<Fd> clone_tree(int dirfd, const char* path, bool recursive, bool nofollow = false);
// ... of what `fd` (O_PATH) refers to.
Result<Fd> clone_tree(int fd, bool recursive);

struct MountAttributes {
  uint64_t set = 0, clear = 0;  // MOUNT_ATTR_*
  uint64_t propagation = 0;     // MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE
  int userns_fd = -1;           // with MOUNT_ATTR_IDMAP
};
// On the mount that `path` below `dirfd` is the root of ("" = dirfd itself).
Result<> set_attributes(int dirfd, const char* path, const MountAttributes& attributes, bool recursive);

struct Filesystem {
  const char* type = "";
  const char* source = nullptr;
  std::string_view options;  // comma-separated, as in mount(8)'s -o; quotes protect commas
  uint64_t superblock = 0;   // MS_RDONLY, MS_SYNCHRONOUS, MS_DIRSYNC, MS_MANDLOCK, MS_LAZYTIME
  uint64_t attributes = 0;   // MOUNT_ATTR_*
};
// A new superblock (or the existing one it resolves to), mounted detached.
Result<Fd> make_filesystem(const Filesystem& filesystem);

// Attaches a detached mount on what `target` (O_PATH) refers to.
Result<> attach(int mount_fd, int target);
// ... on a host path.
Result<> attach_at(int mount_fd, const char* path);
// ... at a name in a folder that nobody else can change.
Result<> attach_in(int mount_fd, int dirfd, const char* name);

// Where a mount goes: `fd` (O_PATH) is the place itself; root and path name it again, since after a
// mount(2) only a new look-up reaches what was mounted there.
struct MountTarget {
  int fd = -1;
  int root = -1;
  const char* path = "";
};

// make_filesystem() and attach() in one; by mount(2) where the kernel has no fsopen.
Result<> mount_filesystem(const Filesystem& filesystem, const MountTarget& target);
// A bind mount with attributes on both itself and (recursive_*) everything below it, attached on
// `target`; by mount(2) where the kernel has no open_tree. `source` is a host path.
struct Bind {
  const char* source = "";
  bool recursive = false;
  bool nofollow = false;  // the source may be a symlink: that itself
  MountAttributes own, all;
};
Result<> mount_bind(const Bind& bind, const MountTarget& target);
// The attributes of a Bind put on a detached copy.
Result<> apply_attributes(int mount_fd, const Bind& bind);

// Changes the propagation (MS_SHARED, ... optionally | MS_REC) of the mount at `path`.
Result<> set_propagation(const char* path, uint64_t flags);
Result<> unmount(const char* path, int flags);

// Makes `new_root` (a mount point's descriptor) the root of this mount namespace and lets the old
// root go, with all that was mounted below it. The working folder is the new root afterwards.
Result<> pivot_to(int new_root);
// For roots that cannot be pivoted (initramfs): moves the mount over "/" and changes root.
Result<> move_root(int new_root);
Result<> change_root(int new_root);

}  // namespace proa::kernel
