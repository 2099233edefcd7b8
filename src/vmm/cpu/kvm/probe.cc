// Whether ring 0 runs by hardware: a loop of some thousand instructions, timed.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <optional>

#include "kernel/boot_fact.h"
#include "vmm/cpu/kvm/kvm.h"
#include "vmm/cpu/kvm/vcpu.h"

namespace proa::vmm {

namespace {

constexpr GuestAddress kCode = 0x1000;
constexpr unsigned kRounds = 2000;
constexpr uint16_t kDonePort = 0x80;
// Hardware takes about a nanosecond, emulation a microsecond.
constexpr auto kSlowest = std::chrono::nanoseconds(100) * kRounds;

// mov ecx, kRounds; 1: dec ecx; jnz 1b; out 80h, al; jmp 0
constexpr uint8_t kLoop[] = {0xb9, kRounds & 0xff, kRounds >> 8, 0, 0, 0x49, 0x75, 0xfd, 0xe6, kDonePort, 0xeb, 0xf4};

// The loop's end makes the vCPU stop.
class EndBus : public Bus {
 public:
  Vcpu* vcpu = nullptr;
  bool done = false;
  uint32_t port_in(uint16_t, unsigned) override { return ~0u; }
  void port_out(uint16_t port, unsigned, uint32_t) override {
    done = done || port == kDonePort;
    vcpu->kick();
  }
  uint64_t mmio_read(GuestAddress, unsigned) override { return ~0ULL; }
  void mmio_write(GuestAddress, unsigned, uint64_t) override {}
  void end_of_interrupt(uint8_t) override {}
  uint8_t acknowledge_extint() override { return 0; }
};

// Flat 32-bit protected mode without paging: needs no tables.
CpuState protected_mode() {
  CpuState state;
  state.cr0 = 0x60000011;
  const Segment data{.selector = 0x10, .attributes = 0xc093, .limit = 0xffffffff, .base = 0};
  state.segments.fill(data);
  state.segments[kCs] = {.selector = 8, .attributes = 0xc09b, .limit = 0xffffffff, .base = 0};
  state.ldtr = {.selector = 0, .attributes = 0x10082, .limit = 0xffff, .base = 0};
  state.tr = {.selector = 0, .attributes = 0x8b, .limit = 0xffff, .base = 0};
  state.rip = kCode;
  return state;
}

Result<std::chrono::nanoseconds> time_loop(Vcpu& vcpu, EndBus& bus) {
  TRY(vcpu.set_state(protected_mode()));
  bus.done = false;
  const auto begin = std::chrono::steady_clock::now();
  const Stop stop = TRY(vcpu.run());
  const auto taken = std::chrono::steady_clock::now() - begin;
  if (!bus.done || stop.reason != StopReason::kKicked) return fail("the loop did not end");
  return taken;
}

Result<std::chrono::nanoseconds> best_time() {
  std::vector<SlotPlan> plans(1);
  plans[0].size = 16 * kPageSize;
  const auto memory = TRY(GuestMemory::create(std::move(plans)));
  memory->write(kCode, kLoop, sizeof kLoop);
  EndBus bus;
  const auto engine = TRY(make_kvm_engine(*memory, bus, {}));
  const auto cpuid = TRY(engine->supported_cpuid());
  const auto vcpu = TRY(engine->create_vcpu(0, cpuid));
  bus.vcpu = vcpu.get();
  auto best = TRY(time_loop(*vcpu, bus));  // also warms up
  for (int i = 0; i < 2 && best > kSlowest; ++i) {
    const auto again = TRY(time_loop(*vcpu, bus));
    best = std::min(best, again);
  }
  return best;
}

}  // namespace

// Timed once until the host boots again: the loop takes some milliseconds where it is emulated.
KvmKind probe_kvm() {
  constexpr std::string_view kFact = "kvm", kHardware = "hardware", kEmulated = "emulated";
  if (::access("/dev/kvm", R_OK | W_OK) != 0) return KvmKind::kNone;
  const auto known = kernel::recall_fact(kFact);
  if (known == kHardware) return KvmKind::kHardware;
  if (known == kEmulated) return KvmKind::kEmulated;
  const auto best = best_time();
  if (!best) return KvmKind::kNone;
  const bool slow = *best > kSlowest;
  kernel::remember_fact(kFact, slow ? kEmulated : kHardware);
  return slow ? KvmKind::kEmulated : KvmKind::kHardware;
}

}  // namespace proa::vmm
