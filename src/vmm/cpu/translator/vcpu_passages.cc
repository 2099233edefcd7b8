// What translated code calls: each passage says where to go on.
#include "vmm/cpu/translator/engine.h"
#include "vmm/cpu/translator/vcpu.h"

namespace proa::vmm::translator {

const uint8_t* TranslatorVcpu::after_step(const Guest<>& done, const Block& block, unsigned insn, uint64_t resets) {
  settle(done);
  if (!done || shadow_ || activity_ != CpuState::Pending::Activity::kRunning ||
      resets != translations_->counters().resets)
    return next();
  if (block.dead || !__atomic_load_n(&context_->run, __ATOMIC_RELAXED) || interrupt_due() || stop_) return next();
  if (stepping() || static_cast<bool>(context_->system & kFlagDf) != block.down) return next();
  if (insn + 1U >= block.points || context_->rip != block.pc + translations_->point(block, insn + 1).guest)
    return next();
  if (context_->rip == block.pc + block.length) return next();
  return translations_->host(block, insn + 1);
}

// Bytes that another processor has changed since are decoded anew.
Guest<> TranslatorVcpu::step_in(const Block& block, unsigned number) {
  const Insn insn = translations_->insn(block, number);
  const unsigned length = translations_->point(block, number + 1).guest - translations_->point(block, number).guest;
  return insn.op && insn.length == length ? core_->step(insn) : core_->step();
}

const uint8_t* TranslatorVcpu::slow_access(const Site& at, uint64_t linear) {
  const Site site = at;
  Block& block = translations_->block(site.block);
  context_->rip = block.pc + translations_->point(block, site.insn).guest;
  core_->count(ExitCause::kTlbMiss);
  auto direct = core_->mmu().fill(linear, site.size, site.write, core_->user());
  if (direct && *direct) return translations_->host(block, site.insn);
  // Wide operands may have to be aligned, which comes before page faults: the core knows.
  if (!direct && direct.error().vector == kPfFault && site.size <= 8) {
    raise(direct.error());
    return next();
  }
  const uint64_t resets = translations_->counters().resets;
  return after_step(step_in(block, site.insn), block, site.insn, resets);
}

const uint8_t* TranslatorVcpu::call_out(const Site& at) {
  const Site site = at;
  Block& block = translations_->block(site.block);
  context_->rip = block.pc + translations_->point(block, site.insn).guest;
  const uint64_t resets = translations_->counters().resets;
  const unsigned cpl = core_->cpl();
  auto done = step_in(block, site.insn);
  if (core_->cpl() != cpl) forget_predictions();
  return after_step(done, block, site.insn, resets);
}

const uint8_t* TranslatorVcpu::link(Edge& edge) {
  context_->rip = edge.target;
  if (!__atomic_load_n(&context_->run, __ATOMIC_RELAXED)) return next();
  const uint64_t resets = translations_->counters().resets;
  auto block = translations_->find();
  if (!block || !*block || stepping() || interrupt_due()) return next();
  if (resets == translations_->counters().resets) translations_->link(edge, **block);
  return cache_->exec((*block)->entry);
}

const uint8_t* TranslatorVcpu::indirect(uint64_t target) {
  context_->rip = target;
  if (!__atomic_load_n(&context_->run, __ATOMIC_RELAXED)) return next();
  auto block = translations_->find();
  if (!block || !*block || stepping() || interrupt_due()) return next();
  translations_->land(**block);
  return cache_->exec((*block)->entry);
}

const uint8_t* TranslatorVcpu::safe_point(uint64_t data) {
  context_->rip = data & 1 ? translations_->block(static_cast<uint32_t>(data >> 1)).pc
                           : reinterpret_cast<const Edge*>(data)->target;
  return next();
}

const uint8_t* TranslatorVcpu::need_fpu(const Site& at) {
  const Site site = at;
  Block& block = translations_->block(site.block);
  context_->rip = block.pc + translations_->point(block, site.insn).guest;
  auto insn = core_->fetch(context_->rip);
  Guest<> ready;
  if (!insn)
    ready = std::unexpected(insn.error());
  else
    ready = core_->use_fpu((insn->op->traits & kMandatory) &&
                           (insn->op->reg == RegClass::kXmm || insn->op->rm == RmClass::kXmm));
  if (ready) return translations_->host(block, site.insn);
  raise(ready.error());
  return next();
}

// The host's processor refused an instruction of translated code.
const uint8_t* TranslatorVcpu::native_fault() {
  const uint64_t signal = context_->fault_signal;
  const Translations::Place place = translations_->locate(context_->fault_host_rip);
  if (!place.block) {  // an instruction that is run by itself
    core_->native_signal = signal;
    return nullptr;
  }
  context_->rip = place.block->pc + translations_->point(*place.block, place.insn).guest;
  auto insn = core_->fetch(context_->rip);
  raise(insn ? core_->native_fault(signal, *insn) : insn.error());
  return next();
}

}  // namespace proa::vmm::translator
