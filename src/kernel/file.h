// Files and folders by descriptor. Paths that a container controls are resolved with in_root():
// openat2(2) keeps them below the given root and refuses magic links (/proc/self/fd and the like).
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::kernel {

// Opens with O_CLOEXEC added. Errors name the path.
Result<Fd> open_at(int dirfd, const char* path, int flags, mode_t mode = 0);
inline Result<Fd> open(const char* path, int flags, mode_t mode = 0) { return open_at(AT_FDCWD, path, flags, mode); }

// openat2(2) below `rootfd`: absolute paths and symlinks are taken from the root, magic links are refused.
Result<Fd> open_in_root(int rootfd, const char* path, int flags, mode_t mode = 0);
// ... refusing every symlink on the way.
Result<Fd> open_beneath_no_links(int rootfd, const char* path, int flags, mode_t mode = 0);

// The last component is made if missing; EEXIST is fine.
Result<> make_dir_at(int dirfd, const char* path, mode_t mode);
// mkdir -p on the host (never for container-controlled paths).
Result<> make_dirs(const std::string& path, mode_t mode);
Result<> unlink_at(int dirfd, const char* path, int flags = 0);
// rm -r of a folder on the host, crossing no symlinks; a missing one is fine. EXDEV: something is mounted in it, and
// is left alone.
Result<> remove_tree(const std::string& path);
// Names of a folder's entries as the kernel lists them, without those that begin with a dot; none when there is
// no folder.
Result<std::vector<std::string>> names_in(const std::string& path);

// Whole file, at most `limit` bytes (EFBIG beyond it).
Result<std::string> read_all(int fd, size_t limit = 16u << 20);
Result<std::string> read_file(const char* path, size_t limit = 16u << 20);
Result<std::string> read_file_at(int dirfd, const char* path, size_t limit = 16u << 20);
// One open, one write, as kernel files want it. The file must exist.
Result<> write_file_at(int dirfd, const char* path, std::string_view text);
inline Result<> write_file(const char* path, std::string_view text) { return write_file_at(AT_FDCWD, path, text); }
Result<> write_all(int fd, std::string_view text);
// Temporary file beside it, then rename: readers see the old or the new text, never a part.
// `durable` adds fsync of the file before the rename.
Result<> replace_file(const std::string& path, std::string_view text, mode_t mode, bool durable = false);

Result<struct stat> stat_fd(int fd);
bool path_exists(const char* path);
// "/proc/self/fd/N", for calls that take only a path. The buffer is the caller's.
class FdPath {
 public:
  explicit FdPath(int fd);
  const char* c_str() const { return text_; }

 private:
  char text_[32];
};

}  // namespace proa::kernel
