#include "oci/image/store_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/ids.h"
#include "kernel/file.h"

namespace proa::oci::image::detail {
namespace {

Result<Fd> locked(int dirfd, const char* name, int operation) {
  Fd fd = TRY(kernel::open_at(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  while (::flock(fd.get(), operation) != 0)
    if (errno != EINTR) return fail_errno(errno, "lock ", name);
  return fd;
}

}  // namespace

Result<FileLock> FileLock::shared(int dirfd, const char* name) { return FileLock(TRY(locked(dirfd, name, LOCK_SH))); }
Result<FileLock> FileLock::exclusive(int dirfd, const char* name) {
  return FileLock(TRY(locked(dirfd, name, LOCK_EX)));
}

Result<bool> try_lock(int fd) {
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) return fail_errno(errno, "lock");
  }
  return true;
}

std::string blob_path(const Digest& digest) { return cat("blobs/", digest.algorithm(), "/", digest.hex()); }
std::string part_path(const Digest& digest) { return cat("ingest/", digest.algorithm(), "-", digest.hex()); }

Result<std::vector<std::string>> list_folder(int dirfd, const char* path) {
  std::vector<std::string> names;
  const int fd = ::openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    if (errno == ENOENT) return names;
    return fail_errno(errno, "read folder ", path);
  }
  DIR* dir = ::fdopendir(fd);
  if (dir == nullptr) {
    ::close(fd);
    return fail_errno(errno, "read folder ", path);
  }
  Defer close_dir([dir] { ::closedir(dir); });
  errno = 0;
  while (const dirent* entry = ::readdir(dir))
    if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
      names.emplace_back(entry->d_name);
  if (errno != 0) return fail_errno(errno, "read folder ", path);
  return names;
}

Result<> sync_folder(const StoreFolder& folder, const char* path) {
  if (folder.sync == Sync::kNone) return {};
  const Fd dir = TRY(kernel::open_at(folder.fd.get(), path, O_RDONLY | O_DIRECTORY));
  if (::fsync(dir.get()) != 0) return fail_errno(errno, "fsync ", path);
  return {};
}

bool still_names(int dirfd, const char* path, int fd) {
  struct stat named{}, held{};
  return ::fstatat(dirfd, path, &named, AT_SYMLINK_NOFOLLOW) == 0 && ::fstat(fd, &held) == 0 &&
         named.st_ino == held.st_ino && named.st_dev == held.st_dev;
}

Result<> place_file(const StoreFolder& folder, const std::string& path, std::string_view text) {
  const std::string aside = cat("ingest/tmp-", TRY(random_hex(8)));
  const int root = folder.fd.get();
  Fd file = TRY(kernel::open_at(root, aside.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644));
  Defer discard([&] { ::unlinkat(root, aside.c_str(), 0); });
  TRY_CTX(kernel::write_all(file.get(), text), path);
  if (folder.sync != Sync::kNone && ::fdatasync(file.get()) != 0) return fail_errno(errno, "fdatasync ", path);
  if (::renameat(root, aside.c_str(), root, path.c_str()) != 0) return fail_errno(errno, "rename to ", path);
  discard.dismiss();
  return {};
}

}  // namespace proa::oci::image::detail
