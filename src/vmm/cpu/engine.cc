#include "vmm/cpu/engine.h"

#include "vmm/cpu/kvm/kvm.h"

namespace proa::vmm {

const char* exit_cause_name(ExitCause cause) {
  static constexpr std::array<const char*, static_cast<size_t>(ExitCause::kCount)> kNames = {
      "port-in",  "port-out", "mmio-read", "mmio-write",       "halt",      "interrupt", "exception", "page-fault",
      "tlb-miss", "cpuid",    "msr",       "control-register", "sensitive", "kick",      "doorbell",  "other"};
  return kNames[static_cast<size_t>(cause)];
}

}  // namespace proa::vmm
