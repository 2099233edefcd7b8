#include "kernel/mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <string>

#include "kernel/file.h"
#include "kernel/sys.h"

namespace proa::kernel {
namespace {

constexpr CallShape kOpenTree{SYS_open_tree, "open_tree", "dsx"};
constexpr CallShape kMoveMount{SYS_move_mount, "move_mount", "dsdsx"};
constexpr CallShape kFsopen{SYS_fsopen, "fsopen", "sx"};
constexpr CallShape kFsconfigText{SYS_fsconfig, "fsconfig", "ddssd"};
constexpr CallShape kFsmount{SYS_fsmount, "fsmount", "dxx"};
constexpr CallShape kMountSetattr{SYS_mount_setattr, "mount_setattr", "dsxpd"};
constexpr CallShape kMount{SYS_mount, "mount", "sssxs"};
constexpr CallShape kUmount2{SYS_umount2, "umount2", "sx"};
constexpr CallShape kPivotRoot{SYS_pivot_root, "pivot_root", "ss"};
constexpr CallShape kFchdir{SYS_fchdir, "fchdir", "d"};
constexpr CallShape kChdir{SYS_chdir, "chdir", "s"};
constexpr CallShape kChroot{SYS_chroot, "chroot", "s"};

// The kernel writes what was wrong with a filesystem context as lines "e text" to its descriptor.
std::string context_message(int fs) {
  char buffer[512];
  const ssize_t got = ::read(fs, buffer, sizeof buffer);
  if (got <= 2) return {};
  std::string_view text(buffer + 2, static_cast<size_t>(got) - 2);
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return std::string(text);
}

Result<> configure(int fs, unsigned command, const char* key, const char* value) {
  const long answer = call(kFsconfigText, fs, command, key, value, 0);
  if (answer >= 0) return {};
  const std::string message = context_message(fs);
  return fail_errno(static_cast<int>(-answer), key == nullptr ? "make filesystem" : cat("option ", key),
                    message.empty() ? "" : cat(" (", message, ")"));
}

Result<> configure_option(int fs, std::string_view option) {
  const size_t equals = option.find('=');
  const std::string key(option.substr(0, equals));
  if (equals == std::string_view::npos) return configure(fs, FSCONFIG_SET_FLAG, key.c_str(), nullptr);
  std::string_view value = option.substr(equals + 1);
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
  return configure(fs, FSCONFIG_SET_STRING, key.c_str(), std::string(value).c_str());
}

Result<> configure_options(int fs, std::string_view options) {
  while (!options.empty()) {
    size_t end = 0;
    for (bool quoted = false; end < options.size() && (quoted || options[end] != ','); ++end)
      if (options[end] == '"') quoted = !quoted;
    const std::string_view option = options.substr(0, end);
    options.remove_prefix(end < options.size() ? end + 1 : end);
    if (!option.empty()) TRY(configure_option(fs, option));
  }
  return {};
}

struct SuperblockFlag {
  uint64_t flag;
  const char* option;
};
constexpr SuperblockFlag kSuperblockFlags[] = {{MS_RDONLY, "ro"},
                                               {MS_SYNCHRONOUS, "sync"},
                                               {MS_DIRSYNC, "dirsync"},
                                               {MS_MANDLOCK, "mand"},
                                               {MS_LAZYTIME, "lazytime"}};

}  // namespace

Result<Fd> clone_tree(int dirfd, const char* path, bool recursive, bool nofollow) {
  const unsigned flags =
      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0u) | (nofollow ? AT_SYMLINK_NOFOLLOW : 0u);
  return check_fd(call(kOpenTree, dirfd, path, flags), "clone mount at ", path);
}

Result<Fd> clone_tree(int fd, bool recursive) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);
  return check_fd(call(kOpenTree, fd, "", flags), "clone mount");
}

Result<> set_attributes(int dirfd, const char* path, const MountAttributes& attributes, bool recursive) {
  mount_attr attr{.attr_set = attributes.set,
                  .attr_clr = attributes.clear,
                  .propagation = attributes.propagation,
                  .userns_fd = attributes.userns_fd < 0 ? 0 : static_cast<uint64_t>(attributes.userns_fd)};
  const unsigned flags = (*path == '\0' ? AT_EMPTY_PATH : 0u) | (recursive ? AT_RECURSIVE : 0u);
  return check_ok(call(kMountSetattr, dirfd, path, flags, &attr, sizeof attr), "set mount attributes");
}

Result<Fd> make_filesystem(const Filesystem& filesystem) {
  Fd fs = TRY(check_fd(call(kFsopen, filesystem.type, FSOPEN_CLOEXEC), "open filesystem type ", filesystem.type));
  if (filesystem.source != nullptr && *filesystem.source != '\0')
    TRY_CTX(configure(fs.get(), FSCONFIG_SET_STRING, "source", filesystem.source), filesystem.type);
  for (const SuperblockFlag& flag : kSuperblockFlags)
    if ((filesystem.superblock & flag.flag) != 0)
      TRY_CTX(configure(fs.get(), FSCONFIG_SET_FLAG, flag.option, nullptr), filesystem.type);
  TRY_CTX(configure_options(fs.get(), filesystem.options), filesystem.type);
  TRY_CTX(configure(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr), filesystem.type);
  return check_fd(call(kFsmount, fs.get(), FSMOUNT_CLOEXEC, filesystem.attributes), "mount ", filesystem.type);
}

Result<> attach(int mount_fd, int target) {
  return check_ok(call(kMoveMount, mount_fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH),
                  "attach mount");
}

Result<> attach_at(int mount_fd, const char* path) { return attach_in(mount_fd, AT_FDCWD, path); }

