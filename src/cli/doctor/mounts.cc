// File systems and the mount API.
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "base/error.h"
#include "base/fd.h"
#include "cli/doctor/probe.h"

namespace proa::cli::doctor {
namespace {

int call(long answer) { return answer < 0 ? errno : 0; }

int try_openat2() {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  const Fd fd(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how)));
  return fd ? 0 : errno;
}

// A private mount namespace with an empty tmpfs at /tmp, as root of a user namespace if need be.
int private_tmpfs() {
  if (const int error = call(::unshare(CLONE_NEWNS))) return error;
  if (const int error = call(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr))) return error;
  if (const int error = call(::mount("tmpfs", "/tmp", "tmpfs", 0, nullptr))) return error;
  return call(::chdir("/tmp"));
}

int try_overlay() {
  if (const int error = private_tmpfs()) return error;
  for (const char* name : {"lower", "upper", "work", "merged"})
    if (const int error = call(::mkdir(name, 0755))) return error;
  return call(::mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work"));
}

int try_tmpfs() { return private_tmpfs(); }

int try_new_mount_api() {
  if (const int error = private_tmpfs()) return error;
  const Fd context(static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  if (!context) return errno;
  if (const int error = call(::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0)))
    return error;
  const Fd mount(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0)));
  if (!mount) return errno;
  if (const int error = call(::mkdir("target", 0755))) return error;
  return call(::syscall(SYS_move_mount, mount.get(), "", AT_FDCWD, "target", MOVE_MOUNT_F_EMPTY_PATH));
}

int try_recursive_attributes() {
  if (const int error = private_tmpfs()) return error;
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  return call(::syscall(SYS_mount_setattr, AT_FDCWD, "/tmp", AT_RECURSIVE, &attributes, sizeof attributes));
}

bool write_text(const char* path, const char* text) {
  const Fd fd(::open(path, O_WRONLY | O_CLOEXEC));
  const auto size = static_cast<ssize_t>(std::string_view(text).size());
  return fd && ::write(fd.get(), text, static_cast<size_t>(size)) == size;
}

// A user namespace that maps 0 to 100000, held by a process that waits on the pipe.
Fd mapped_user_namespace() {
  int ready[2], hold[2];
  if (::pipe2(ready, O_CLOEXEC) != 0) return {};
  if (::pipe2(hold, O_CLOEXEC) != 0) return {};
  const pid_t holder = ::fork();
  char byte = 0;
  if (holder == 0) {
    ::close(hold[1]);
    byte = ::unshare(CLONE_NEWUSER) == 0 ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) == 1) [[maybe_unused]]
      const ssize_t ended = ::read(hold[0], &byte, 1);
    ::_exit(0);
  }
  Fd result;
  char path[64];
  if (::read(ready[0], &byte, 1) == 1 && byte == 'y') {
    bool mapped = true;
    for (const char* map : {"uid_map", "gid_map"}) {
      std::snprintf(path, sizeof path, "/proc/%d/%s", holder, map);
      mapped = mapped && write_text(path, "0 100000 65536");
    }
    std::snprintf(path, sizeof path, "/proc/%d/ns/user", holder);
    if (mapped) result = Fd(::open(path, O_RDONLY | O_CLOEXEC));
  }
  for (const int fd : {ready[0], ready[1], hold[0], hold[1]}) ::close(fd);
  ::waitpid(holder, nullptr, 0);
  return result;
}

int try_idmap_of(const char* path) {
  const Fd user = mapped_user_namespace();
  if (!user) return EPERM;
  const Fd tree(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!tree) return errno;
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user.get());
  return call(::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes));
}
int try_idmap_root() { return try_idmap_of("/"); }
int try_idmap_tmpfs() {
  if (const int error = private_tmpfs()) return error;
  return try_idmap_of("/tmp");
}

}  // namespace

void check_mounts(std::vector<Check>& out) {
  add(out, "mounts", "openat2", in_child(try_openat2), true,
      {"paths resolve inside a root", "", "use Linux 5.6 or newer"});
  add(out, "mounts", "tmpfs", in_child_as_root(try_tmpfs), true,
      {"", "cannot be mounted", "run as root, or allow user namespaces"});
  add(out, "mounts", "overlayfs", in_child_as_root(try_overlay), false,
      {"", "cannot be mounted; images are unpacked in full", "modprobe overlay; without root Linux 5.11 is needed"});
  add(out, "mounts", "new mount API", in_child_as_root(try_new_mount_api), false,
      {"fsopen, fsmount, move_mount", "mount(2) is used instead", "use Linux 5.2 or newer"});
  add(out, "mounts", "mount_setattr", in_child_as_root(try_recursive_attributes), false,
      {"recursive attributes", "no recursive read-only mounts", "use Linux 5.12 or newer"});
  if (!is_root()) return;
  add(out, "mounts", "idmapped tmpfs", in_child(try_idmap_tmpfs), false, {"", "", "use Linux 6.3 or newer"});
  add(out, "mounts", "idmapped root fs", in_child(try_idmap_root), false,
      {"", "the file system of / cannot be mapped; user-namespaced containers need their files' owners changed",
       "keep images on ext4, xfs or btrfs, with Linux 5.12 or newer"});
}

}  // namespace proa::cli::doctor
