#include "oci/runtime/mountpoint.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <vector>

#include "base/text.h"
#include "kernel/file.h"

namespace proa::oci::runtime {
namespace {

constexpr int kMaxLinks = 40;  // the kernel's own limit (path_resolution(7))

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Target of the symlink `name` in `parent` as a path in the root; empty when it is no link.
std::string link_target(const Fd& parent, const std::string& parent_path, const std::string& name) {
  char buffer[PATH_MAX];
  const ssize_t length = ::readlinkat(parent.get(), name.c_str(), buffer, sizeof buffer);
  if (length <= 0 || length == sizeof buffer) return {};
  const std::string_view target(buffer, static_cast<size_t>(length));
  return place_in_root(target.front() == '/' ? std::string(target) : cat(parent_path, "/", target));
}

// Missing folders are made one by one, each below a descriptor of the one before. A dangling link is
// followed by making what it points to, inside the root as always.
Result<Fd> make_folder(int root, const std::string& path, int links_left) {
  auto found = kernel::open_in_root(root, path.c_str(), O_PATH | O_DIRECTORY);
  if (found || found.error().code() != ENOENT) return found;
  if (links_left == 0) return fail_errno(ELOOP, "open ", path);
  const std::string parent_path = parent_of(path);
  Fd parent = TRY(make_folder(root, parent_path, links_left));
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string target = link_target(parent, parent_path, name);
  if (!target.empty()) return make_folder(root, target, links_left - 1);
  TRY(kernel::make_dir_at(parent.get(), name.c_str(), 0755));
  return kernel::open_beneath_no_links(parent.get(), name.c_str(), O_PATH | O_DIRECTORY);
}

Result<Fd> make_file(int root, const std::string& path, int links_left) {
  auto found = kernel::open_in_root(root, path.c_str(), O_PATH);
  if (found || found.error().code() != ENOENT) return found;
  if (links_left == 0) return fail_errno(ELOOP, "open ", path);
  const std::string parent_path = parent_of(path);
  Fd parent = TRY(make_folder(root, parent_path, kMaxLinks));
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string target = link_target(parent, parent_path, name);
  if (!target.empty()) return make_file(root, target, links_left - 1);
  auto made = kernel::open_at(parent.get(), name.c_str(), O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW, 0755);
  if (!made && made.error().code() != EEXIST) return made;
  return kernel::open_beneath_no_links(parent.get(), name.c_str(), O_PATH);
}

}  // namespace

std::string place_in_root(std::string_view path) {
  const std::string place = clean_path(cat("/", path));
  return place.empty() ? "/" : place;
}

Result<Fd> make_folder_in_root(int root, const std::string& path) {
  return make_folder(root, place_in_root(path), kMaxLinks);
}

Result<Fd> make_file_in_root(int root, const std::string& path) {
  return make_file(root, place_in_root(path), kMaxLinks);
}

Result<Place> make_parent_in_root(int root, const std::string& path) {
  const std::string clean = place_in_root(path);
  if (clean == "/") return fail_errno(EINVAL, path);
  return Place{TRY(make_folder(root, parent_of(clean), kMaxLinks)), clean.substr(clean.rfind('/') + 1)};
}

Result<Fd> make_plain_folder(int root, const std::string& path) {
  const std::string clean = place_in_root(path);
  const char* relative = clean == "/" ? "." : clean.c_str() + 1;
  auto found = kernel::open_beneath_no_links(root, relative, O_PATH | O_DIRECTORY);
  if (found || found.error().code() != ENOENT) {
    if (!found && (found.error().code() == ELOOP || found.error().code() == ENOTDIR))
      return fail_errno(found.error().code(), path, " must be an ordinary folder, not a link");
    return found;
  }
  Fd parent = TRY(make_plain_folder(root, parent_of(clean)));
  const std::string name = clean.substr(clean.rfind('/') + 1);
  TRY(kernel::make_dir_at(parent.get(), name.c_str(), 0755));
  return kernel::open_beneath_no_links(parent.get(), name.c_str(), O_PATH | O_DIRECTORY);
}

}  // namespace proa::oci::runtime
