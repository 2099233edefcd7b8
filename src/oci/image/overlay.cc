#include "oci/image/overlay.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "kernel/file.h"
#include "kernel/mount.h"

namespace proa::oci::image {
namespace {

// The upper folder must stay a plain difference: no redirects, no files without content.
constexpr const char* kPlainDifference[][2] = {{"redirect_dir", "nofollow"}, {"metacopy", "off"}, {"index", "off"}};

std::string kernel_says(int fs) {
  char text[512];
  const ssize_t got = ::read(fs, text, sizeof text);
  if (got <= 2) return {};
  std::string_view line(text + 2, static_cast<size_t>(got) - 2);
  while (line.ends_with('\n')) line.remove_suffix(1);
  return cat(" (", line, ")");
}

Result<> set(int fs, const char* key, const char* value) {
  const long done = value == nullptr ? ::syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key, nullptr, 0)
                                     : ::syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
  if (done == 0) return {};
  const int code = errno;
  return fail_errno(code, "overlay: option ", key, kernel_says(fs));
}

// Whatever a path has in it, and however long it is, its descriptor's is short and plain.
Result<> set_folder(int fs, const char* key, const Fd& folder) {
  return set(fs, key, kernel::FdPath(folder.get()).c_str());
}

Result<> set_options(int fs, const Overlay& overlay) {
  if (overlay.upper) {
    TRY(set_folder(fs, "upperdir", overlay.upper));
    TRY(set_folder(fs, "workdir", overlay.work));
    if (overlay.volatile_upper) TRY(set(fs, "volatile", nullptr));
  }
  if (overlay.user_xattrs) return set(fs, "userxattr", nullptr);
  for (const auto& [key, value] : kPlainDifference) TRY(set(fs, key, value));
  return {};
}

Result<Fd> create(int fs, bool read_only) {
  if (::syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    const int code = errno;
    return fail_errno(code, "overlay: mount", kernel_says(fs));
  }
  const long fd = ::syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, read_only ? MOUNT_ATTR_RDONLY : 0);
  if (fd < 0) return fail_errno(errno, "overlay: mount");
  return Fd(static_cast<int>(fd));
}

Result<Fd> mount_by_folder(const Overlay& overlay) {
  const long opened = ::syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
  if (opened < 0) return fail_errno(errno, "overlay: open file system");
  const Fd fs(static_cast<int>(opened));
  TRY(set(fs.get(), "source", "overlay"));
  for (const Fd& lower : overlay.lower) TRY(set_folder(fs.get(), "lowerdir+", lower));
  TRY(set_options(fs.get(), overlay));
  return create(fs.get(), !overlay.upper);
}

std::string option_string(const Overlay& overlay) {
  std::string out = "lowerdir=";
  for (const Fd& lower : overlay.lower) out += cat(&lower == overlay.lower.data() ? "" : ":", lower.get());
  if (overlay.upper) {
    out += cat(",upperdir=", overlay.upper.get(), ",workdir=", overlay.work.get());
    if (overlay.volatile_upper) out += ",volatile";
  }
  if (overlay.user_xattrs) return out + ",userxattr";
  for (const auto& [key, value] : kPlainDifference) out += cat(",", key, "=", value);
  return out;
}

// Before 6.5 all lower folders stand in mount(2)'s one page of options. From the folder of this process's
// descriptors each is called by its number, so that 500 fit.
Result<Fd> mount_by_string(const Overlay& overlay) {
  char point[] = "/tmp/proa-overlay.XXXXXX";
  if (::mkdtemp(point) == nullptr) return fail_errno(errno, "overlay: make mount point");
  Defer remove_point([&] { ::rmdir(point); });
  const std::string options = option_string(overlay);
  Result<Fd> out;
  // The working folder is changed in a thread that has its own.
  const auto work = [&] {
    out = [&]() -> Result<Fd> {
      if (::unshare(CLONE_FS) != 0 || ::chdir("/proc/thread-self/fd") != 0)
        return fail_errno(errno, "overlay: enter the folder of descriptors");
      if (::mount("overlay", point, "overlay", overlay.upper ? 0 : MS_RDONLY, options.c_str()) != 0)
        return fail_errno(errno, "overlay: mount ", overlay.lower.size(), " layers");
      auto clone = kernel::clone_tree(AT_FDCWD, point, false);
      ::umount2(point, MNT_DETACH);
      return clone;
    }();
  };
  try {
    std::thread(work).join();
  } catch (const std::system_error& error) {
    return fail_errno(error.code().value(), "start a thread");
  }
  return out;
}

}  // namespace

Result<Fd> mount_overlay(const Overlay& overlay) {
  if (!overlay.one_string) {
    auto mounted = mount_by_folder(overlay);
    const int code = mounted ? 0 : mounted.error().code();
    const bool unknown =
        !mounted &&
        (code == ENOSYS || (code == EINVAL && mounted.error().message().find("lowerdir+") != std::string::npos));
    if (!unknown) return mounted;
  }
  return mount_by_string(overlay);
}

}  // namespace proa::oci::image
