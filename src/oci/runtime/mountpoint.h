// Places in a container's root file system, which the container may have filled with traps: every
// path is resolved by the kernel inside the root (openat2 RESOLVE_IN_ROOT, no magic links) to a
// descriptor, and only the descriptor is used from then on.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace proa::oci::runtime {

// `path` as seen from the root: absolute and clean; the root itself is "/".
std::string place_in_root(std::string_view path);

// The folder at `path` (O_PATH), made with its parents (0755) where missing.
Result<Fd> make_folder_in_root(int root, const std::string& path);
// The file at `path` (O_PATH), made empty where missing. An existing file of any kind is taken.
Result<Fd> make_file_in_root(int root, const std::string& path);
// Parent folder of `path`, made where missing, and the last component.
struct Place {
  Fd parent;
  std::string name;
};
Result<Place> make_parent_in_root(int root, const std::string& path);

// For proc and sysfs, whose mount must not be redirected (CVE-2019-19921): a plain folder reached
// without any symlink.
Result<Fd> make_plain_folder(int root, const std::string& path);

}  // namespace proa::oci::runtime
