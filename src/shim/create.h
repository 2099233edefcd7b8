// Making the container: the runtime's create command with the container's standard streams.
#pragma once

#include "shim/options.h"
#include "shim/process.h"
#include "shim/state.h"
#include "shim/text.h"

namespace proa::shim {

// The shim's ends of a created container; -1 where there is none. All are non-blocking.
struct Container {
  int pid = -1;
  int in = -1, out = -1, err = -1;
  // With a terminal `in` and `out` are its master. The slave is held open so that the master does not
  // report a hang-up while no process of the container has the terminal open.
  int slave = -1;
  Text<4096> warning;  // what the runtime and its hooks said
};

// `children`: a signalfd for SIGCHLD. On failure nothing is left of the attempt but what the runtime leaves.
Result<> create_container(const Options& options, const Origin& origin, const StateDir& state, int children,
                          Container* container);

}  // namespace proa::shim
