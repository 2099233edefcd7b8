#include "oci/image/layer_root.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "kernel/file.h"
#include "oci/image/tar_format.h"

namespace proa::oci::image {
namespace {

constexpr size_t kOpenFolders = 24;

std::pair<std::string, std::string> split_last(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

bool is_whiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == 0; }

}  // namespace

Result<std::string> path_in_root(std::string_view path) {
  std::string out;
  for (const std::string_view part : split(path, '/')) {
    if (part == ".") continue;
    if (part == "..") {
      if (out.empty()) return fail("leaves the layer's root");
      out.resize(out.find('/') == std::string::npos ? 0 : out.rfind('/'));
      continue;
    }
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

Result<uint32_t> IdMap::to_host(uint32_t id, std::string_view what) const {
  if (ranges.empty()) return id;
  for (const IdRange& range : ranges)
    if (id >= range.container && id - range.container < range.size) return range.host + (id - range.container);
  return fail(what, " ", id, " has no mapping to the host");
}

Result<uint32_t> IdMap::to_container(uint32_t id, std::string_view what) const {
  if (ranges.empty()) return id;
  for (const IdRange& range : ranges)
    if (id >= range.host && id - range.host < range.size) return range.container + (id - range.host);
  if (otherwise) return *otherwise;
  return fail(what, " ", id, " of the host has no mapping");
}

LayerRoot::LayerRoot(int root, const UnpackOptions& options)
    : root_(root), options_(options), uid_(::geteuid()), gid_(::getegid()), open_up_(options.rootless) {
  struct stat info{};
  setgid_folders_ = ::fstat(root, &info) != 0 || (info.st_mode & S_ISGID) != 0 || info.st_gid != gid_;
}

void LayerRoot::keep_only(int fd) {
  std::erase_if(open_, [&](const Open& each) { return each.fd.get() != fd; });
}

// An open folder's descriptor, brought to the front; -1 when it is not among them.
int LayerRoot::known(std::string_view path) {
  if (path.empty()) return root_;
  const auto at = std::ranges::find(open_, path, &Open::path);
  if (at == open_.end()) return -1;
  if (at != open_.begin()) {
    Open first = std::move(*at);
    open_.erase(at);
    open_.push_front(std::move(first));
  }
  return open_.front().fd.get();
}

// A real folder in one that is open needs no walk from the root; anything else takes it.
Result<Fd> LayerRoot::walk(const std::string& path) {
  const auto [above, name] = split_last(path);
  if (const int fd = known(above); fd >= 0) {
    const int direct = ::openat(fd, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (direct >= 0) return Fd(direct);
  }
  return kernel::open_in_root(root_, path.c_str(), O_PATH | O_DIRECTORY);
}

// A folder that has no entry of its own, or none yet.
Result<Fd> LayerRoot::imply(const std::string& path) {
  const auto [above, name] = split_last(path);
  const Place place{TRY(folder(above, true)), name};
  struct stat info{};
  const bool there = ::fstatat(place.parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
  if (there && S_ISLNK(info.st_mode)) return fail("\"", path, "\" is a symlink to nothing in the layer");
  // A whiteout of this layer where a folder is now to be: the folder hides what was below.
  if (there && !is_whiteout(info)) return fail("\"", path, "\" is no folder");
  Fd fd = TRY(make_folder(place));
  if (!there) implied_.push_back(path);
  return fd;
}

// Without root's rights a folder's own mode keeps its owner out, as root it would not.
Result<> LayerRoot::make_writable(const std::string& path, int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail_errno(errno, "stat \"", path, "\"");
  if ((info.st_mode & 0700) == 0700 || info.st_uid != uid_) return {};
  if (::chmod(kernel::FdPath(fd).c_str(), (info.st_mode & 07777) | 0700) != 0)
    return fail_errno(errno, "make \"", path, "\" writable");
  opened_.emplace_back(path, info.st_mode & 07777);
  return {};
}

// The folder's descriptor, -1 when it is missing and not to be made.
Result<int> LayerRoot::folder(const std::string& path, bool make) {
  if (const int fd = known(path); fd >= 0) return fd;
  auto fd = walk(path);
  if (!fd) {
    const int code = fd.error().code();
    if (!make && code == ENOENT) return -1;
    if (!make || (code != ENOENT && code != ENOTDIR)) return std::unexpected(std::move(fd).error());
    fd = TRY(imply(path));
  }
  if (open_up_) TRY(make_writable(path, fd->get()));
  if (open_.size() >= kOpenFolders) open_.pop_back();
  open_.push_front({path, std::move(*fd)});
  return open_.front().fd.get();
}

Result<Place> LayerRoot::place(const std::string& path) {
  const auto [above, name] = split_last(path);
  return Place{TRY(folder(above, true)), name};
}

Result<std::optional<Place>> LayerRoot::find(const std::string& path) {
  const auto [above, name] = split_last(path);
  const int fd = TRY(folder(above, false));
  if (fd < 0) return std::nullopt;
  return Place{fd, name};
}

Result<> LayerRoot::clear(const Place& place) {
  if (::unlinkat(place.parent, place.name.c_str(), 0) != 0) {
    if (errno == ENOENT) return {};
    TRY(remove_any_tree(place.parent, place.name));
  }
  keep_only(place.parent);
  return {};
}

Result<Fd> LayerRoot::make_folder(const Place& place) {
  const char* name = place.name.c_str();
  bool opaque = false;
  if (::mkdirat(place.parent, name, 0755) != 0) {
    if (errno != EEXIST) return fail_errno(errno, "make folder");
    struct stat info{};
    if (::fstatat(place.parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(errno, "make folder");
    if (!S_ISDIR(info.st_mode)) {
      opaque = is_whiteout(info) && options_.form == LayerForm::kOverlay;
      if (::unlinkat(place.parent, name, 0) != 0 || ::mkdirat(place.parent, name, 0755) != 0)
        return fail_errno(errno, "make folder");
      keep_only(place.parent);
    }
  }
  Fd fd = TRY(kernel::open_at(place.parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (opaque) TRY(make_opaque(fd.get()));
  return fd;
}

Result<> LayerRoot::make_opaque(int fd) {
  const char* name = options_.rootless ? "user.overlay.opaque" : "trusted.overlay.opaque";
  // The descriptor may be one that only names the folder (O_PATH).
  if (::setxattr(kernel::FdPath(fd).c_str(), name, "y", 1, 0) != 0) return fail_errno(errno, "set ", name);
  return {};
}

Result<> LayerRoot::put_whiteout(const Place& place) {
  if (::mknodat(place.parent, place.name.c_str(), S_IFCHR, 0) == 0) return {};
  if (errno != EEXIST) return fail_errno(errno, "make whiteout");
  // The layer itself has something of the name: that replaces what is below, a folder wholly.
  struct stat info{};
  if (::fstatat(place.parent, place.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno(errno, "make whiteout");
  if (!S_ISDIR(info.st_mode)) return {};
  const Fd fd = TRY(kernel::open_at(place.parent, place.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return make_opaque(fd.get());
}

// Owner and mode. `name` is empty for the open file itself.
Result<> LayerRoot::own(int fd, const char* name, const TarEntry& entry) {
  const uid_t uid = TRY(options_.uids.to_host(entry.uid, "uid"));
  const gid_t gid = TRY(options_.gids.to_host(entry.gid, "gid"));
  const int flags = *name == '\0' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  const bool chown = uid != uid_ || gid != gid_ || setgid_folders_;
  if (chown && ::fchownat(fd, name, uid, gid, flags) != 0 &&
      !(options_.rootless && (errno == EPERM || errno == EINVAL)))
    return fail_errno(errno, "set owner ", uid, ":", gid);
  if (entry.type == EntryType::kFile && !chown && *name == '\0') return {};  // made with its mode
  if (entry.type == EntryType::kSymlink) return {};
  const mode_t mode = entry.type == EntryType::kDirectory && options_.rootless ? entry.mode | 0700 : entry.mode;
  const int changed = *name == '\0' ? ::fchmod(fd, mode) : ::fchmodat(fd, name, mode, 0);
  if (changed != 0) return fail_errno(errno, "set mode");
  return {};
}

Result<> LayerRoot::put_xattrs(const char* path, int fd, const TarEntry& entry) const {
  for (const auto& [name, value] : entry.xattrs) {
    if (tar::is_overlay_xattr(name)) continue;  // could show folders of other layers
    const int set = fd >= 0 ? ::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0)
                            : ::lsetxattr(path, name.c_str(), value.data(), value.size(), 0);
    if (set == 0 || errno == ENOTSUP) continue;
    if (options_.rootless && (errno == EPERM || errno == EINVAL)) continue;
    return fail_errno(errno, "set extended attribute ", name);
  }
  return {};
}

Result<> LayerRoot::set_attributes(int fd, const TarEntry& entry, bool times) {
  TRY(own(fd, "", entry));
  if (entry.type == EntryType::kDirectory && (entry.mode & S_ISGID) != 0) setgid_folders_ = true;
  TRY(put_xattrs(nullptr, fd, entry));
  const timespec both[2] = {entry.mtime, entry.mtime};
  if (times && ::futimens(fd, both) != 0) return fail_errno(errno, "set times");
  return {};
}

Result<> LayerRoot::set_attributes(const Place& place, const TarEntry& entry) {
  TRY(own(place.parent, place.name.c_str(), entry));
  if (!entry.xattrs.empty())
    TRY(put_xattrs(cat(kernel::FdPath(place.parent).c_str(), "/", place.name).c_str(), -1, entry));
  const timespec both[2] = {entry.mtime, entry.mtime};
  if (::utimensat(place.parent, place.name.c_str(), both, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno(errno, "set times");
  return {};
}

}  // namespace proa::oci::image
