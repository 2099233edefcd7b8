// The state that snapshots keep, and the report of what was counted.
#include "vmm/cpu/translator/engine.h"
#include "vmm/cpu/translator/vcpu.h"

namespace proa::vmm::translator {

Result<CpuState> TranslatorVcpu::state() {
  core_->save();
  CpuState state = core_->state();
  lapic_->save(state);
  state.pending.activity = activity_;
  state.pending.interrupt_shadow = shadow_;
  state.pending.nmi_pending = requests_ & kNmiRequest;
  return state;
}

Result<> TranslatorVcpu::set_state(const CpuState& state) {
  lapic_->restore(state);
  core_->restore(state);
  if (state.cr8) lapic_->set_cr8(static_cast<uint8_t>(state.cr8));
  activity_ = state.pending.activity;
  shadow_ = state.pending.interrupt_shadow;
  if (state.pending.nmi_pending) request(kNmiRequest);
  if (state.pending.exception)
    raise({.vector = state.pending.vector, .has_error = state.pending.has_error, .error = state.pending.error});
  if (state.pending.interrupt) static_cast<void>(core_->interrupt(state.pending.interrupt_vector));
  core_->state().pending = {};
  core_->state().pending.nmi_blocked = state.pending.nmi_blocked;
  request(kInterrupt | kTimer);
  return {};
}

Result<uint64_t> TranslatorVcpu::msr(uint32_t index) {
  const auto value = core_->msr(index);
  if (!value) return fail("the translator has no MSR ", index);
  return *value;
}

Result<> TranslatorVcpu::set_msr(uint32_t index, uint64_t value) {
  TRY(msr(index));
  core_->give_msr(index, value);
  return {};
}

std::string TranslatorVcpu::report() const {
  const TranslationCounters& t = translations_->counters();
  const MmuCounters& m = core_->mmu().counters();
  std::string out;
  const auto line = [&](const char* name, uint64_t value) { out += cat("vcpu", id_, ".", name, " ", value, "\n"); };
  line("blocks", t.blocks), line("instructions", t.instructions), line("identity", t.identity),
      line("inline", t.inlined);
  line("call-out", t.called_out), line("guest-bytes", t.guest_bytes), line("host-bytes", t.host_bytes);
  line("translation-ns", t.nanoseconds), line("links", t.links), line("checked-links", t.checked_links);
  line("landings", t.landings), line("dropped", t.dropped), line("resets", t.resets);
  line("tlb-fills", m.fills), line("tlb-slow", m.slow), line("tlb-flushes", m.flushes),
      line("tlb-global-flushes", m.global_flushes);
  line("tlb-invalidations", m.invalidations), line("walks", m.walks), line("walk-reads-one-level", m.one_level_reads);
  line("walk-reads-two-level", m.two_level_reads);
  for (size_t i = 0; i < core_->exits.size(); ++i)
    out += cat("vcpu", id_, ".exit-", exit_cause_name(static_cast<ExitCause>(i)), " ", core_->exits[i], "\n");
  // One by one only while nothing changes them.
  const bool still = !running_.load(std::memory_order_seq_cst);
  if (engine_.options().trace_blocks && still) translations_->list(out);
  if (core_->sites && still) core_->sites->list(out);
  return out;
}

}  // namespace proa::vmm::translator
