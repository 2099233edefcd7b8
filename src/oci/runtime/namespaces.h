// Which namespaces a container gets, and in what order it can get them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {

struct NamespaceToJoin {
  NamespaceType type;
  std::string path;
  Fd fd;
};

struct NamespacePlan {
  uint64_t at_clone = 0;  // new ones that clone3 makes
  // New ones made by the child itself, later.
  bool new_cgroup = false, new_time = false, new_network = false;
  // By path, the user namespace first. A user namespace changes who we are, and a pid namespace counts
  // only for children: either is joined in an intermediate process, which then clones the container's.
  std::vector<NamespaceToJoin> join;
  bool intermediate = false;

  uint64_t all() const;  // CLONE_NEW* of everything not shared with the runtime
  bool has_new(NamespaceType type) const;
};

// Opens the paths and checks that each is of its type.
Result<NamespacePlan> plan_namespaces(const Linux& linux_);

// In the intermediate process: joins what must be joined before the clone; those refused because a user
// namespace comes first are left in the plan for join_rest(), in the container's process.
Result<> join_first(NamespacePlan& plan);
Result<> join_rest(NamespacePlan& plan);

// unshare(CLONE_NEWTIME) with the offsets, and entering it.
Result<> enter_new_time_namespace(const Linux& linux_);

}  // namespace proa::oci::runtime
