// linux.maskedPaths and linux.readonlyPaths. What covers a path is taken from the host before the
// root is changed and checked to be the real thing (CVE-2025-31133), and each path is resolved once.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "kernel/file.h"
#include "kernel/mount.h"
#include "oci/runtime/mountpoint.h"
#include "oci/runtime/rootfs.h"

namespace proa::oci::runtime {
namespace {

// Opens a path to be covered; an invalid Fd when there is none: nothing to hide.
Result<Fd> open_existing(const RootfsContext& context, const std::string& path) {
  auto opened = kernel::open_in_root(context.root.get(), path.c_str(), O_PATH);
  if (!opened && (opened.error().code() == ENOENT || opened.error().code() == ENOTDIR)) return Fd();
  return opened;
}

Result<Fd> open_null() {
  Fd null = TRY(kernel::open("/dev/null", O_PATH | O_NOFOLLOW));
  const struct stat info = TRY(kernel::stat_fd(null.get()));
  if (!S_ISCHR(info.st_mode) || info.st_rdev != makedev(1, 3))
    return fail("/dev/null of the host is not the null device");
  return null;
}

class Covers {
 public:
  // Covers `target` with an empty read-only tmpfs (a folder; one tmpfs serves all) or /dev/null.
  Result<> cover(int target, bool folder) {
    if (!folder) {
      if (!null_) null_ = TRY(open_null());
      Fd copy = TRY(kernel::clone_tree(null_.get(), false));
      return kernel::attach(copy.get(), target);
    }
    if (empty_) {
      Fd copy = TRY(kernel::clone_tree(empty_.get(), false));
      return kernel::attach(copy.get(), target);
    }
    // Attached first: kernels before 6.15 cannot copy a detached mount.
    empty_ = TRY(kernel::make_filesystem(
        {.type = "tmpfs",
         .source = "tmpfs",
         .options = "nr_blocks=1,nr_inodes=1,mode=0755",
         .superblock = MS_RDONLY,
         .attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC}));
    return kernel::attach(empty_.get(), target);
  }

 private:
  Fd null_, empty_;
};

Result<> mask(const RootfsContext& context, const std::string& path, Covers& covers) {
  Fd target = TRY(open_existing(context, path));
  if (!target) return {};
  const struct stat info = TRY(kernel::stat_fd(target.get()));
  return covers.cover(target.get(), S_ISDIR(info.st_mode));
}

Result<> make_readonly(const RootfsContext& context, const std::string& path) {
  Fd target = TRY(open_existing(context, path));
  if (!target) return {};
  Fd tree = TRY(kernel::clone_tree(target.get(), true));
  TRY(kernel::set_attributes(tree.get(), "", {.set = MOUNT_ATTR_RDONLY}, true));
  return kernel::attach(tree.get(), target.get());
}

}  // namespace

Result<> mask_paths(RootfsContext& context) {
  const Linux& linux_ = *context.spec->linux_;
  for (size_t i = 0; i < linux_.readonly_paths.size(); ++i)
    TRY_CTX(make_readonly(context, linux_.readonly_paths[i]), "linux.readonlyPaths[", i, "] (",
            linux_.readonly_paths[i], ")");
  Covers covers;
  for (size_t i = 0; i < linux_.masked_paths.size(); ++i)
    TRY_CTX(mask(context, linux_.masked_paths[i], covers), "linux.maskedPaths[", i, "] (", linux_.masked_paths[i], ")");
  return {};
}

}  // namespace proa::oci::runtime
