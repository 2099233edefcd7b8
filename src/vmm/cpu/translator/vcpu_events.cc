// Interrupts, requests of other threads, INIT and start-up.
#include <sched.h>

#include <utility>

#include "vmm/cpu/translator/engine.h"
#include "vmm/cpu/translator/vcpu.h"

namespace proa::vmm::translator {

using Activity = CpuState::Pending::Activity;

void TranslatorVcpu::request(uint32_t bits) {
  requests_.fetch_or(bits, std::memory_order_seq_cst);
  if (context_) __atomic_store_n(&context_->run, 0, __ATOMIC_SEQ_CST);
  requests_.notify_one();
}

void TranslatorVcpu::code_written(GuestAddress address, uint64_t length) {
  {
    const std::scoped_lock lock(written_mutex_);
    written_.emplace_back(address, length);
  }
  request(kCodeWritten);
}

void TranslatorVcpu::drop_writes(const std::function<void()>& meanwhile) {
  request(kDropWrites);
  while (running_.load(std::memory_order_seq_cst) && (requests_.load(std::memory_order_seq_cst) & kDropWrites)) {
    meanwhile();
    ::sched_yield();
  }
}
void TranslatorVcpu::serve_drop_writes() {
  if (!(requests_.load(std::memory_order_seq_cst) & kDropWrites)) return;
  core_->mmu().drop_writes();
  requests_.fetch_and(~uint32_t{kDropWrites}, std::memory_order_seq_cst);
}

// Whether an interrupt is above the priority, be they enabled or not.
bool TranslatorVcpu::interrupt_waits() const {
  return lapic_->deliverable() || (id_ == 0 && engine_.extint() && lapic_->accepts_extint());
}

void TranslatorVcpu::take_interrupt() {
  std::optional<uint8_t> vector = lapic_->acknowledge();
  if (!vector && id_ == 0 && engine_.extint() && lapic_->accepts_extint()) vector = engine_.bus().acknowledge_extint();
  if (!vector) {
    expect_interrupts(interrupt_waits());
    return;
  }
  forget_predictions();
  if (!core_->interrupt(*vector)) stop_ = Stop{StopReason::kTripleFault};
}

void TranslatorVcpu::expect_interrupts(bool yes) {
  interrupts_ = yes;
  context_->interruptible = yes ? 0 : 1;
}

// What others asked for. False: stop.
bool TranslatorVcpu::service() {
  __atomic_store_n(&context_->run, 1, __ATOMIC_SEQ_CST);
  const uint32_t bits = requests_.exchange(0, std::memory_order_seq_cst);
  if (bits & kDropWrites) core_->mmu().drop_writes();
  if (bits & kCodeWritten) {
    std::deque<std::pair<GuestAddress, uint64_t>> written;
    {
      const std::scoped_lock lock(written_mutex_);
      written.swap(written_);
    }
    for (const auto& [address, length] : written) translations_->written(address, length);
  }
  if (bits & kInit) reset_for_init();
  if ((bits & kStartup) && activity_ == Activity::kWaitForSipi) begin_at(startup_vector_);
  if (bits & kTimer) lapic_->tick();
  if (bits & (kInterrupt | kTimer)) expect_interrupts(interrupt_waits());
  if (bits & kNmiRequest) {
    if (core_->state().pending.nmi_blocked || activity_ == Activity::kWaitForSipi) {
      requests_.fetch_or(kNmiRequest);
    } else {
      activity_ = Activity::kRunning;
      core_->state().pending.nmi_blocked = true;
      forget_predictions();
      if (!core_->interrupt(kNmi)) stop_ = Stop{StopReason::kTripleFault};
    }
  }
  if (bits & kAllHalted) stop_ = Stop{StopReason::kHaltedForEver};
  if (bits & kKick) {
    core_->count(ExitCause::kKick);
    stop_ = Stop{StopReason::kKicked};
  }
  return !stop_;
}

void TranslatorVcpu::wait() {
  const bool for_ever = activity_ == Activity::kWaitForSipi || !(context_->system & kFlagIf);
  if (for_ever) engine_.idle_for_ever(true);
  running_.store(false, std::memory_order_seq_cst);
  while (requests_.load(std::memory_order_seq_cst) == 0) requests_.wait(0);
  running_.store(true, std::memory_order_seq_cst);
  if (for_ever) engine_.idle_for_ever(false);
}

void TranslatorVcpu::reset_for_init() {
  CpuState state;
  const CpuState& old = core_->state();
  core_->save();
  state.tsc = old.tsc;
  state.cr0 = 0x60000010 | (old.cr0 & (kCr0Cd | kCr0Nw));
  state.gpr[kRdx] = 0x600;
  for (unsigned i = 0; i < 6; ++i) state.segments[i] = {.attributes = 0x93, .limit = 0xffff};
  state.segments[kCs] = {.selector = 0xf000, .attributes = 0x9b, .limit = 0xffff, .base = 0xffff0000};
  state.tr = {.attributes = 0x8b, .limit = 0xffff};
  state.ldtr = {.attributes = 0x82, .limit = 0xffff};
  state.gdtr.limit = state.idtr.limit = 0xffff;
  state.fx = context_->fx;
  state.apic_base = old.apic_base;
  state.pat = old.pat, state.tsc_aux = old.tsc_aux;
  state.mtrr_def_type = old.mtrr_def_type, state.mtrr_fixed = old.mtrr_fixed, state.mtrr_variable = old.mtrr_variable;
  core_->restore(state);
  lapic_->reset(true);
  activity_ = id_ == 0 ? Activity::kRunning : Activity::kWaitForSipi;
  shadow_ = false;
}

void TranslatorVcpu::begin_at(uint8_t vector) {
  CpuState& state = core_->state();
  state.segments[kCs] = {.selector = static_cast<uint16_t>(vector << 8),
                         .attributes = 0x9b,
                         .limit = 0xffff,
                         .base = uint64_t{vector} << 12};
  context_->rip = 0;
  activity_ = Activity::kRunning;
}

}  // namespace proa::vmm::translator
