// Users and groups as the container's own /etc/passwd and /etc/group name them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace proa::engine {

struct ResolvedUser {
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;  // additional ones
  std::string home = "/";
};

// `user`: USER[:GROUP], names or numbers; empty is root. `group_add`: more groups. The files are opened beneath
// `root`, whatever links they are; at most 1 MiB of each is read.
Result<ResolvedUser> resolve_user(int root, const std::string& user, const std::vector<std::string>& group_add);

}  // namespace proa::engine
