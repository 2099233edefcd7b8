#include "oci/image/pack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "kernel/file.h"
#include "oci/image/store_folder.h"
#include "oci/image/tar_format.h"
#include "oci/image/tar_writer.h"

namespace proa::oci::image {
namespace {

constexpr int64_t kWorthHoles = 1 << 20;
constexpr int kDeepest = 500;

// Labels and measurements belong to the host, trusted.* to its root.
bool carried(std::string_view name) {
  return !tar::is_overlay_xattr(name) && !name.starts_with("trusted.") && name != "security.selinux" &&
         name != "security.ima" && name != "security.evm" && name != "security.SMACK64";
}

class Packer {
 public:
  Packer(Sink& sink, const PackOptions& options) : tar_(sink), options_(options), buffer_(1u << 20) {}

  Result<> run(int root) {
    TRY(children(root, "", 0));
    return tar_.finish();
  }

 private:
  Result<> children(int dirfd, const std::string& path, int depth) {
    if (depth > kDeepest) return fail("\"", path, "\": folders are nested more than ", kDeepest, " deep");
    auto names = TRY(detail::list_folder(dirfd, "."));
    std::ranges::sort(names);
    for (const std::string& name : names) {
      const std::string full = path.empty() ? name : cat(path, "/", name);
      if (options_.leave_out && options_.leave_out(full)) continue;
      TRY_CTX(entry(dirfd, name, full, depth), "\"", full, "\"");
    }
    return {};
  }

