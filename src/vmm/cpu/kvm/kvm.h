// The KVM engine: vCPUs run by the kernel, local APICs in the kernel, 8259s and IOAPIC in the machine ("split
// irqchip").
#pragma once

#include <memory>

#include "base/error.h"
#include "vmm/cpu/engine.h"

namespace proa::vmm {

// ENOENT, EACCES and the like as the error's code when there is no usable /dev/kvm.
Result<std::unique_ptr<Engine>> make_kvm_engine(GuestMemory& memory, Bus& bus, const EngineOptions& options);

// How /dev/kvm runs a kernel's code.
enum class KvmKind : uint8_t {
  kNone,      // it cannot be used
  kEmulated,  // ring 0 instruction by instruction: some hundred times slower than hardware
  kHardware
};
// Tries it: times a short ring-0 loop in a machine of its own. Takes some ms at most.
KvmKind probe_kvm();

}  // namespace proa::vmm
