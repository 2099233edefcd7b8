// Finding the folder that holds a controller, on v1 or v2, and switching controllers on along a v2 path.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernel/cgroup/cgroup.h"
#include "kernel/cgroup/folder.h"

namespace proa::kernel::cgroup {

struct Target {
  Folder folder;
  bool v2 = false;
};

const Location::Hierarchy* find_v1(const Location& location, std::string_view controller);
const Location::Hierarchy* find_unified(const Location& location);

// The folder with the controller: `v1_name` on v1, else `v2_name` ("" for none) on v2, enabled there if
// it is available but off. The error for neither starts with `field`.
Result<Target> find_target(const Location& location, std::string_view v1_name, std::string_view v2_name,
                           std::string_view field);

// Switches on, for a pure v2 host, every controller the mount has for `folder` (made below `mount`). What
// a parent with processes refuses stays off; then limits that need it fail by name.
Result<> enable_all(const std::string& mount, const Folder& folder);

// The folder's ancestors in its v2 hierarchy, topmost (the mount) first, without the folder itself.
std::vector<Folder> ancestors(const Folder& folder);

bool has_word(std::string_view list, std::string_view word);

}  // namespace proa::kernel::cgroup