Result<> attach_in(int mount_fd, int dirfd, const char* path) {
  return check_ok(call(kMoveMount, mount_fd, "", dirfd, path, MOVE_MOUNT_F_EMPTY_PATH), "attach mount at ", path);
}

namespace {

struct AttributeFlag {
  uint64_t attribute, flag;
};
constexpr AttributeFlag kAttributeFlags[] = {
    {MOUNT_ATTR_RDONLY, MS_RDONLY}, {MOUNT_ATTR_NOSUID, MS_NOSUID},         {MOUNT_ATTR_NODEV, MS_NODEV},
    {MOUNT_ATTR_NOEXEC, MS_NOEXEC}, {MOUNT_ATTR_NODIRATIME, MS_NODIRATIME}, {MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW},
};

// mount(2)'s bits for MOUNT_ATTR_*; the access time is a field of values there, bits here.
uint64_t mount_flags_of(uint64_t attributes) {
  uint64_t flags = 0;
  for (const AttributeFlag& each : kAttributeFlags)
    if ((attributes & each.attribute) != 0) flags |= each.flag;
  switch (attributes & MOUNT_ATTR__ATIME) {
    case MOUNT_ATTR_NOATIME: return flags | MS_NOATIME;
    case MOUNT_ATTR_STRICTATIME: return flags | MS_STRICTATIME;
    default: return flags;
  }
}

bool lacks_call(const Error& error) { return error.code() == ENOSYS; }

Result<> mount_filesystem_by_path(const Filesystem& filesystem, const MountTarget& target) {
  const std::string options(filesystem.options);
  return check_ok(
      call(kMount, filesystem.source == nullptr ? filesystem.type : filesystem.source, FdPath(target.fd).c_str(),
           filesystem.type, filesystem.superblock | mount_flags_of(filesystem.attributes), options.c_str()),
      "mount ", filesystem.type);
}

Result<> mount_bind_by_path(const Bind& bind, const MountTarget& target) {
  if (bind.nofollow || bind.all.set != 0 || bind.all.clear != 0 || (bind.own.set & MOUNT_ATTR_IDMAP) != 0)
    return fail_errno(ENOSYS, "recursive attributes, idmapped mounts and mounts of links")
        .hint("Linux 5.12 or newer has them");
  TRY(check_ok(
      call(kMount, bind.source, FdPath(target.fd).c_str(), nullptr, MS_BIND | (bind.recursive ? MS_REC : 0), nullptr),
      "bind ", bind.source));
  Fd mounted = TRY(open_in_root(target.root, target.path, O_PATH));
  const FdPath path(mounted.get());
  if (bind.own.set != 0 || bind.own.clear != 0)
    TRY(check_ok(
        call(kMount, nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_BIND | mount_flags_of(bind.own.set), nullptr),
        "remount ", bind.source));
  if (bind.own.propagation != 0) TRY(set_propagation(path.c_str(), bind.own.propagation));
  return bind.all.propagation == 0 ? Result<>{} : set_propagation(path.c_str(), bind.all.propagation | MS_REC);
}

}  // namespace

Result<> mount_filesystem(const Filesystem& filesystem, const MountTarget& target) {
  auto made = make_filesystem(filesystem);
  if (!made && lacks_call(made.error())) return mount_filesystem_by_path(filesystem, target);
  if (!made) return std::unexpected(std::move(made).error());
  return attach(made->get(), target.fd);
}

Result<> apply_attributes(int mount_fd, const Bind& bind) {
  for (const MountAttributes* each : {&bind.own, &bind.all})
    if (each->set != 0 || each->clear != 0 || each->propagation != 0)
      TRY(set_attributes(mount_fd, "", *each, each == &bind.all));
  return {};
}

Result<> mount_bind(const Bind& bind, const MountTarget& target) {
  auto made = clone_tree(AT_FDCWD, bind.source, bind.recursive, bind.nofollow);
  if (!made && lacks_call(made.error())) return mount_bind_by_path(bind, target);
  if (!made) return std::unexpected(std::move(made).error());
  TRY(apply_attributes(made->get(), bind));
  return attach(made->get(), target.fd);
}

Result<> set_propagation(const char* path, uint64_t flags) {
  return check_ok(call(kMount, nullptr, path, nullptr, flags, nullptr), "set propagation of ", path);
}

Result<> unmount(const char* path, int flags) { return check_ok(call(kUmount2, path, flags), "unmount ", path); }

Result<> pivot_to(int new_root) {
  const Fd old_root = TRY(open("/", O_PATH | O_DIRECTORY));
  TRY(check_ok(call(kFchdir, new_root), "enter the new root"));
  // pivot_root(2), "pivot_root(".", ".")": the old root ends up mounted on top of the new one.
  TRY(check_ok(call(kPivotRoot, ".", "."), "pivot root"));
  // The old root must not hand our unmounts back to the host. "." would still be the new one.
  TRY(check_ok(call(kFchdir, old_root.get()), "enter the old root"));
  TRY(set_propagation(".", MS_SLAVE | MS_REC));
  TRY(unmount(".", MNT_DETACH));
  return check_ok(call(kChdir, "/"), "enter the new root");
}

Result<> move_root(int new_root) {
  TRY(check_ok(call(kFchdir, new_root), "enter the new root"));
  TRY(check_ok(call(kMount, ".", "/", nullptr, MS_MOVE, nullptr), "move the root mount"));
  TRY(check_ok(call(kChroot, "."), "change root"));
  return check_ok(call(kChdir, "/"), "enter the new root");
}

Result<> change_root(int new_root) {
  TRY(check_ok(call(kFchdir, new_root), "enter the new root"));
  TRY(check_ok(call(kChroot, "."), "change root"));
  return check_ok(call(kChdir, "/"), "enter the new root");
}

}  // namespace proa::kernel
