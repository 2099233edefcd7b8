#include "vmm/cpu/engine.h"

#include "vmm/cpu/kvm/kvm.h"
#include "vmm/cpu/translator/translator.h"

namespace proa::vmm {

const char* exit_cause_name(ExitCause cause) {
  static constexpr std::array<const char*, static_cast<size_t>(ExitCause::kCount)> kNames = {
      "port-in",  "port-out", "mmio-read", "mmio-write",       "halt",      "interrupt", "exception", "page-fault",
      "tlb-miss", "cpuid",    "msr",       "control-register", "sensitive", "kick",      "doorbell",  "other"};
  return kNames[static_cast<size_t>(cause)];
}

EngineKind choose_engine(EngineKind kind) {
  if (kind != EngineKind::kAuto) return kind;
  return probe_kvm() == KvmKind::kHardware ? EngineKind::kKvm : EngineKind::kTranslator;
}

Result<std::unique_ptr<Engine>> make_engine(EngineKind kind, GuestMemory& memory, Bus& bus,
                                            const EngineOptions& options) {
  return choose_engine(kind) == EngineKind::kKvm ? make_kvm_engine(memory, bus, options)
                                                 : translator::make_engine(memory, bus, options);
}

}  // namespace proa::vmm
