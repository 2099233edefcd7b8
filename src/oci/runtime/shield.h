// Keeps the host's program out of reach of containers that may open other processes' /proc/PID/exe
// (CVE-2019-5736): the runtime executes itself again from a read-only mount that is attached nowhere, so
// that what they open cannot be opened for writing, ever.
#pragma once

#include "base/error.h"
#include "oci/runtime/state.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {

// Whether a container with these sets may look into processes that are not its own.
bool may_trace(const Process& process);
// Whether others may already be in the pid namespace that a new container's process will be born in.
bool joins_processes(const Spec& spec);

// Call before anything has an effect: on success this call is made again in the program's second life,
// where it returns at once. Without privileges it does nothing: then the container has none over us either.
Result<> shield_program();

}  // namespace proa::oci::runtime
