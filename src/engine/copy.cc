#include "engine/copy.h"

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "kernel/capability.h"
#include "kernel/file.h"
#include "oci/image/pack.h"
#include "oci/image/tar_writer.h"
#include "oci/image/unpack.h"
#include "oci/runtime/copy_tree.h"

namespace proa::engine {
namespace {

namespace im = oci::image;

Result<Fd> open_place(const Place& place, const std::string& path, int flags, mode_t mode = 0) {
  if (place.root) return kernel::open_in_root(place.root.get(), path.empty() ? "/" : path.c_str(), flags, mode);
  return kernel::open(path.empty() ? "." : path.c_str(), flags, mode);
}

std::string parent_of(const std::string& path) {
  const size_t at = path.rfind('/');
  if (at == std::string::npos) return "";
  return at == 0 ? "/" : path.substr(0, at);
}
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string without_end(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

Result<struct stat> stat_at(int dir, const char* name) {
  struct stat info{};
  if (::fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0) return fail_errno(errno, name);
  return info;
}

Result<> copy_bytes(int from, int to, uint64_t size) {
  while (size > 0) {
    const ssize_t sent = ::sendfile(to, from, nullptr, std::min<uint64_t>(size, 1u << 30));
    if (sent < 0) return fail_errno(errno, "copy");
    if (sent == 0) return {};
    size -= static_cast<uint64_t>(sent);
  }
  return {};
}

using oci::runtime::Owner;
using oci::runtime::OwnerOf;

constexpr uint32_t kNobody = 65534;

// A container's ids as the host has them, and back.
im::IdMap id_map(const Place& place) {
  if (place.ids.size == 0) return {};
  const im::IdRange range{0, static_cast<uint32_t>(place.ids.first), static_cast<uint32_t>(place.ids.size)};
  return {.ranges = {range}, .otherwise = kNobody};
}

OwnerOf owner_of(const Place& from, const Place& to, bool keep) {
  const bool inward = static_cast<bool>(to.root);
  if (!keep) {
    const Owner all = inward ? Owner{static_cast<uid_t>(to.ids.first), static_cast<gid_t>(to.ids.first)}
                             : Owner{::geteuid(), ::getegid()};
    return [all](Owner) { return all; };
  }
  return [map = id_map(inward ? to : from), inward](Owner owner) -> Result<Owner> {
    if (inward) return Owner{TRY(map.to_host(owner.uid, "uid")), TRY(map.to_host(owner.gid, "gid"))};
    return Owner{TRY(map.to_container(owner.uid, "uid")), TRY(map.to_container(owner.gid, "gid"))};
  };
}

// While it lives, files are made as the container's root makes them: file systems whose ids are mapped take nobody
// else's. What the host's root may do with other files, it still may.
class AsRootOf {
 public:
  static Result<AsRootOf> begin(const Place& place) {
    AsRootOf out;
    if (place.ids.size == 0) return out;
    kernel::CapabilitySets sets = TRY(kernel::get_capabilities());
    ::setfsgid(static_cast<gid_t>(place.ids.first));
    ::setfsuid(static_cast<uid_t>(place.ids.first));
    out.active_ = true;
    sets.effective = sets.permitted;
    TRY(kernel::set_capabilities(sets));
    return out;
  }
  AsRootOf(AsRootOf&& other) noexcept : active_(std::exchange(other.active_, false)) {}
  AsRootOf& operator=(AsRootOf&&) = delete;
  ~AsRootOf() {
    if (!active_) return;
    ::setfsuid(::geteuid());
    ::setfsgid(::getegid());
  }

 private:
  AsRootOf() = default;
  bool active_ = false;
};

Result<> set_owner_and_times(int fd, const struct stat& info, const OwnerOf& owner_of) {
  const Owner owner = TRY(owner_of({info.st_uid, info.st_gid}));
  if (::fchown(fd, owner.uid, owner.gid) != 0 && errno != EPERM) return fail_errno(errno, "set owner");
  if (::fchmod(fd, info.st_mode & 07777) != 0) return fail_errno(errno, "set mode");
  const timespec times[2] = {info.st_atim, info.st_mtim};
  ::futimens(fd, times);
  return {};
}

// A file, link or folder `name` of `from` becomes `target` in `to`.
Result<> copy_entry(int from, const std::string& name, int to, const std::string& target, const OwnerOf& owners) {
  const struct stat info = TRY(stat_at(from, name.c_str()));
  if (S_ISDIR(info.st_mode)) {
    Fd source = TRY(kernel::open_at(from, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (::mkdirat(to, target.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "make folder ", target);
    Fd made = TRY(kernel::open_at(to, target.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY(oci::runtime::copy_tree(source.get(), made.get(), owners));
    return set_owner_and_times(made.get(), info, owners);
  }
  if (S_ISLNK(info.st_mode)) {
    std::string link(static_cast<size_t>(info.st_size) + 1, '\0');
    const ssize_t size = ::readlinkat(from, name.c_str(), link.data(), link.size());
    if (size < 0) return fail_errno(errno, name);
    link.resize(static_cast<size_t>(size));
    ::unlinkat(to, target.c_str(), 0);
    if (::symlinkat(link.c_str(), to, target.c_str()) != 0) return fail_errno(errno, target);
    const Owner owner = TRY(owners({info.st_uid, info.st_gid}));
    if (::fchownat(to, target.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0 && errno != EPERM)
      return fail_errno(errno, "set owner of ", target);
    return {};
  }
  if (!S_ISREG(info.st_mode)) return fail(name, ": neither a file, a folder nor a link");
  Fd source = TRY(kernel::open_at(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  if (const auto there = stat_at(to, target.c_str()); there && !S_ISREG(there->st_mode) && !S_ISDIR(there->st_mode))
    ::unlinkat(to, target.c_str(), 0);
  Fd made = TRY(kernel::open_at(to, target.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  TRY(copy_bytes(source.get(), made.get(), static_cast<uint64_t>(info.st_size)));
  return set_owner_and_times(made.get(), info, owners);
}

// The folder and name of what is copied; a link at the end is followed if that is asked for.
struct Source {
  Fd folder;
  std::string name;
};
Result<Source> open_source(const Place& from, bool follow) {
  const std::string path = without_end(from.path);
  if (follow || path == "/") {
    Fd file = TRY_CTX(open_place(from, path, O_PATH), from.path);
    return Source{std::move(file), ""};
  }
  Fd folder = TRY_CTX(open_place(from, parent_of(path), O_PATH | O_DIRECTORY), from.path);
  if (const auto there = stat_at(folder.get(), name_of(path).c_str()); !there)
    return fail_errno(there.error().code(), "Could not find the file ", from.path);
  return Source{std::move(folder), name_of(path)};
}

bool is_folder(int dir, const std::string& name) {
  struct stat info{};
  return ::fstatat(dir, name.c_str(), &info, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

Result<Place> place_in(Engine& engine, const Container& container, const std::string& path) {
  std::string inside = clean_path("/" + path);
  if (inside.empty()) inside = "/";
  // "/." and "/" at the end mean something.
  if (path.ends_with("/."))
    inside += inside == "/" ? "." : "/.";
  else if (path.ends_with('/') && inside != "/")
    inside += "/";
  if (!is_running(container.state)) {
    const MountConfig* best = nullptr;
    for (const MountConfig& mount : container.resolved.mounts) {
      const bool below = inside == mount.target || inside.starts_with(mount.target + "/");
      if (below && mount.type != "tmpfs" && (best == nullptr || mount.target.size() > best->target.size()))
        best = &mount;
    }
    if (best != nullptr) {
      const std::string source = best->type == "volume" ? TRY(engine.volumes().mount(best->source)) : best->source;
      Fd root = TRY(kernel::open(source.c_str(), O_PATH | O_DIRECTORY));
      const std::string rest = inside.substr(best->target.size());
      return Place{.root = std::move(root), .path = rest.empty() ? "/" : rest};
    }
  }
  Place out{.root = TRY(engine.open_root(container)), .path = inside};
  const Status status = status_of(container.state);
  if (status == Status::kRunning || status == Status::kPaused)
    out.ids = {container.resolved.ids_first, container.resolved.ids_size};
  return out;
}

Result<> copy_place(const Place& from, const Place& to, const CopyOptions& options) {
  const bool content = from.path.ends_with("/.") || from.path == ".";
  Place trimmed{.root = Fd(),
                .path = content && from.path.size() > 2 ? from.path.substr(0, from.path.size() - 2) : from.path};
  if (trimmed.path.empty()) trimmed.path = "/";
  if (from.root) trimmed.root = Fd(::fcntl(from.root.get(), F_DUPFD_CLOEXEC, 0));
  Source source = TRY(open_source(trimmed, options.follow_link || content));
  const bool folder = is_folder(source.folder.get(), source.name);

  const OwnerOf owners = owner_of(from, to, options.keep_owner);
  const AsRootOf maker = TRY(AsRootOf::begin(to));
  std::string target = without_end(to.path);
  auto existing = open_place(to, target, O_PATH | O_DIRECTORY);
  if (content) {
    if (!folder) return fail(from.path, ": not a folder");
    const bool made = !existing;
    if (made) {
      Fd parent = TRY_CTX(open_place(to, parent_of(target), O_PATH | O_DIRECTORY), to.path);
      TRY(kernel::make_dir_at(parent.get(), name_of(target).c_str(), 0755));
      existing = open_place(to, target, O_PATH | O_DIRECTORY);
      if (!existing) return std::unexpected(existing.error());
    }
    Fd read = TRY(kernel::open(kernel::FdPath(source.folder.get()).c_str(), O_RDONLY | O_DIRECTORY));
    Fd write = TRY(kernel::open(kernel::FdPath(existing->get()).c_str(), O_RDONLY | O_DIRECTORY));
    TRY(oci::runtime::copy_tree(read.get(), write.get(), owners));
    return made ? set_owner_and_times(write.get(), TRY(kernel::stat_fd(read.get())), owners) : Result<>();
  }
  std::string name = source.name;
  if (name.empty()) {
    // Opened by its link: copied from its own descriptor.
    name = name_of(without_end(from.path));
    struct stat info = TRY(kernel::stat_fd(source.folder.get()));
    Fd parent;
    std::string made = name;
    if (existing)
      parent = std::move(*existing);
    else
      parent = TRY_CTX(open_place(to, parent_of(target), O_PATH | O_DIRECTORY), to.path), made = name_of(target);
    Fd read = TRY(kernel::open(kernel::FdPath(source.folder.get()).c_str(), O_RDONLY | O_NONBLOCK));
    if (S_ISDIR(info.st_mode)) {
      TRY(kernel::make_dir_at(parent.get(), made.c_str(), 0755));
      Fd write = TRY(kernel::open_at(parent.get(), made.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      TRY(oci::runtime::copy_tree(read.get(), write.get(), owners));
      return set_owner_and_times(write.get(), info, owners);
    }
    Fd write = TRY(kernel::open_at(parent.get(), made.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
    TRY(copy_bytes(read.get(), write.get(), static_cast<uint64_t>(info.st_size)));
    return set_owner_and_times(write.get(), info, owners);
  }
  if (existing) return copy_entry(source.folder.get(), name, existing->get(), name, owners);
  if (to.path.ends_with('/')) return fail("no such directory: ", to.path);
  Fd parent = TRY_CTX(open_place(to, parent_of(target), O_PATH | O_DIRECTORY), to.path);
  const std::string new_name = name_of(target);
  // A link at the place itself is followed, within the root.
  if (const auto there = stat_at(parent.get(), new_name.c_str()); there && S_ISLNK(there->st_mode) && !folder) {
    Fd write = TRY_CTX(open_place(to, target, O_WRONLY | O_CREAT | O_TRUNC, 0644), to.path);
    Fd read = TRY(kernel::open_at(source.folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    return copy_bytes(read.get(), write.get(), static_cast<uint64_t>(TRY(kernel::stat_fd(read.get())).st_size));
  }
  return copy_entry(source.folder.get(), name, parent.get(), new_name, owners);
}

Result<> unpack_into(int fd, const Place& to) {
  Fd folder = TRY_CTX(open_place(to, without_end(to.path), O_RDONLY | O_DIRECTORY), to.path);
  const AsRootOf maker = TRY(AsRootOf::begin(to));
  im::FdReader reader(fd);
  const auto plain = TRY(im::decompress(reader));
  im::BufferedSource source(*plain);
  TRY(im::unpack_layer(source, folder.get(), {.form = im::LayerForm::kPlain, .uids = id_map(to), .gids = id_map(to)}));
  return {};
}

Result<> pack_from(const Place& from, int fd) {
  Source source = TRY(open_source(from, false));
  im::BufferedSink sink([&](std::span<const std::byte> bytes) -> Result<> {
    return kernel::write_all(fd, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  });
  const std::string path = source.name.empty() ? std::string(".") : source.name;
  struct stat info = TRY(stat_at(source.folder.get(), path.c_str()));
  if (S_ISDIR(info.st_mode)) {
    Fd parent = TRY(kernel::open(kernel::FdPath(source.folder.get()).c_str(), O_RDONLY | O_DIRECTORY));
    im::PackOptions options{.uids = id_map(from), .gids = id_map(from)};
    if (path != ".")
      options.leave_out = [&](const std::string& each) {
        std::string_view rest = each;
        while (rest.starts_with('/')) rest.remove_prefix(1);
        return !rest.empty() && rest != path && !rest.starts_with(path + "/");
      };
    TRY(im::pack_tree(parent.get(), sink, options));
    return sink.flush();
  }
  if (!S_ISREG(info.st_mode)) return fail(from.path, ": only files and folders can be archived alone");
  Fd file = TRY(kernel::open_at(source.folder.get(), path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  im::TarWriter writer(sink);
  im::TarEntry entry{.type = im::EntryType::kFile,
                     .path = path,
                     .mode = info.st_mode & 07777,
                     .uid = TRY(id_map(from).to_container(info.st_uid, "uid")),
                     .gid = TRY(id_map(from).to_container(info.st_gid, "gid")),
                     .size = static_cast<uint64_t>(info.st_size),
                     .mtime = info.st_mtim};
  TRY(writer.add(entry));
  TRY(writer.write_from(file.get(), entry.size));
  TRY(writer.finish());
  return sink.flush();
}

}  // namespace proa::engine
