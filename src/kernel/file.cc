#include "kernel/file.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>

#include "kernel/sys.h"

namespace proa::kernel {
namespace {

constexpr CallShape kOpenat{SYS_openat, "openat", "dsxo"};
constexpr CallShape kOpenat2{SYS_openat2, "openat2", "dspd"};
constexpr CallShape kMkdirat{SYS_mkdirat, "mkdirat", "dso"};
constexpr CallShape kUnlinkat{SYS_unlinkat, "unlinkat", "dsx"};
constexpr CallShape kWrite{SYS_write, "write", "dpd"};
constexpr CallShape kRead{SYS_read, "read", "dpd"};
constexpr CallShape kRenameat2{SYS_renameat2, "renameat2", "dsdsx"};
constexpr CallShape kFsync{SYS_fsync, "fsync", "d"};

Result<Fd> openat2_retrying(int rootfd, const char* path, int flags, mode_t mode, uint64_t resolve) {
  const struct open_how how{.flags = static_cast<uint64_t>(flags | O_CLOEXEC), .mode = mode, .resolve = resolve};
  // EAGAIN: a rename or mount raced with ".." resolution; the kernel asks for a retry.
  long answer = -EAGAIN;
  for (int attempt = 0; answer == -EAGAIN && attempt < 128; ++attempt)
    answer = call(kOpenat2, rootfd, path, &how, sizeof how);
  return check_fd(answer, "open ", path);
}

}  // namespace

Result<Fd> open_at(int dirfd, const char* path, int flags, mode_t mode) {
  return check_fd(call(kOpenat, dirfd, path, flags | O_CLOEXEC, mode), "open ", path);
}

Result<Fd> open_in_root(int rootfd, const char* path, int flags, mode_t mode) {
  return openat2_retrying(rootfd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

Result<Fd> open_beneath_no_links(int rootfd, const char* path, int flags, mode_t mode) {
  return openat2_retrying(rootfd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

Result<> make_dir_at(int dirfd, const char* path, mode_t mode) {
  const long answer = call(kMkdirat, dirfd, path, mode);
  if (answer == -EEXIST) return {};
  return check_ok(answer, "make folder ", path);
}

Result<> make_dirs(const std::string& path, mode_t mode) {
  const long answer = call(kMkdirat, AT_FDCWD, path.c_str(), mode);
  if (answer >= 0 || answer == -EEXIST) return {};
  const size_t slash = path.rfind('/');
  if (answer != -ENOENT || slash == std::string::npos || slash == 0) return check_ok(answer, "make folder ", path);
  TRY(make_dirs(path.substr(0, slash), mode));
  return make_dir_at(AT_FDCWD, path.c_str(), mode);
}

Result<> unlink_at(int dirfd, const char* path, int flags) {
  return check_ok(call(kUnlinkat, dirfd, path, flags), "remove ", path);
}

namespace {

Result<> unless_missing(Result<> done) { return done || done.error().code() == ENOENT ? Result<>() : done; }

// What somebody else removes at the same time is as good as removed by us.
Result<> remove_children(int dirfd) {
  const int copy = ::openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return fail_errno(errno, "open folder");
  DIR* dir = ::fdopendir(copy);
  if (dir == nullptr) {
    ::close(copy);
    return fail_errno(errno, "read folder");
  }
  Defer close_dir([dir] { ::closedir(dir); });
  while (const dirent* entry = ::readdir(dir)) {
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    if (entry->d_type == DT_DIR) {
      // What is mounted there is somebody else's.
      auto child = openat2_retrying(copy, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_NO_XDEV);
      if (!child && child.error().code() == ENOENT) continue;
      if (!child) return std::unexpected(std::move(child).error());
      TRY(remove_children(child->get()));
    }
    TRY(unless_missing(unlink_at(copy, entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0)));
  }
  return {};
}

}  // namespace

Result<> remove_tree(const std::string& path) {
  auto dir = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir) {
    if (dir.error().code() == ENOENT) return {};
    return std::unexpected(std::move(dir).error());
  }
  TRY_CTX(remove_children(dir->get()), "remove ", path);
  return unless_missing(unlink_at(AT_FDCWD, path.c_str(), AT_REMOVEDIR));
}

Result<std::vector<std::string>> names_in(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (dir == nullptr) {
    if (errno == ENOENT) return names;
    return fail_errno(errno, path);
  }
  while (const dirent* entry = ::readdir(dir.get()))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  return names;
}

Result<std::string> read_all(int fd, size_t limit) {
  std::string text;
  struct stat info{};
  size_t expected = 4096;
  if (::fstat(fd, &info) == 0 && info.st_size > 0) expected = static_cast<size_t>(info.st_size) + 1;
  if (expected > limit + 1) return fail_errno(EFBIG, "read");
  size_t used = 0;
  for (;;) {
    text.resize(used + expected);
    const long got = call(kRead, fd, text.data() + used, text.size() - used);
    if (got == -EINTR) continue;
    if (got < 0) return fail_errno(static_cast<int>(-got), "read");
    used += static_cast<size_t>(got);
    if (got == 0) break;
    if (used > limit) return fail_errno(EFBIG, "read");
    expected = used == text.size() ? used : text.size() - used;
  }
  text.resize(used);
  return text;
}

Result<std::string> read_file_at(int dirfd, const char* path, size_t limit) {
  Fd file = TRY(open_at(dirfd, path, O_RDONLY));
  return TRY_CTX(read_all(file.get(), limit), path);
}

Result<std::string> read_file(const char* path, size_t limit) { return read_file_at(AT_FDCWD, path, limit); }

Result<> write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const long wrote = call(kWrite, fd, text.data(), text.size());
    if (wrote == -EINTR) continue;
    if (wrote < 0) return fail_errno(static_cast<int>(-wrote), "write");
    text.remove_prefix(static_cast<size_t>(wrote));
  }
  return {};
}

Result<> write_file_at(int dirfd, const char* path, std::string_view text) {
  Fd file = TRY(open_at(dirfd, path, O_WRONLY));
  const long wrote = call(kWrite, file.get(), text.data(), text.size());
  return check_ok(wrote, "write \"", text, "\" to ", path);
}

Result<> replace_file(const std::string& path, std::string_view text, mode_t mode, bool durable) {
  const std::string temporary = cat(path, ".", ::getpid(), ".tmp");
  Fd file = TRY(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
  Defer discard([&] { ::unlink(temporary.c_str()); });
  TRY_CTX(write_all(file.get(), text), path);
  if (durable) TRY(check_ok(call(kFsync, file.get()), "fsync ", path));
  TRY(check_ok(call(kRenameat2, AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), 0), "rename to ", path));
  discard.dismiss();
  return {};
}

Result<struct stat> stat_fd(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail_errno(errno, "fstat");
  return info;
}

bool path_exists(const char* path) { return ::access(path, F_OK) == 0; }

FdPath::FdPath(int fd) { std::snprintf(text_, sizeof text_, "/proc/self/fd/%d", fd); }

}  // namespace proa::kernel
