#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/ids.h"
#include "kernel/file.h"
#include "oci/image/unpack.h"

namespace proa::oci::image {
namespace {

// Deeper folders are moved up beside the first one: an archive can make trees deeper than there are descriptors.
constexpr int kDeepest = 64;

class Remover {
 public:
  explicit Remover(int top) : top_(top) {}

  Result<> tree(const std::string& name) {
    pending_.push_back(name);
    while (!pending_.empty()) {
      const std::string next = std::move(pending_.back());
      pending_.pop_back();
      TRY(entry(top_, next.c_str(), 0));
    }
    return {};
  }

 private:
  Result<> entry(int dirfd, const char* name, int depth) {
    if (::unlinkat(dirfd, name, 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return fail_errno(errno, "remove ", name);
    if (::unlinkat(dirfd, name, AT_REMOVEDIR) == 0) return {};
    if (depth >= kDeepest) return move_up(dirfd, name);
    Fd fd = TRY(open_folder(dirfd, name));
    TRY(children(fd, depth + 1));
    return kernel::unlink_at(dirfd, name, AT_REMOVEDIR);
  }

  // Without root's rights a folder's own mode may keep even its owner out.
  static Result<Fd> open_folder(int dirfd, const char* name) {
    auto fd = kernel::open_at(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    struct stat info{};
    if (fd && ::fstat(fd->get(), &info) == 0 && (info.st_mode & 0700) == 0700) return fd;
    const bool is_folder = ::fstatat(dirfd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
    if (is_folder && ::fchmodat(dirfd, name, 0700, 0) != 0) return fail_errno(errno, "set mode of ", name);
    return kernel::open_at(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  }

  Result<> children(Fd& fd, int depth) {
    DIR* dir = ::fdopendir(fd.get());
    if (dir == nullptr) return fail_errno(errno, "read folder");
    const int dirfd = fd.release();
    Defer close_dir([dir] { ::closedir(dir); });
    while (const dirent* each = ::readdir(dir))
      if (std::strcmp(each->d_name, ".") != 0 && std::strcmp(each->d_name, "..") != 0)
        TRY(entry(dirfd, each->d_name, depth));
    return {};
  }

  Result<> move_up(int dirfd, const char* name) {
    const std::string to = cat(".deep-", TRY(random_hex(8)));
    if (::renameat(dirfd, name, top_, to.c_str()) != 0) return fail_errno(errno, "remove ", name);
    pending_.push_back(to);
    return {};
  }

  int top_;
  std::vector<std::string> pending_;
};

}  // namespace

Result<> remove_any_tree(int dirfd, const std::string& name) { return Remover(dirfd).tree(name); }

}  // namespace proa::oci::image
