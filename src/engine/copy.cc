#include "engine/copy.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
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

Result<> set_owner_and_times(int fd, const struct stat& info, bool keep_owner) {
  if (::fchown(fd, keep_owner ? info.st_uid : 0, keep_owner ? info.st_gid : 0) != 0 && errno != EPERM)
    return fail_errno(errno, "set owner");
  if (::fchmod(fd, info.st_mode & 07777) != 0) return fail_errno(errno, "set mode");
  const timespec times[2] = {info.st_atim, info.st_mtim};
  ::futimens(fd, times);
  return {};
}

// A file, link or folder `name` of `from` becomes `target` in `to`.
Result<> copy_entry(int from, const std::string& name, int to, const std::string& target, const CopyOptions& options) {
  const struct stat info = TRY(stat_at(from, name.c_str()));
  if (S_ISDIR(info.st_mode)) {
    Fd source = TRY(kernel::open_at(from, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (::mkdirat(to, target.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "make folder ", target);
    Fd made = TRY(kernel::open_at(to, target.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY(oci::runtime::copy_tree(source.get(), made.get()));
    return set_owner_and_times(made.get(), info, options.keep_owner);
  }
  if (S_ISLNK(info.st_mode)) {
    std::string link(static_cast<size_t>(info.st_size) + 1, '\0');
    const ssize_t size = ::readlinkat(from, name.c_str(), link.data(), link.size());
    if (size < 0) return fail_errno(errno, name);
    link.resize(static_cast<size_t>(size));
    ::unlinkat(to, target.c_str(), 0);
    if (::symlinkat(link.c_str(), to, target.c_str()) != 0) return fail_errno(errno, target);
    return {};
  }
  if (!S_ISREG(info.st_mode)) return fail(name, ": neither a file, a folder nor a link");
  Fd source = TRY(kernel::open_at(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  if (const auto there = stat_at(to, target.c_str()); there && !S_ISREG(there->st_mode) && !S_ISDIR(there->st_mode))
    ::unlinkat(to, target.c_str(), 0);
  Fd made = TRY(kernel::open_at(to, target.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  TRY(copy_bytes(source.get(), made.get(), static_cast<uint64_t>(info.st_size)));
  return set_owner_and_times(made.get(), info, options.keep_owner);
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
      return Place{std::move(root), rest.empty() ? "/" : rest};
    }
  }
  return Place{TRY(engine.open_root(container)), inside};
}

Result<> copy_place(const Place& from, const Place& to, const CopyOptions& options) {
  const bool content = from.path.ends_with("/.") || from.path == ".";
  Place trimmed{.root = Fd(),
                .path = content && from.path.size() > 2 ? from.path.substr(0, from.path.size() - 2) : from.path};
  if (trimmed.path.empty()) trimmed.path = "/";
  if (from.root) trimmed.root = Fd(::fcntl(from.root.get(), F_DUPFD_CLOEXEC, 0));
  Source source = TRY(open_source(trimmed, options.follow_link || content));
  const bool folder = is_folder(source.folder.get(), source.name);

  std::string target = without_end(to.path);
  auto existing = open_place(to, target, O_PATH | O_DIRECTORY);
  if (content) {
    if (!folder) return fail(from.path, ": not a folder");
    if (!existing) {
      Fd parent = TRY_CTX(open_place(to, parent_of(target), O_PATH | O_DIRECTORY), to.path);
      TRY(kernel::make_dir_at(parent.get(), name_of(target).c_str(), 0755));
      existing = open_place(to, target, O_PATH | O_DIRECTORY);
      if (!existing) return std::unexpected(existing.error());
    }
    Fd read = TRY(kernel::open(kernel::FdPath(source.folder.get()).c_str(), O_RDONLY | O_DIRECTORY));
    Fd write = TRY(kernel::open(kernel::FdPath(existing->get()).c_str(), O_RDONLY | O_DIRECTORY));
    return oci::runtime::copy_tree(read.get(), write.get());
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
      return oci::runtime::copy_tree(read.get(), write.get());
    }
    Fd write = TRY(kernel::open_at(parent.get(), made.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
    TRY(copy_bytes(read.get(), write.get(), static_cast<uint64_t>(info.st_size)));
    return set_owner_and_times(write.get(), info, options.keep_owner);
  }
  if (existing) return copy_entry(source.folder.get(), name, existing->get(), name, options);
  if (to.path.ends_with('/')) return fail("no such directory: ", to.path);
  Fd parent = TRY_CTX(open_place(to, parent_of(target), O_PATH | O_DIRECTORY), to.path);
  const std::string new_name = name_of(target);
  // A link at the place itself is followed, within the root.
  if (const auto there = stat_at(parent.get(), new_name.c_str()); there && S_ISLNK(there->st_mode) && !folder) {
    Fd write = TRY_CTX(open_place(to, target, O_WRONLY | O_CREAT | O_TRUNC, 0644), to.path);
    Fd read = TRY(kernel::open_at(source.folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    return copy_bytes(read.get(), write.get(), static_cast<uint64_t>(TRY(kernel::stat_fd(read.get())).st_size));
  }
  return copy_entry(source.folder.get(), name, parent.get(), new_name, options);
}

Result<> unpack_into(int fd, const Place& to) {
  Fd folder = TRY_CTX(open_place(to, without_end(to.path), O_RDONLY | O_DIRECTORY), to.path);
  im::FdReader reader(fd);
  const auto plain = TRY(im::decompress(reader));
  im::BufferedSource source(*plain);
  TRY(im::unpack_layer(source, folder.get(), {.form = im::LayerForm::kPlain}));
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
    im::PackOptions options;
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
                     .uid = info.st_uid,
                     .gid = info.st_gid,
                     .size = static_cast<uint64_t>(info.st_size),
                     .mtime = info.st_mtim};
  TRY(writer.add(entry));
  TRY(writer.write_from(file.get(), entry.size));
  TRY(writer.finish());
  return sink.flush();
}

}  // namespace proa::engine
