#include "vmm/cpu/translator/vcpu.h"

#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "vmm/cpu/translator/engine.h"
#include "vmm/cpu/translator/native_signals.h"

namespace proa::vmm::translator {

namespace {

using Activity = CpuState::Pending::Activity;

// The GS base of this thread while it runs translated code.
class GsBase {
 public:
  explicit GsBase(void* base) {
    ::syscall(SYS_arch_prctl, ARCH_GET_GS, &old_);
    ::syscall(SYS_arch_prctl, ARCH_SET_GS, base);
  }
  ~GsBase() { ::syscall(SYS_arch_prctl, ARCH_SET_GS, old_); }

 private:
  unsigned long old_ = 0;
};

// What stands in the code behind a call out, at any address.
template <typename T>
T stored(const uint8_t* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

}  // namespace

Result<std::unique_ptr<TranslatorVcpu>> TranslatorVcpu::create(TranslatorEngine& engine, unsigned id,
                                                               const std::vector<CpuidLeaf>& cpuid) {
  std::unique_ptr<TranslatorVcpu> vcpu(new TranslatorVcpu(engine, id));
  TRY(vcpu->build(cpuid));
  return vcpu;
}

Result<> TranslatorVcpu::build(const std::vector<CpuidLeaf>& cpuid) {
  void* memory =
      ::mmap(nullptr, sizeof(Context), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return fail_errno(errno, "memory for a vCPU");
  context_ = static_cast<Context*>(memory);
  context_->owner = this;
  const Handlers handlers = {
      .slow_access = [](void* o, const uint8_t* data,
                        uint64_t rcx) { return self(o).slow_access(stored<Site>(data), rcx); },
      .call_out = [](void* o, const uint8_t* data, uint64_t) { return self(o).call_out(stored<Site>(data)); },
      .link = [](void* o, const uint8_t* data, uint64_t) { return self(o).link(*stored<Edge*>(data)); },
      .indirect = [](void* o, const uint8_t*, uint64_t rcx) { return self(o).indirect(rcx); },
      .safe_point = [](void* o, const uint8_t* data, uint64_t) { return self(o).safe_point(stored<uint64_t>(data)); },
      .need_fpu = [](void* o, const uint8_t* data, uint64_t) { return self(o).need_fpu(stored<Site>(data)); },
      .native_fault = [](void* o, const uint8_t*, uint64_t) { return self(o).native_fault(); },
  };
  cache_ = TRY(CodeCache::create(std::max<size_t>(engine_.options().translation_bytes, 1 << 20), handlers));
  GuestClock& clock = engine_.guest_clock();
  lapic_ = std::make_unique<Lapic>(
      id_, clock.khz(),
      Lapic::Outside{.send = [this](const Message& m) { engine_.send(m, id_); },
                     .end_of_interrupt = [this](uint8_t vector) { engine_.bus().end_of_interrupt(vector); },
                     .wake = [this](uint8_t) { request(kInterrupt); },
                     .tsc = [this] { return engine_.guest_clock().tsc() + context_->tsc_offset; },
                     .arm = [this](uint64_t tsc) { engine_.arm(id_, tsc ? tsc - context_->tsc_offset : 0); }});
  std::vector<CpuidLeaf> leaves = cpuid;
  for (CpuidLeaf& leaf : leaves) {
    if (leaf.leaf == 1) leaf.ebx = (leaf.ebx & 0xffffff) | id_ << 24;
    if (leaf.leaf == 0xb) leaf.edx = id_;
  }
  core_ = std::make_unique<Core>(*context_, *cache_, engine_.memory(), outside(), surroundings(), leaves);
  if (engine_.options().trace_exits) core_->sites = std::make_unique<ExitSites>();
  translations_ = std::make_unique<Translations>(*core_, *cache_, engine_.memory());
  translations_->on_new_page = [this](GuestAddress page) { engine_.code_page_made(*this, page); };
  translations_->on_page_retired = [this](GuestAddress page) { engine_.code_page_retired(id_, page); };
  core_->on_flush = [this](Flush what, uint64_t linear) { translations_->flush(what, linear); };
  signal_stack_ = std::make_unique<uint8_t[]>(kSignalStack);
  install_native_signals();
  return {};
}

TranslatorVcpu::~TranslatorVcpu() {
  engine_.gone(id_);
  translations_.reset();
  core_.reset();
  if (context_) ::munmap(context_, sizeof(Context));
}

Mmu::Outside TranslatorVcpu::outside() {
  return {
      .read = [this](GuestAddress address, unsigned size) -> uint64_t {
        if (lapic_->memory_mapped() && (address & ~0xfffULL) == lapic_->base())
          return lapic_->read(address & 0xff0) >> (8 * (address & 3));
        core_->count(ExitCause::kMmioRead);
        return engine_.bus().mmio_read(address, size);
      },
      .write =
          [this](GuestAddress address, unsigned size, uint64_t value) {
            if (lapic_->memory_mapped() && (address & ~0xfffULL) == lapic_->base()) {
              if (address % 16 == 0) lapic_->write(address & 0xff0, static_cast<uint32_t>(value));
              return;
            }
            if (engine_.ring(false, address, size, value)) {
              core_->count(ExitCause::kDoorbell);
              return;
            }
            core_->count(ExitCause::kMmioWrite);
            engine_.bus().mmio_write(address, size, value);
          },
      .code_written = [this](GuestAddress address, uint64_t length) { engine_.code_written(this, address, length); },
      .writable = [this](GuestAddress page) { engine_.writable(id_, page); },
  };
}

Surroundings TranslatorVcpu::surroundings() {
  return {
      .bus = &engine_.bus(),
      .ring = [this](uint16_t port, unsigned size, uint32_t value) { return engine_.ring(true, port, size, value); },
      .read_apic_msr = [this](uint32_t number) { return lapic_->read_msr(number); },
      .write_apic_msr = [this](uint32_t number, uint64_t value) { return lapic_->write_msr(number, value); },
      .tsc = [this] { return engine_.guest_clock().tsc() + context_->tsc_offset; },
      .set_tsc = [this](uint64_t value) { context_->tsc_offset = engine_.guest_clock().set_tsc(value); },
      .clock_msr =
          [this](uint32_t msr, uint64_t value) {
            GuestClock& clock = engine_.guest_clock();
            if ((msr & 1) == (msr == 0x11 ? 1 : 0) && msr != 0x12) {  // wall clock, at the machine's start
              timespec now{};
              clock_gettime(CLOCK_REALTIME, &now);
              const uint64_t start = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
                                     static_cast<uint64_t>(now.tv_nsec) - clock.nanoseconds();
              const std::array<uint32_t, 3> wall = {2, static_cast<uint32_t>(start / 1'000'000'000),
                                                    static_cast<uint32_t>(start % 1'000'000'000)};
              engine_.memory().store(value, wall);
              return;
            }
            if (value & 1) engine_.memory().store(value & ~1ULL, clock.time_info());
          },
      .set_task_priority = [this](uint8_t value) { lapic_->set_cr8(value); },
      .task_priority = [this] { return lapic_->cr8(); },
  };
}

// --- the loop

Result<Stop> TranslatorVcpu::run() {
  stop_.reset();
  {
    NativeSignals signals;
    TRY(signals.enter(*cache_, *context_, signal_stack_.get()));
    running_.store(true, std::memory_order_seq_cst);
    const GsBase gs(context_);
    while (!stop_) {
      const uint8_t* target = next();
      if (!target) break;
      context_->target = reinterpret_cast<uint64_t>(target);
      cache_->enter();
    }
    running_.store(false, std::memory_order_seq_cst);
  }
  if (!failure_.empty()) return fail(failure_);
  return *stop_;
}

// Privilege changes: what user code left as predictions must not lead into supervisor code, and the kernel does not
// pay for the FPU's state.
void TranslatorVcpu::forget_predictions() {
  context_->fpu_dead = 1;
  context_->call_rsp = cache_->call_stack_base();
}

void TranslatorVcpu::raise(const Fault& fault) {
  forget_predictions();
  if (activity_ == Activity::kHalted) activity_ = Activity::kRunning;  // a debug trap behind HLT
  if (!core_->deliver(fault)) stop_ = Stop{StopReason::kTripleFault};
}

// After an instruction that the core has run by itself.
void TranslatorVcpu::settle(const Guest<>& done) {
  if (!done) {
    shadow_ = false;
    raise(done.error());
    return;
  }
  shadow_ = core_->shadow;
  if (core_->halted) {
    core_->count(ExitCause::kHalt);
    activity_ = Activity::kHalted;
  }
}

bool TranslatorVcpu::stepping() const {
  return (context_->system & kFlagTf) || (core_->state().dr7 & 0xff) || core_->code_size() != CodeSize::k64;
}

void TranslatorVcpu::step_alone() {
  const bool trap = context_->system & kFlagTf;
  CpuState& state = core_->state();
  if ((state.dr7 & 0xff) && !(context_->system & kFlagRf)) {
    for (unsigned i = 0; i < 4; ++i) {
      const bool on = state.dr7 >> (2 * i) & 3, execute = (state.dr7 >> (16 + 4 * i) & 3) == 0;
      if (on && execute && state.dr[i] == core_->linear_rip()) {
        raise({.vector = kDb, .address = 1ULL << i});
        return;
      }
    }
  }
  // RF holds for one instruction; IRET may set it for the next.
  context_->system &= ~uint64_t{kFlagRf};
  core_->watch_hits = 0;
  const unsigned before = core_->cpl();
  auto done = core_->step();
  if (core_->cpl() != before) forget_predictions();
  settle(done);
  pending_debug_ |= core_->watch_hits;
  if (done && core_->stack_shadow) return;
  const uint64_t reasons = std::exchange(pending_debug_, 0) | (trap ? 1 << 14 : 0);
  // INT3 and INTO have been executed when their trap comes; a data breakpoint that MOV SS met follows it. ICEBP is
  // itself the debug exception.
  const bool executed = done || (done.error().trap && done.error().vector != kDb);
  if (executed && reasons && !stop_) raise({.vector = kDb, .trap = true, .address = reasons});
}

const uint8_t* TranslatorVcpu::next() {
  while (!stop_) {
    if (!__atomic_load_n(&context_->run, __ATOMIC_RELAXED) || requests_.load(std::memory_order_relaxed) != 0)
      if (!service()) return nullptr;
    const bool enabled = (context_->system & kFlagIf) && !shadow_;
    if (enabled && interrupts_ && activity_ != Activity::kWaitForSipi) {
      if (interrupt_waits()) {
        activity_ = Activity::kRunning;
        take_interrupt();
        continue;
      }
      expect_interrupts(false);
    }
    if (activity_ != Activity::kRunning) {
      wait();
      continue;
    }
    if (shadow_ || stepping()) {
      shadow_ = false;
      step_alone();
      continue;
    }
    context_->system &= ~uint64_t{kFlagRf};
    auto block = translations_->find();
    if (!block) {
      raise(block.error());
      continue;
    }
    if (!*block) {  // not RAM, or not an instruction
      step_alone();
      continue;
    }
    return cache_->exec((*block)->entry);
  }
  return nullptr;
}

}  // namespace proa::vmm::translator
