// Device access on the unified hierarchy: an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE.
#pragma once

#include <linux/bpf.h>

#include <vector>

#include "base/error.h"
#include "kernel/cgroup/device_rules.h"

namespace proa::kernel::cgroup {

// Returns 1 to allow, 0 to deny. An allowed exception must cover the whole access asked for; a denied
// one needs to touch any part of it: as v1 has it.
std::vector<bpf_insn> device_program(const DevicePolicy& policy);

// Loads and attaches it to the cgroup folder. `fresh` false: programs attached before are replaced, in
// one step when there is exactly one, so that there is never a moment without any.
Result<> attach_device_program(int folder, const std::vector<bpf_insn>& program, bool fresh);

}  // namespace proa::kernel::cgroup