  Result<> entry(int dirfd, const std::string& name, const std::string& path, int depth) {
    struct stat info{};
    if (::fstatat(dirfd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(errno, "stat");
    if (S_ISCHR(info.st_mode) && info.st_rdev == 0) return whiteout(path);
    TarEntry out = TRY(described(info, path));
    switch (info.st_mode & S_IFMT) {
      case S_IFDIR: return folder(dirfd, name, std::move(out), depth);
      case S_IFREG: return file(dirfd, name, info, std::move(out));
      case S_IFLNK: return symlink(dirfd, name, std::move(out));
      case S_IFSOCK: return {};
      default: return node(info, std::move(out));
    }
  }

  Result<TarEntry> described(const struct stat& info, const std::string& path) {
    TarEntry out;
    out.path = path;
    out.mode = info.st_mode & 07777;
    out.uid = options_.uid ? *options_.uid : TRY(options_.uids.to_container(info.st_uid, "uid"));
    out.gid = options_.gid ? *options_.gid : TRY(options_.gids.to_container(info.st_gid, "gid"));
    out.mtime = info.st_mtim;
    if (options_.latest_mtime && out.mtime.tv_sec >= *options_.latest_mtime) out.mtime = {*options_.latest_mtime, 0};
    return out;
  }

  Result<> whiteout(const std::string& path) {
    if (options_.form == LayerForm::kPlain) return fail("device 0:0 has no place in a layer");
    const size_t slash = path.rfind('/') + 1;
    TarEntry out;
    out.path = cat(path.substr(0, slash), ".wh.", path.substr(slash));
    out.mode = 0600;
    return tar_.add(out);
  }

  Result<> folder(int dirfd, const std::string& name, TarEntry out, int depth) {
    const Fd fd = TRY(kernel::open_at(dirfd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    const std::string path = out.path;
    out.type = EntryType::kDirectory;
    out.path += '/';
    out.xattrs = TRY(xattrs_of(fd.get()));
    TRY(tar_.add(out));
    if (options_.form == LayerForm::kOverlay && is_opaque(fd.get())) {
      TarEntry mark;
      mark.path = cat(path, "/.wh..wh..opq");
      mark.mode = 0600;
      TRY(tar_.add(mark));
    }
    return children(fd.get(), path, depth + 1);
  }

  // A second name of a file that is in the archive already.
  Result<bool> linked(const struct stat& info, TarEntry& out) {
    if (info.st_nlink < 2) return false;
    const auto [known, first] = links_.try_emplace({info.st_dev, info.st_ino}, out.path);
    if (first) return false;
    out.type = EntryType::kHardlink;
    out.link = known->second;
    TRY(tar_.add(out));
    return true;
  }

  Result<> file(int dirfd, const std::string& name, const struct stat& info, TarEntry out) {
    if (TRY(linked(info, out))) return {};
    const Fd fd = TRY(kernel::open_at(dirfd, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    out.xattrs = TRY(xattrs_of(fd.get()));
    out.size = static_cast<uint64_t>(info.st_size);
    if (info.st_blocks * 512 + kWorthHoles <= info.st_size) TRY(find_extents(fd.get(), out));
    TRY(tar_.add(out));
    if (!out.sparse) return content(fd.get(), {0, out.size});
    for (const Extent& extent : out.extents) TRY(content(fd.get(), extent));
    return {};
  }

  static Result<> find_extents(int fd, TarEntry& out) {
    out.sparse = true;
    off_t at = 0;
    for (;;) {
      const off_t begin = ::lseek(fd, at, SEEK_DATA);
      if (begin < 0 && errno == ENXIO) break;
      const off_t end = begin < 0 ? -1 : ::lseek(fd, begin, SEEK_HOLE);
      if (end < 0) return fail_errno(errno, "find holes");
      out.extents.push_back({static_cast<uint64_t>(begin), static_cast<uint64_t>(end - begin)});
      at = end;
    }
    return {};
  }

  Result<> content(int fd, const Extent& extent) {
    RangeReader reader(fd, extent.offset, extent.length);
    for (uint64_t done = 0; done < extent.length;) {
      const size_t got = TRY(reader.read(buffer_));
      if (got == 0) return fail("file has shrunk while it was read");
      TRY(tar_.write(std::span<const std::byte>(buffer_).first(got)));
      done += got;
    }
    return {};
  }

  Result<> symlink(int dirfd, const std::string& name, TarEntry out) {
    char target[4096];
    const ssize_t length = ::readlinkat(dirfd, name.c_str(), target, sizeof target);
    if (length < 0) return fail_errno(errno, "read link");
    out.type = EntryType::kSymlink;
    out.link.assign(target, static_cast<size_t>(length));
    out.mode = 0777;
    return tar_.add(out);
  }

  Result<> node(const struct stat& info, TarEntry out) {
    if (TRY(linked(info, out))) return {};
    out.type = S_ISFIFO(info.st_mode)  ? EntryType::kFifo
               : S_ISCHR(info.st_mode) ? EntryType::kCharDevice
                                       : EntryType::kBlockDevice;
    if (out.type != EntryType::kFifo) {
      out.major = major(info.st_rdev);
      out.minor = minor(info.st_rdev);
    }
    return tar_.add(out);
  }

  Result<std::vector<std::pair<std::string, std::string>>> xattrs_of(int fd) {
    std::vector<std::pair<std::string, std::string>> out;
    char names[4096];
    ssize_t length = ::flistxattr(fd, names, sizeof names);
    std::string many;
    if (length < 0 && errno == ERANGE) {
      many.resize(64u << 10);
      length = ::flistxattr(fd, many.data(), many.size());
    }
    if (length < 0 && errno != ENOTSUP) return fail_errno(errno, "list extended attributes");
    if (length <= 0) return out;
    std::string_view rest(many.empty() ? names : many.data(), static_cast<size_t>(length));
    std::string value(64u << 10, '\0');
    while (!rest.empty()) {
      const std::string name(tar::text_of(rest));
      rest.remove_prefix(std::min(rest.size(), name.size() + 1));
      if (!carried(name)) continue;
      const ssize_t size = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
      if (size < 0) return fail_errno(errno, "read extended attribute ", name);
      out.emplace_back(name, value.substr(0, static_cast<size_t>(size)));
    }
    std::ranges::sort(out);
    return out;
  }

  TarWriter tar_;
  const PackOptions& options_;
  std::vector<std::byte> buffer_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

}  // namespace

bool is_opaque(int fd) {
  char value = 0;
  for (const char* name : {"trusted.overlay.opaque", "user.overlay.opaque"})
    if (::fgetxattr(fd, name, &value, 1) == 1 && value == 'y') return true;
  return false;
}

Result<> pack_tree(int root, Sink& sink, const PackOptions& options) { return Packer(sink, options).run(root); }

}  // namespace proa::oci::image
