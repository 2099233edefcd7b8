// A CPU engine runs the guest's instructions: kvm by the hardware, translator by dynamic binary translation. The
// machine above sees no difference.
//
//   auto engine = TRY(make_engine(EngineKind::kAuto, *memory, bus, options));
//   auto vcpu = TRY(engine->create_vcpu(0));
//   TRY(vcpu->set_state(boot_state));
//   Stop stop = TRY(vcpu->run());        // on a thread of its own
//
// The local APICs are the engine's (KVM's split irqchip; our own model in the translator), so interrupts from outside
// reach it as MSIs; IOAPIC and PICs are the machine's. Time as the guest sees it (TSC, kvm-clock, APIC timer) is the
// engine's too.
//
// Ownership: an engine outlives its vCPUs. Threads: one thread runs a Vcpu; kick() and everything of Engine may be
// called from any thread, except creation. state()/set_state() while no thread is in run().
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "vmm/cpu/state.h"
#include "vmm/memory/guest_memory.h"

namespace proa::vmm {

// What a vCPU meets that is not memory. Called on the vCPU's thread, which goes on when the call returns. Sizes are
// 1, 2, 4 (ports) and 1, 2, 4, 8 (MMIO) bytes; what nobody answers reads as all ones.
class Bus {
 public:
  virtual ~Bus() = default;
  virtual uint32_t port_in(uint16_t port, unsigned size) = 0;
  virtual void port_out(uint16_t port, unsigned size, uint32_t value) = 0;
  virtual uint64_t mmio_read(GuestAddress address, unsigned size) = 0;
  virtual void mmio_write(GuestAddress address, unsigned size, uint64_t value) = 0;
  // A level-triggered vector was acknowledged by a local APIC (to the IOAPIC).
  virtual void end_of_interrupt(uint8_t vector) = 0;
  // The PICs' answer to INTA on the boot vCPU; called when set_extint(true) is taken.
  virtual uint8_t acknowledge_extint() = 0;
};

// A message-signalled interrupt (SDM 3A, 10.11).
struct Msi {
  uint64_t address = 0;
  uint32_t data = 0;
};

enum class StopReason : uint8_t {
  kKicked,        // kick() was called; run() may be called again
  kTripleFault,   // shutdown
  kHaltedForEver  // HLT with interrupts off and no NMI to come, on every vCPU
};

struct Stop {
  StopReason reason = StopReason::kKicked;
};

// Why the guest left its own code, counted per vCPU since its creation.
enum class ExitCause : uint8_t {
  kPortIn,
  kPortOut,
  kMmioRead,
  kMmioWrite,
  kHalt,
  kInterrupt,  // delivered to the guest
  kException,  // delivered to the guest
  kPageFault,  // of the guest
  kTlbMiss,    // soft TLB; nested page fault
  kCpuid,
  kMsr,
  kControlRegister,
  kSensitive,  // other sensitive instructions
  kKick,
  kDoorbell,  // a write that signalled an eventfd without reaching the bus
  kOther,
  kCount
};
using ExitCounts = std::array<uint64_t, static_cast<size_t>(ExitCause::kCount)>;
const char* exit_cause_name(ExitCause cause);

class Vcpu {
 public:
  virtual ~Vcpu() = default;
  // Runs the guest until something of StopReason happens.
  virtual Result<Stop> run() = 0;
  // Makes run() return kKicked soon; if it is not running, its next call at once.
  virtual void kick() = 0;
  virtual Result<CpuState> state() = 0;
  virtual Result<> set_state(const CpuState& state) = 0;
  virtual ExitCounts exits() const = 0;
  // A model-specific register as the host may set it, also one that the guest can only read. While no thread is in
  // run(). An error: there is no such register.
  virtual Result<uint64_t> msr(uint32_t index) = 0;
  virtual Result<> set_msr(uint32_t index, uint64_t value) = 0;
};

struct CpuidLeaf {
  uint32_t leaf = 0, subleaf = 0;
  bool by_subleaf = false;
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// A write of `size` bytes (0: any) to the address signals `eventfd`, and the bus does not see it.
struct Doorbell {
  bool is_port = false;
  uint64_t address = 0;
  unsigned size = 0;
  bool match = false;  // only when the value is `value`
  uint64_t value = 0;
  int eventfd = -1;  // borrowed: must outlive the registration
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual const char* name() const = 0;  // "kvm", "translator"
  // What a guest may be offered here, as CPUID leaves: the machine masks and completes them.
  virtual Result<std::vector<CpuidLeaf>> supported_cpuid() = 0;
  // `id` is the local APIC's. Ids count from 0; 0 boots, the others wait for SIPI.
  virtual Result<std::unique_ptr<Vcpu>> create_vcpu(unsigned id, const std::vector<CpuidLeaf>& cpuid) = 0;

  virtual Result<> signal_msi(const Msi& msi) = 0;
  // A write to `eventfd` (borrowed; -1: none) raises the MSI, without a thread of ours where the engine can; `line`
  // names the route, and calling again with the same line changes its message. Lines 0 to 23 are the IOAPIC's: the
  // engine reports the end of an interrupt whose message is level-triggered and routed there.
  virtual Result<> route_irqfd(unsigned line, int eventfd, const Msi& msi) = 0;
  virtual Result<> remove_irqfd(unsigned line) = 0;
  // The PICs' INTR line to the boot vCPU.
  virtual Result<> set_extint(bool level) = 0;
  virtual Result<> signal_nmi(unsigned vcpu) = 0;

  virtual Result<> add_doorbell(const Doorbell& doorbell) = 0;
  virtual Result<> remove_doorbell(const Doorbell& doorbell) = 0;

  // What kvm-clock shows: nanoseconds since the machine's start. Set when a snapshot is restored, before any vCPU runs.
  virtual Result<uint64_t> clock() = 0;
  virtual Result<> set_clock(uint64_t nanoseconds) = 0;

  // Pages the CPUs wrote since the last call, besides what GuestMemory's own marks say. Tracking starts clean.
  virtual Result<> track_dirty(bool on) = 0;
  virtual Result<std::vector<GuestAddress>> take_dirty() = 0;

  // What `--trace` shows; a few lines of "name value".
  virtual std::string report() const = 0;
};

enum class EngineKind : uint8_t { kAuto, kKvm, kTranslator };

struct EngineOptions {
  uint64_t tsc_khz = 0;                      // 0: the host's
  uint64_t translation_bytes = 64ULL << 20;  // the translator's code cache
  bool trace_blocks = false;                 // report() lists them
  bool trace_exits = false;                  // ... and where in the guest exits happened
  uint32_t dirty_ring = 0;                   // kvm: entries of each vCPU's dirty ring, a power of two; 0: dirty bitmaps
};

// What kAuto stands for on this host; any other as it is.
EngineKind choose_engine(EngineKind kind);

// kAuto: kvm where it runs ring 0 by hardware, else the translator. The memory and the bus outlive the engine.
Result<std::unique_ptr<Engine>> make_engine(EngineKind kind, GuestMemory& memory, Bus& bus,
                                            const EngineOptions& options = {});

}  // namespace proa::vmm
