// A container whose cgroup is looked at or adjusted: what update, ps and events start from.
#pragma once

#include <string>

#include "base/error.h"
#include "kernel/cgroup/cgroup.h"
#include "oci/runtime/runtime.h"
#include "oci/runtime/state.h"

namespace proa::oci::runtime {

struct Watched {
  StateFolder folder;
  ContainerState state;
  kernel::cgroup::Cgroup cgroup;
};

// `lock`: wait for whoever changes the container, and keep others waiting.
Result<Watched> open_watched(const Globals& globals, const std::string& id, bool lock);

}  // namespace proa::oci::runtime
