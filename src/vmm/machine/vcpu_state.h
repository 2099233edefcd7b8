// A vCPU's state in a snapshot, field by field.
#pragma once

#include "vmm/cpu/state.h"
#include "vmm/devices/state_stream.h"

namespace proa::vmm {

void transfer_vcpu(StateStream& s, CpuState& state);

}  // namespace proa::vmm
