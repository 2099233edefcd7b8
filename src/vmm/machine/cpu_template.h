// CPU templates: what of a processor's features a machine shows, so that its snapshots go on elsewhere. Static ones are
// those of Firecracker, by name.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "vmm/cpu/engine.h"
#include "vmm/machine/cpuid.h"

namespace proa::vmm {

// One model-specific register, at the start of each vCPU.
struct MsrModifier {
  uint32_t index = 0;
  uint64_t mask = 0, bits = 0;
  uint64_t apply(uint64_t value) const { return (value & ~mask) | (bits & mask); }
};

struct CpuTemplate {
  std::vector<CpuidModifier> cpuid;
  std::vector<MsrModifier> msrs;
  bool empty() const { return cpuid.empty() && msrs.empty(); }
};

enum class StaticTemplate : uint8_t { kNone, kC3, kT2, kT2s, kT2cl, kT2a };

std::string_view static_template_name(StaticTemplate which);
CpuTemplate static_template(StaticTemplate which);

// As CPUID tells: leaf 0's vendor, leaf 1's version (SDM 2A, CPUID, figure 3-6).
struct Processor {
  bool intel = false, amd = false;
  unsigned family = 0, model = 0, stepping = 0;
};
Processor host_processor();

// Whether a machine of this template may start on that processor: each is for one vendor, and under KVM, where the
// guest meets the processor's own faults, for the models that Firecracker has checked.
Result<> check_processor(StaticTemplate which, const Processor& host, EngineKind engine);

}  // namespace proa::vmm
