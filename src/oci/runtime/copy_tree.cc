#include "oci/runtime/copy_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>

#include "base/fd.h"
#include "kernel/file.h"

namespace proa::oci::runtime {
namespace {

// The image decides how deep it goes, and each level takes descriptors and stack of ours.
constexpr int kMaxDepth = 256;

Result<> copy_folder(int from, int to, const OwnerOf& owner_of, int depth);

// Both lists may be 64 KiB, which is too much for the stack of one level of folders.
void copy_xattrs(int from, int to) {
  const ssize_t expected = ::flistxattr(from, nullptr, 0);
  if (expected <= 0) return;
  std::string names(static_cast<size_t>(expected), '\0'), value(XATTR_SIZE_MAX, '\0');
  const ssize_t size = ::flistxattr(from, names.data(), names.size());
  for (const char *name = names.data(), *end = name + size; name < end; name += std::strlen(name) + 1) {
    const ssize_t length = ::fgetxattr(from, name, value.data(), value.size());
    // The target may not know the name (tmpfs has no user.* before Linux 6.6): not worth failing for.
    if (length >= 0) (void)::fsetxattr(to, name, value.data(), static_cast<size_t>(length), 0);
  }
}

Result<> copy_owner(int parent, const char* name, const struct stat& info, const OwnerOf& owner_of) {
  Owner owner{info.st_uid, info.st_gid};
  if (owner_of) owner = TRY_CTX(owner_of(owner), name);
  if (::fchownat(parent, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno(errno, "set owner of ", name);
  return {};
}

Result<> copy_mode_and_times(int parent, const char* name, const struct stat& info) {
  if (!S_ISLNK(info.st_mode) && ::fchmodat(parent, name, info.st_mode & 07777, 0) != 0)
    return fail_errno(errno, "set mode of ", name);
  const timespec times[2] = {info.st_atim, info.st_mtim};
  if (::utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(errno, "set times of ", name);
  return {};
}

Result<> copy_file(int from, int to, const char* name, const struct stat& info, const OwnerOf& owner_of) {
  Fd in = TRY(kernel::open_at(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  Fd out = TRY(kernel::open_at(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  for (off_t left = info.st_size; left > 0;) {
    const ssize_t sent = ::sendfile(out.get(), in.get(), nullptr, static_cast<size_t>(left));
    if (sent < 0) return fail_errno(errno, "copy ", name);
    if (sent == 0) break;
    left -= sent;
  }
  // File capabilities are lost when the owner changes, even to the same one.
  TRY(copy_owner(to, name, info, owner_of));
  copy_xattrs(in.get(), out.get());
  return {};
}

Result<> copy_link(int from, int to, const char* name) {
  char target[PATH_MAX];
  const ssize_t length = ::readlinkat(from, name, target, sizeof target - 1);
  if (length < 0) return fail_errno(errno, "read link ", name);
  target[length] = '\0';
  if (::symlinkat(target, to, name) != 0) return fail_errno(errno, "make link ", name);
  return {};
}

Result<> copy_entry(int from, int to, const char* name, dev_t device, const OwnerOf& owner_of, int depth) {
  struct stat info{};
  if (::fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(errno, "stat ", name);
  if (!S_ISDIR(info.st_mode) && ::unlinkat(to, name, 0) != 0 && errno != ENOENT)
    return fail_errno(errno, "replace ", name);
  if (S_ISDIR(info.st_mode)) {
    if (::mkdirat(to, name, 0700) != 0 && errno != EEXIST) return fail_errno(errno, "make folder ", name);
    if (info.st_dev == device) {
      Fd inner_from = TRY(kernel::open_at(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      Fd inner_to = TRY(kernel::open_at(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      TRY_CTX(copy_folder(inner_from.get(), inner_to.get(), owner_of, depth + 1), name);
    }
  } else if (S_ISREG(info.st_mode)) {
    TRY(copy_file(from, to, name, info, owner_of));
    return copy_mode_and_times(to, name, info);
  } else if (S_ISLNK(info.st_mode)) {
    TRY(copy_link(from, to, name));
  } else if (::mknodat(to, name, info.st_mode, info.st_rdev) != 0) {
    return fail_errno(errno, "make ", name);
  }
  TRY(copy_owner(to, name, info, owner_of));
  return copy_mode_and_times(to, name, info);
}

Result<> copy_folder(int from, int to, const OwnerOf& owner_of, int depth) {
  if (depth > kMaxDepth) return fail("more than ", kMaxDepth, " folders deep");
  const struct stat top = TRY(kernel::stat_fd(from));
  const int copy = ::openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = copy < 0 ? nullptr : ::fdopendir(copy);
  if (dir == nullptr) {
    const int code = errno;
    if (copy >= 0) ::close(copy);
    return fail_errno(code, "read folder");
  }
  Defer close_dir([dir] { ::closedir(dir); });
  copy_xattrs(from, to);
  while (const dirent* entry = ::readdir(dir)) {
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    TRY(copy_entry(from, to, entry->d_name, top.st_dev, owner_of, depth));
  }
  return {};
}

}  // namespace

Result<> copy_tree(int from, int to, const OwnerOf& owner_of) { return copy_folder(from, to, owner_of, 0); }

Result<bool> is_empty_folder(int fd) {
  Fd folder = TRY(kernel::open_at(fd, ".", O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(folder.get()), ::closedir);
  if (dir == nullptr) return fail_errno(errno, "list folder");
  folder.release();
  while (const dirent* entry = ::readdir(dir.get()))
    if (const std::string_view name = entry->d_name; name != "." && name != "..") return false;
  return true;
}

}  // namespace proa::oci::runtime
