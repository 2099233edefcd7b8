#include "oci/image/unpack.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

#include "kernel/file.h"
#include "oci/image/layer_root.h"
#include "oci/image/store_folder.h"
#include "oci/image/tar_format.h"

namespace proa::oci::image {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kWhiteoutMeta = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }
std::string above(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(path.substr(0, slash == std::string_view::npos ? 0 : slash));
}

class Unpacker {
 public:
  Unpacker(Source& source, int target, const UnpackOptions& options)
      : tar_(source, options.limits), target_(target), options_(options), root_(target, options) {}

  Result<Unpacked> run() {
    // Modes are the layer's alone; the umask is this thread's own.
    exact_modes_ = ::unshare(CLONE_FS) == 0;
    if (exact_modes_) ::umask(0);
    TarEntry entry;
    while (TRY(tar_.next(entry))) TRY_CTX(put(entry), "tar entry \"", entry.path, "\"");
    TRY(tar_.drain());
    TRY(finish_folders());
    out_.entries = tar_.entries();
    out_.implied = root_.take_implied();
    if (std::ranges::find(folders_, "", &Folder::path) == folders_.end()) out_.implied.emplace_back(".");
    return std::move(out_);
  }

 private:
  Result<> put(TarEntry& entry) {
    const std::string path = TRY(path_in_root(entry.path));
    const std::string_view name = last_part(path);
    if (path.empty()) return put_root(entry);
    if (name.starts_with(kWhiteout)) return put_whiteout(path, name);
    if (plain()) made_.insert(path);
    switch (entry.type) {
      case EntryType::kDirectory: return put_folder(path, entry);
      case EntryType::kFile: return put_file(TRY(root_.place(path)), entry);
      case EntryType::kSymlink: return put_symlink(TRY(root_.place(path)), entry);
      case EntryType::kHardlink: return put_hardlink(path, entry);
      default: return put_node(TRY(root_.place(path)), entry);
    }
  }

  bool plain() const { return options_.form == LayerForm::kPlain; }

  Result<> put_root(const TarEntry& entry) {
    if (entry.type != EntryType::kDirectory) return fail("is the root, and not a folder");
    const Fd fd = TRY(kernel::open_at(target_, ".", O_RDONLY | O_DIRECTORY));
    TRY(root_.set_attributes(fd.get(), entry));
    folders_.push_back({"", entry.mode, entry.mtime});
    return {};
  }

  Result<> put_folder(const std::string& path, const TarEntry& entry) {
    const Place place = TRY(root_.place(path));
    const Fd fd = TRY(root_.make_folder(place));
    TRY(root_.set_attributes(fd.get(), entry, false));
    // Times at last: whatever is put into the folder would change them.
    folders_.push_back({path, entry.mode, entry.mtime});
    return {};
  }

  Result<> put_file(const Place& place, const TarEntry& entry) {
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    auto fd = kernel::open_at(place.parent, place.name.c_str(), kFlags, entry.mode);
    if (!fd && fd.error().code() == EEXIST) {
      TRY(root_.clear(place));
      fd = kernel::open_at(place.parent, place.name.c_str(), kFlags, entry.mode);
    }
    if (!fd) return fail_errno(fd.error().code(), "make file");
    TRY(entry.sparse ? write_sparse(fd->get(), entry) : write_whole(fd->get()));
    if (!exact_modes_ && ::fchmod(fd->get(), entry.mode) != 0) return fail_errno(errno, "set mode");
    out_.bytes += entry.size;
    return root_.set_attributes(fd->get(), entry);
  }

  Result<> write_whole(int fd) {
    for (;;) {
      const auto ahead = TRY(tar_.data());
      if (ahead.empty()) return {};
      TRY(kernel::write_all(fd, {reinterpret_cast<const char*>(ahead.data()), ahead.size()}));
      tar_.consume(ahead.size());
    }
  }

  Result<> write_sparse(int fd, const TarEntry& entry) {
    if (::ftruncate(fd, static_cast<off_t>(entry.size)) != 0)
      return fail_errno(errno, "make file of ", entry.size, " bytes");
    for (const Extent& extent : entry.extents) {
      if (::lseek(fd, static_cast<off_t>(extent.offset), SEEK_SET) < 0) return fail_errno(errno, "seek");
      for (uint64_t left = extent.length; left > 0;) {
        const auto ahead = TRY(tar_.data());
        const auto piece = ahead.first(static_cast<size_t>(std::min<uint64_t>(left, ahead.size())));
        TRY(kernel::write_all(fd, {reinterpret_cast<const char*>(piece.data()), piece.size()}));
        tar_.consume(piece.size());
        left -= piece.size();
      }
    }
    return {};
  }

  Result<> put_symlink(const Place& place, const TarEntry& entry) {
    const auto make = [&] { return ::symlinkat(entry.link.c_str(), place.parent, place.name.c_str()); };
    TRY(made(place, make, "make symlink"));
    return root_.set_attributes(place, entry);
  }

