// Device nodes, the links every /dev has, and the console.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>

#include "kernel/file.h"
#include "kernel/mount.h"
#include "kernel/tty.h"
#include "oci/runtime/mountpoint.h"
#include "oci/runtime/rootfs.h"
#include "oci/spec/defaults.h"

namespace proa::oci::runtime {
namespace {

mode_t node_type(char type) { return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR; }

struct Node {
  const char* path;
  char type;
  unsigned major, minor;
  mode_t mode;
  uid_t uid;
  gid_t gid;
};

Result<> set_owner_and_mode(const Place& place, const Node& node) {
  if ((node.uid != 0 || node.gid != 0) &&
      ::fchownat(place.parent.get(), place.name.c_str(), node.uid, node.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno(errno, "set owner");
  return {};
}

// A user namespace may not make nodes: the host's own node is bound.
Result<> bind_node(RootfsContext& context, const Node& node) {
  struct stat info{};
  if (::stat(node.path, &info) != 0) return fail_errno(errno, "bind from the host");
  if (node.type != 'p' && (info.st_mode & S_IFMT) == node_type(node.type) &&
      info.st_rdev != makedev(node.major, node.minor))
    return fail("the host's node has other numbers (", major(info.st_rdev), ":", minor(info.st_rdev), ")");
  Fd target = TRY(make_file_in_root(context.root.get(), node.path));
  return kernel::mount_bind({.source = node.path}, {target.get(), context.root.get(), node.path});
}

Result<> make_node(RootfsContext& context, const Place& place, const Node& node) {
  if (context.user_namespace) return bind_node(context, node);
  const mode_t mode = node_type(node.type) | node.mode;
  if (::mknodat(place.parent.get(), place.name.c_str(), mode, makedev(node.major, node.minor)) != 0) {
    if (errno == EPERM) return bind_node(context, node);
    if (errno != EEXIST) return fail_errno(errno, "make node");
    // Asked for again, or in the image: taken if it is the same device, refused if it is not.
    struct stat info{};
    if (::fstatat(place.parent.get(), place.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno(errno, "stat");
    const bool same = (info.st_mode & S_IFMT) == node_type(node.type) &&
                      (node.type == 'p' || info.st_rdev == makedev(node.major, node.minor));
    if (!same) return fail_errno(EEXIST, "another file is there");
    if (::fchmodat(place.parent.get(), place.name.c_str(), node.mode, 0) != 0) return fail_errno(errno, "set mode");
  }
  return set_owner_and_mode(place, node);
}

struct Link {
  const char* target;
  const char* name;
};
constexpr Link kLinks[] = {{"/proc/self/fd", "fd"},
                           {"/proc/self/fd/0", "stdin"},
                           {"/proc/self/fd/1", "stdout"},
                           {"/proc/self/fd/2", "stderr"}};

Result<> make_link(int dev, const char* target, const char* name) {
  if (::symlinkat(target, dev, name) == 0 || errno == EEXIST) return {};
  return fail_errno(errno, "link /dev/", name);
}

// A /dev that is bound from elsewhere is complete already and not ours to fill.
bool dev_is_bound(const RootfsContext& context) {
  for (const PreparedMount& each : context.mounts)
    if (place_in_root(each.mount->destination) == "/dev" && each.options.is_bind()) return true;
  return false;
}

Result<> make_links(const RootfsContext& context, int dev) {
  for (const Link& link : kLinks) TRY(make_link(dev, link.target, link.name));
  if (kernel::path_exists("/proc/kcore")) TRY(make_link(dev, "/proc/kcore", "core"));
  for (const PreparedMount& each : context.mounts) {
    if (place_in_root(each.mount->destination) != "/dev/pts" || each.mount->type != "devpts") continue;
    // The image's ptmx node would open the host's terminals.
    if (::unlinkat(dev, "ptmx", 0) != 0 && errno != ENOENT) return fail_errno(errno, "replace /dev/ptmx");
    TRY(make_link(dev, "pts/ptmx", "ptmx"));
  }
  return {};
}

// Streams on the host's null device would keep the host's /dev in use, and criu from saving the container.
Result<> use_own_null(int dev) {
  Fd null;
  for (int fd = 0; fd < 3; ++fd) {
    struct stat info{};
    if (::fstat(fd, &info) != 0 || !S_ISCHR(info.st_mode) || info.st_rdev != makedev(1, 3)) continue;
    if (!null) null = TRY(kernel::open_beneath_no_links(dev, "null", O_RDWR));
    if (::dup2(null.get(), fd) < 0) return fail_errno(errno, "use /dev/null");
  }
  return {};
}

}  // namespace

Result<> make_devices(RootfsContext& context) {
  if (dev_is_bound(context)) return {};
  const mode_t mask = ::umask(0);
  Defer restore([mask] { ::umask(mask); });
  Place dev{TRY(make_folder_in_root(context.root.get(), "/dev")), {}};
  for (const DefaultDevice& device : kDefaultDevices) {
    dev.name = std::strrchr(device.path, '/') + 1;
    TRY_CTX(make_node(context, dev, {device.path, 'c', device.major, device.minor, device.file_mode, 0, 0}),
            device.path);
  }
  const auto& devices = context.spec->linux_->devices;
  for (size_t i = 0; i < devices.size(); ++i) {
    const Device& device = devices[i];
    Place place = TRY_CTX(make_parent_in_root(context.root.get(), device.path), "linux.devices[", i, "].path");
    const Node node{device.path.c_str(),
                    device.type,
                    static_cast<unsigned>(device.major),
                    static_cast<unsigned>(device.minor),
                    static_cast<mode_t>(device.file_mode.value_or(0666) & 07777),
                    device.uid.value_or(0),
                    device.gid.value_or(0)};
    TRY_CTX(make_node(context, place, node), "linux.devices[", i, "] (", device.path, ")");
  }
  TRY(make_links(context, dev.parent.get()));
  return use_own_null(dev.parent.get());
}

Result<> bind_console(RootfsContext& context, int pty_slave) {
  const Fd dev = TRY_CTX(make_plain_folder(context.root.get(), "/dev"), "/dev/console");
  return kernel::mount_console(pty_slave, dev.get());
}

}  // namespace proa::oci::runtime
