// The "mounts" list of config.json.
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/log.h"
#include "kernel/file.h"
#include "kernel/lsm.h"
#include "kernel/mount.h"
#include "oci/runtime/copy_tree.h"
#include "oci/runtime/idmap.h"
#include "oci/runtime/mountpoint.h"
#include "oci/runtime/rootfs.h"

namespace proa::oci::runtime {
namespace {

constexpr uint64_t kSuperblockFlags = MS_RDONLY | MS_SYNCHRONOUS | MS_DIRSYNC | MS_MANDLOCK | MS_LAZYTIME;

// Files of /proc that may be mounted over (lxcfs and the like); anything else below /proc could
// trick the runtime or the container's tools.
constexpr std::array<std::string_view, 10> kProcFiles = {"/proc/cpuinfo",
                                                         "/proc/diskstats",
                                                         "/proc/meminfo",
                                                         "/proc/stat",
                                                         "/proc/swaps",
                                                         "/proc/uptime",
                                                         "/proc/loadavg",
                                                         "/proc/slabinfo",
                                                         "/proc/sys/kernel/ns_last_pid",
                                                         "/proc/sys/crypto/fips_enabled"};

bool on_procfs(int fd) {
  struct statfs info{};
  return ::fstatfs(fd, &info) == 0 && info.f_type == PROC_SUPER_MAGIC;
}

// `is_proc`: what is mounted is a procfs. Nothing else may stand at /proc, or the container's tools would
// read and write what somebody made up.
Result<> check_proc_target(const std::string& destination, int target, bool is_proc) {
  if (destination == "/proc") {
    if (is_proc) return {};
    return fail(destination, " cannot be mounted because it is not of type proc");
  }
  if (!on_procfs(target)) return {};
  const struct stat info = TRY(kernel::stat_fd(target));
  constexpr ino_t kProcRoot = 1;
  if (info.st_ino == kProcRoot && is_proc) return {};
  if (std::find(kProcFiles.begin(), kProcFiles.end(), destination) != kProcFiles.end()) return {};
  return fail(destination, " cannot be mounted because it is inside /proc");
}

kernel::Bind bind_of(const PreparedMount& prepared) {
  const MountOptions& options = prepared.options;
  return {.source = prepared.mount->source.c_str(),
          .recursive = options.is_recursive_bind(),
          .nofollow = options.source_nofollow,
          .own = {.set = options.attr.set, .clear = options.attr.clear},
          .all = {.set = options.recursive_attr.set, .clear = options.recursive_attr.clear}};
}

// Where the host's tree is still shared, a volume hands the container's mounts back only if it says so.
kernel::Bind bind_in_shared_tree(const RootfsContext& context, const PreparedMount& prepared) {
  kernel::Bind bind = bind_of(prepared);
  if (context.host_is_shared && prepared.options.propagation.empty())
    (bind.recursive ? bind.all : bind.own).propagation = MS_SLAVE;
  return bind;
}

Result<bool> source_is_folder(const PreparedMount& prepared) {
  struct stat info{};
  const bool nofollow = prepared.options.source_nofollow;
  if (prepared.detached)
    info = TRY(kernel::stat_fd(prepared.detached.get()));
  else if (::fstatat(AT_FDCWD, prepared.mount->source.c_str(), &info, nofollow ? AT_SYMLINK_NOFOLLOW : 0) != 0)
    return fail_errno(errno, "source ", prepared.mount->source);
  return S_ISDIR(info.st_mode);
}

bool source_is_procfs(const PreparedMount& prepared) {
  if (prepared.detached) return on_procfs(prepared.detached.get());
  struct statfs info{};
  return ::statfs(prepared.mount->source.c_str(), &info) == 0 && info.f_type == PROC_SUPER_MAGIC;
}

Result<> apply_propagation(const RootfsContext& context, const PreparedMount& prepared,
                           const std::string& destination) {
  if (prepared.options.propagation.empty()) return {};
  const int nofollow = prepared.options.dest_nofollow ? O_NOFOLLOW : 0;
  Fd mounted = TRY(kernel::open_in_root(context.root.get(), destination.c_str(), O_PATH | nofollow));
  const kernel::FdPath path(mounted.get());
  for (const uint64_t flags : prepared.options.propagation) TRY(kernel::set_propagation(path.c_str(), flags));
  return {};
}

// "copy-symlink": a source that is a link is made again, not followed. False when it is none.
Result<bool> copy_link(const RootfsContext& context, const PreparedMount& prepared, const std::string& destination) {
  char target[PATH_MAX];
  const ssize_t length = ::readlink(prepared.mount->source.c_str(), target, sizeof target - 1);
  if (length < 0) return false;
  target[length] = '\0';
  const Place place = TRY(make_parent_in_root(context.root.get(), destination));
  if (::symlinkat(target, place.parent.get(), place.name.c_str()) == 0) return true;
  char found[PATH_MAX];
  const int code = errno;
  const ssize_t same = ::readlinkat(place.parent.get(), place.name.c_str(), found, sizeof found - 1);
  if (same == length && std::string_view(found, static_cast<size_t>(same)) == target) return true;
  return fail_errno(code, "copy the link to ", destination);
}

Result<Fd> bind_target(const RootfsContext& context, const PreparedMount& prepared, const std::string& destination) {
  if (prepared.options.dest_nofollow) {
    const Place place = TRY(make_parent_in_root(context.root.get(), destination));
    auto found = kernel::open_at(place.parent.get(), place.name.c_str(), O_PATH | O_NOFOLLOW);
    if (found || found.error().code() != ENOENT) return found;
  }
  return TRY(source_is_folder(prepared)) ? make_folder_in_root(context.root.get(), destination)
                                         : make_file_in_root(context.root.get(), destination);
}

Result<> mount_bind(RootfsContext& context, const PreparedMount& prepared, const std::string& destination) {
  if (prepared.options.copy_symlink && TRY(copy_link(context, prepared, destination))) return {};
  Fd target = TRY(bind_target(context, prepared, destination));
  TRY(check_proc_target(destination, target.get(), source_is_procfs(prepared)));
  if (prepared.detached)
    TRY(kernel::attach(prepared.detached.get(), target.get()));
  else
    TRY(kernel::mount_bind(bind_in_shared_tree(context, prepared),
                           {target.get(), context.root.get(), destination.c_str()}));
  return apply_propagation(context, prepared, destination);
}

Result<> remount(RootfsContext& context, const PreparedMount& prepared, const std::string& destination) {
  Fd target = TRY(kernel::open_in_root(context.root.get(), destination.c_str(), O_PATH));
  TRY(kernel::apply_attributes(target.get(), bind_of(prepared)));
  return apply_propagation(context, prepared, destination);
}

// linux.mountLabel, where SELinux is there to enforce it.
Result<std::string> labelled(const RootfsContext& context, const std::string& data) {
  const std::string& label = context.spec->linux_->mount_label;
  if (label.empty() || !kernel::selinux_enabled()) return data;
  return kernel::with_mount_label(data, label);
}

bool has_mode(std::string_view data) {
  return data.starts_with("mode=") || data.find(",mode=") != std::string_view::npos;
}

kernel::Filesystem filesystem_of(const PreparedMount& prepared, const std::string& data) {
  return {.type = prepared.mount->type.c_str(),
          .source = prepared.mount->source.c_str(),
          .options = data,
          .superblock = prepared.options.flags & kSuperblockFlags,
          .attributes = prepared.options.attr.set};
}

Result<> mount_tmpfs(RootfsContext& context, const PreparedMount& prepared, const std::string& destination) {
  Fd target = TRY(make_folder_in_root(context.root.get(), destination));
  TRY(check_proc_target(destination, target.get(), false));
  std::string data = TRY(labelled(context, prepared.options.data));
  // What the image gave the folder stays its mode.
  if (!has_mode(data)) {
    char mode[16];
    std::snprintf(mode, sizeof mode, "mode=%o", TRY(kernel::stat_fd(target.get())).st_mode & 07777);
    data += cat(data.empty() ? "" : ",", mode);
  }
  kernel::Filesystem filesystem = filesystem_of(prepared, data);
  if (!prepared.options.tmpcopyup) {
    TRY(kernel::mount_filesystem(filesystem, {target.get(), context.root.get(), destination.c_str()}));
    return apply_propagation(context, prepared, destination);
  }
  // The copy is made while the tmpfs is writable and attached to nothing.
  const uint64_t attributes = filesystem.attributes;
  filesystem.superblock &= ~static_cast<uint64_t>(MS_RDONLY);
  filesystem.attributes = 0;
  Fd tmpfs = TRY(kernel::make_filesystem(filesystem));
  Fd from = TRY(kernel::open_in_root(context.root.get(), destination.c_str(), O_RDONLY | O_DIRECTORY));
  TRY_CTX(copy_tree(from.get(), tmpfs.get()), "tmpcopyup");
  if (attributes != 0) TRY(kernel::set_attributes(tmpfs.get(), "", {.set = attributes}, false));
  TRY(kernel::attach(tmpfs.get(), target.get()));
  return apply_propagation(context, prepared, destination);
}

// Private, like a mount of its own: criu refuses what follows the host's.
Result<> set_cgroup_attributes(const Fd& mount, const PreparedMount& prepared, bool recursive) {
  const auto& attr = prepared.options.attr;
  return kernel::set_attributes(mount.get(), "", {.set = attr.set, .clear = attr.clear, .propagation = MS_PRIVATE},
                                recursive);
}

// A container sees its own cgroups only: each hierarchy's folder is bound in place, which inside a
// cgroup namespace looks the same as a mount of the hierarchy, for a quarter of the work.
Result<> mount_cgroup_v1(RootfsContext& context, const PreparedMount& prepared, int target) {
  Fd tmpfs = TRY(kernel::make_filesystem({.type = "tmpfs",
                                          .source = "tmpfs",
                                          .options = "mode=755",
                                          .attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC}));
  TRY(kernel::attach(tmpfs.get(), target));
  // As seen from this mount namespace; below it, one walk of /sys less for each.
  const std::string top = "/sys/fs/cgroup/";
  const Fd host = TRY(kernel::open(top.c_str(), O_PATH | O_DIRECTORY));
  for (const auto& hierarchy : context.cgroup->hierarchies) {
    const std::string name = cgroup_folder_name(hierarchy);
    TRY(kernel::make_dir_at(tmpfs.get(), name.c_str(), 0755));
    const char* path = hierarchy.path.c_str();
    if (hierarchy.path.starts_with(top)) path += top.size();
    Fd bound = TRY(kernel::clone_tree(host.get(), path, false));
    TRY(kernel::attach_in(bound.get(), tmpfs.get(), name.c_str()));
    // Controllers mounted together are also found under each one's name.
    if (name.find(',') == std::string::npos) continue;
    for (size_t at = 0; at < name.size();) {
      const size_t end = std::min(name.find(',', at), name.size());
      if (::symlinkat(name.c_str(), tmpfs.get(), name.substr(at, end - at).c_str()) != 0 && errno != EEXIST)
        return fail_errno(errno, "link ", name);
      at = end + 1;
    }
  }
  return set_cgroup_attributes(tmpfs, prepared, true);
}

// With a cgroup namespace of its own the container's folder is its view; in one that it joins the kernel
// knows what the view is; without one it sees the host's.
Result<Fd> cgroup_v2_view(const RootfsContext& context) {
  const Namespace* own = context.spec->linux_->find(NamespaceType::kCgroup);
  if (own == nullptr) return kernel::clone_tree(AT_FDCWD, "/sys/fs/cgroup", false);
  const bool known = context.cgroup != nullptr && !context.cgroup->hierarchies.empty();
  if (own->path.empty() && known)
    return kernel::clone_tree(AT_FDCWD, context.cgroup->hierarchies.front().path.c_str(), false);
  return kernel::make_filesystem({.type = "cgroup2", .source = "cgroup"});
}

Result<> mount_cgroup_v2(RootfsContext& context, const PreparedMount& prepared, int target) {
  Fd view = TRY(cgroup_v2_view(context));
  TRY(set_cgroup_attributes(view, prepared, false));
  return kernel::attach(view.get(), target);
}

Result<> mount_cgroup(RootfsContext& context, const PreparedMount& prepared, const std::string& destination) {
  Fd target = TRY(make_folder_in_root(context.root.get(), destination));
  TRY(check_proc_target(destination, target.get(), false));
  if (host_is_unified())
    TRY(mount_cgroup_v2(context, prepared, target.get()));
  else if (context.cgroup != nullptr)
    TRY(mount_cgroup_v1(context, prepared, target.get()));
  return apply_propagation(context, prepared, destination);
}

// proc and sysfs: on a plain folder only. A user namespace that does not own the network namespace may
// not mount sysfs; it gets the host's, as every runtime gives it.
Result<> mount_kernel_view(RootfsContext& context, const PreparedMount& prepared, const std::string& destination) {
  Fd target = TRY(make_plain_folder(context.root.get(), destination));
  TRY(check_proc_target(destination, target.get(), prepared.mount->type == "proc"));
  const kernel::MountTarget place{target.get(), context.root.get(), destination.c_str()};
  auto mounted = kernel::mount_filesystem(filesystem_of(prepared, prepared.options.data), place);
  if (!mounted && mounted.error().code() == EPERM && prepared.mount->type == "sysfs" && context.user_namespace) {
    kernel::Bind host{.source = "/sys", .recursive = true, .own = {.set = prepared.options.attr.set}};
    mounted = kernel::mount_bind(host, place);
  }
  if (!mounted) return mounted;
  return apply_propagation(context, prepared, destination);
}

Result<> mount_filesystem(RootfsContext& context, const PreparedMount& prepared, const std::string& destination) {
  Fd target = TRY(make_folder_in_root(context.root.get(), destination));
  TRY(check_proc_target(destination, target.get(), false));
  const std::string data = TRY(labelled(context, prepared.options.data));
  TRY(kernel::mount_filesystem(filesystem_of(prepared, data), {target.get(), context.root.get(), destination.c_str()}));
  if (!prepared.options.recursive_attr.empty()) {
    Fd mounted = TRY(kernel::open_in_root(context.root.get(), destination.c_str(), O_PATH));
    TRY(kernel::set_attributes(
        mounted.get(), "", {.set = prepared.options.recursive_attr.set, .clear = prepared.options.recursive_attr.clear},
        true));
  }
  return apply_propagation(context, prepared, destination);
}

Result<> mount_one(RootfsContext& context, const PreparedMount& prepared) {
  const std::string destination = place_in_root(prepared.mount->destination);
  const std::string& type = prepared.mount->type;
  if (prepared.options.is_remount()) return remount(context, prepared, destination);
  if (prepared.options.is_bind()) return mount_bind(context, prepared, destination);
  if (type == "proc" || type == "sysfs") return mount_kernel_view(context, prepared, destination);
  if (type == "tmpfs") return mount_tmpfs(context, prepared, destination);
  if (type == "cgroup" || type == "cgroup2") return mount_cgroup(context, prepared, destination);
  return mount_filesystem(context, prepared, destination);
}

// The detached copy of a bind source, with everything decided that the container must not decide.
Result<Fd> open_source(const PreparedMount& prepared, int user_namespace_fd) {
  kernel::Bind bind = bind_of(prepared);
  Fd mapping;
  if (prepared.options.idmap != IdMapMode::kNone) {
    int map_fd = user_namespace_fd;
    if (!prepared.options.uid_mappings.empty()) {
      mapping = TRY(make_mapping_namespace(prepared.options.uid_mappings, prepared.options.gid_mappings));
      map_fd = mapping.get();
    }
    if (map_fd < 0) return fail("idmap needs mappings: give uidMappings and gidMappings, or a user namespace");
    kernel::MountAttributes& map = prepared.options.idmap == IdMapMode::kRecursive ? bind.all : bind.own;
    map.set |= MOUNT_ATTR_IDMAP;
    map.userns_fd = map_fd;
  }
  // Taken from the host's tree, the copy must not hand the container's mounts back to it.
  Fd tree = TRY(kernel::clone_tree(AT_FDCWD, bind.source, bind.recursive, bind.nofollow));
  TRY(kernel::set_attributes(tree.get(), "", {.propagation = MS_SLAVE}, bind.recursive));
  TRY(kernel::apply_attributes(tree.get(), bind));
  return tree;
}

}  // namespace

bool host_is_unified() {
  struct statfs info{};
  return ::statfs("/sys/fs/cgroup", &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

std::string cgroup_folder_name(const kernel::cgroup::Location::Hierarchy& hierarchy) {
  if (hierarchy.controllers.empty()) return "unified";
  return hierarchy.controllers.starts_with("name=") ? hierarchy.controllers.substr(5) : hierarchy.controllers;
}

Result<> prepare_mounts(RootfsContext& context, int user_namespace_fd) {
  const auto& mounts = context.spec->mounts;
  if (!context.spec->linux_->mount_label.empty() && !kernel::selinux_enabled())
    log::warning("linux.mountLabel: SELinux is not enabled here, ignored");
  context.mounts.reserve(mounts.size());
  for (size_t i = 0; i < mounts.size(); ++i) {
    PreparedMount prepared;
    prepared.mount = &mounts[i];
    prepared.options = TRY_CTX(parse_mount_options(mounts[i], &*context.spec->linux_), "mounts[", i, "]");
    const bool bind = prepared.options.is_bind() && !prepared.options.is_remount();
    const bool here = context.user_namespace || prepared.options.idmap != IdMapMode::kNone;
    if (bind && here) {
      auto source = open_source(prepared, user_namespace_fd);
      // Without privileges mounts can be copied only later, in the namespace that is to be ours.
      if (source)
        prepared.detached = *std::move(source);
      else if (source.error().code() != EPERM || prepared.options.idmap != IdMapMode::kNone)
        return std::unexpected(
            std::move(source).error().with_context(cat("mounts[", i, "] (", mounts[i].destination, ")")));
    }
    context.mounts.push_back(std::move(prepared));
  }
  return {};
}

Result<> restore_propagation(const RootfsContext& context) {
  for (size_t i = 0; i < context.mounts.size(); ++i)
    TRY_CTX(apply_propagation(context, context.mounts[i], place_in_root(context.mounts[i].mount->destination)),
            "mounts[", i, "] (", context.mounts[i].mount->destination, ")");
  return {};
}

Result<> mount_all(RootfsContext& context) {
  for (size_t i = 0; i < context.mounts.size(); ++i)
    TRY_CTX(mount_one(context, context.mounts[i]), "mounts[", i, "] (", context.mounts[i].mount->destination, ")");
  return {};
}

}  // namespace proa::oci::runtime