  Result<> put_node(const Place& place, const TarEntry& entry) {
    const bool fifo = entry.type == EntryType::kFifo;
    const mode_t kind = fifo ? S_IFIFO : entry.type == EntryType::kCharDevice ? S_IFCHR : S_IFBLK;
    if (options_.rootless && !fifo) {
      ++out_.skipped_devices;
      return {};
    }
    const dev_t device = fifo ? 0 : makedev(entry.major, entry.minor);
    // overlayfs would take it for a whiteout.
    if (kind == S_IFCHR && device == 0) return fail("character device 0:0 has no place in a layer");
    const auto make = [&] { return ::mknodat(place.parent, place.name.c_str(), kind | entry.mode, device); };
    TRY(made(place, make, "make device"));
    return root_.set_attributes(place, entry);
  }

  // The link's target is a name in the layer, never followed if it is a symlink.
  Result<> put_hardlink(const std::string& path, const TarEntry& entry) {
    const std::string target = TRY_CTX(path_in_root(entry.link), "target \"", entry.link, "\"");
    if (target.empty()) return fail("target \"", entry.link, "\" is a folder");
    if (target == path) return fail("is a hardlink to itself");
    const auto from = TRY(root_.find(target));
    struct stat info{};
    const bool there = from && ::fstatat(from->parent, from->name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
    if (there && S_ISDIR(info.st_mode)) return fail("target \"", entry.link, "\" is a folder");
    if (!there) {
      if (plain()) return fail("target \"", entry.link, "\" is not there");
      out_.outside_hardlinks.push_back(entry);
      return {};
    }
    // Looking for the place may drop the target's folder from those held open.
    const Fd from_folder = TRY(kernel::open_at(from->parent, ".", O_PATH | O_DIRECTORY));
    const Place place = TRY(root_.place(path));
    const auto make = [&] {
      return ::linkat(from_folder.get(), from->name.c_str(), place.parent, place.name.c_str(), 0);
    };
    return made(place, make, cat("link to \"", entry.link, "\""));
  }

  template <typename Make>
  Result<> made(const Place& place, const Make& make, const std::string& what) {
    if (make() == 0) return {};
    if (errno == EEXIST) {
      TRY(root_.clear(place));
      if (make() == 0) return {};
    }
    return fail_errno(errno, what);
  }

  Result<> put_whiteout(const std::string& path, std::string_view name) {
    if (name == kOpaque) return put_opaque(above(path));
    if (name.starts_with(kWhiteoutMeta)) return {};  // aufs's own
    const std::string hidden(name.substr(kWhiteout.size()));
    if (hidden.empty() || hidden == "." || hidden == "..") return fail("is no name that a whiteout can hide");
    const std::string folder = above(path);
    const std::string full = folder.empty() ? hidden : cat(folder, "/", hidden);
    if (!plain()) return root_.put_whiteout(TRY(root_.place(full)));
    if (made_.contains(full)) return {};
    const auto place = TRY(root_.find(full));
    return place ? root_.clear(*place) : Result<>();
  }

  Result<> put_opaque(const std::string& folder) {
    if (!plain()) {
      const Place inside = TRY(root_.place(folder.empty() ? "x" : cat(folder, "/x")));
      return root_.make_opaque(inside.parent);
    }
    return clear_lower(folder);
  }

  // Plain form: all in the folder that this layer did not bring goes.
  Result<> clear_lower(const std::string& folder) {
    const auto place = TRY(root_.find(folder.empty() ? "x" : cat(folder, "/x")));
    if (!place) return {};
    const Fd fd = TRY(kernel::open_at(place->parent, ".", O_RDONLY | O_DIRECTORY));
    for (const std::string& name : TRY(detail::list_folder(fd.get(), "."))) {
      const std::string path = folder.empty() ? name : cat(folder, "/", name);
      const auto after = made_.lower_bound(path);
      if (after != made_.end() && *after == path) continue;
      const auto inside = made_.lower_bound(path + "/");
      if (inside != made_.end() && inside->starts_with(path + "/")) {
        TRY(clear_lower(path));
        continue;
      }
      root_.keep_only(-1);
      TRY(remove_any_tree(fd.get(), name));
    }
    return {};
  }

  // What stands at a folder's name by now may be another thing; only folders are touched.
  Result<> finish_folders() {
    std::set<std::string_view> done;
    // Those of lower layers first in the list, so that this layer's own word is the last.
    std::vector<Folder> opened;
    for (auto& [path, mode] : root_.take_opened()) opened.push_back({std::move(path), mode, {0, UTIME_OMIT}});
    folders_.insert(folders_.begin(), std::make_move_iterator(opened.begin()), std::make_move_iterator(opened.end()));
    for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder) {
      if (!done.insert(folder->path).second) continue;
      const auto found = root_.find(folder->path);
      if (!found || !*found) continue;
      const Place& place = **found;
      const char* name = place.name.empty() ? "." : place.name.c_str();
      const auto fd = kernel::open_at(place.parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (!fd) continue;
      const timespec both[2] = {folder->mtime, folder->mtime};
      if (::futimens(fd->get(), both) != 0) return fail_errno(errno, "set times of \"", folder->path, "\"");
      if (options_.rootless && (folder->mode & 0700) != 0700 && ::fchmod(fd->get(), folder->mode) != 0)
        return fail_errno(errno, "set mode of \"", folder->path, "\"");
    }
    return {};
  }

  struct Folder {
    std::string path;
    mode_t mode;
    timespec mtime;
  };
  TarReader tar_;
  int target_;
  const UnpackOptions& options_;
  LayerRoot root_;
  bool exact_modes_ = false;
  std::vector<Folder> folders_;
  std::set<std::string> made_;  // plain form: paths that this layer brought
  Unpacked out_;
};

// --- what comes from below

// The nearest lower layer's entry of that name; -1 when a whiteout or nothing is there.
Result<Fd> open_below(const std::vector<int>& below, const std::string& path, int flags) {
  for (const int layer : below) {
    auto fd = kernel::open_in_root(layer, path.c_str(), flags | O_NOFOLLOW);
    if (fd) return fd;
  }
  return fail_errno(ENOENT, "\"", path, "\"");
}

Result<> copy_attributes(int from, int to) {
  const auto info = TRY(kernel::stat_fd(from));
  if (::fchown(to, info.st_uid, info.st_gid) != 0) return fail_errno(errno, "set owner");
  if (::fchmod(to, info.st_mode & 07777) != 0) return fail_errno(errno, "set mode");
  const timespec both[2] = {info.st_mtim, info.st_mtim};
  if (::futimens(to, both) != 0) return fail_errno(errno, "set times");
  return {};
}

Result<> copy_xattrs(int from, int to) {
  std::string names(64u << 10, '\0');
  const ssize_t length = ::flistxattr(from, names.data(), names.size());
  if (length <= 0) return {};
  std::string value(64u << 10, '\0');
  for (std::string_view rest(names.data(), static_cast<size_t>(length)); !rest.empty();) {
    const std::string name(tar::text_of(rest));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    const ssize_t size = ::fgetxattr(from, name.c_str(), value.data(), value.size());
    if (size < 0 || tar::is_overlay_xattr(name)) continue;
    if (::fsetxattr(to, name.c_str(), value.data(), static_cast<size_t>(size), 0) != 0 && errno != ENOTSUP)
      return fail_errno(errno, "set extended attribute ", name);
  }
  return {};
}

Result<> copy_file(int from, int to) {
  for (;;) {
    const ssize_t moved = ::copy_file_range(from, nullptr, to, nullptr, 1u << 30, 0);
    if (moved == 0) return {};
    if (moved < 0) return fail_errno(errno, "copy");
  }
}

Result<> take_hardlink(LayerRoot& root, const std::vector<int>& below, const TarEntry& entry) {
  const std::string target = TRY(path_in_root(entry.link));
  auto from = open_below(below, target, O_RDONLY | O_NONBLOCK);
  if (!from) return fail("target \"", entry.link, "\" is in no layer");
  const auto info = TRY(kernel::stat_fd(from->get()));
  if (!S_ISREG(info.st_mode)) return fail("target \"", entry.link, "\" is no file");
  const std::string path = TRY(path_in_root(entry.path));
  const Place place = TRY(root.place(path));
  TRY(root.clear(place));
  const Fd to = TRY(kernel::open_at(place.parent, place.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  TRY(copy_file(from->get(), to.get()));
  TRY(copy_xattrs(from->get(), to.get()));
  return copy_attributes(from->get(), to.get());
}

}  // namespace

Result<Unpacked> unpack_layer(Source& source, int target, const UnpackOptions& options) {
  Result<Unpacked> out;
  try {
    std::thread([&] { out = Unpacker(source, target, options).run(); }).join();
  } catch (const std::system_error& error) {
    return fail_errno(error.code().value(), "start a thread");
  }
  return out;
}

Result<> take_from_below(int target, const std::vector<int>& below, const Unpacked& unpacked,
                         const UnpackOptions& options) {
  for (const std::string& path : unpacked.implied) {
    const auto from = open_below(below, path, O_RDONLY | O_DIRECTORY);
    const auto to = kernel::open_in_root(target, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!from || !to) continue;
    TRY_CTX(copy_xattrs(from->get(), to->get()), "folder \"", path, "\"");
    TRY_CTX(copy_attributes(from->get(), to->get()), "folder \"", path, "\"");
  }
  LayerRoot root(target, options);
  for (const TarEntry& entry : unpacked.outside_hardlinks)
    TRY_CTX(take_hardlink(root, below, entry), "tar entry \"", entry.path, "\"");
  return {};
}

}  // namespace proa::oci::image
