// Interrupts and exceptions: delivery through the IDT, and IRET (SDM 3A, chapter 6).
#include "vmm/cpu/translator/core.h"

namespace proa::vmm::translator {

namespace {

bool contributory(uint8_t vector) { return vector == kDe || (vector >= kTs && vector <= kGp); }

}  // namespace

bool Core::deliver(const Fault& first) {
  Fault fault = first;
  count(fault.vector == kPfFault ? ExitCause::kPageFault : ExitCause::kException);
  for (;;) {
    if (fault.vector == kPfFault) s_.cr2 = fault.address;
    if (fault.vector == kDb) s_.dr6 = (s_.dr6 & ~uint64_t{0xf}) | fault.address;
    // A fault's handler returns to the instruction with debug exceptions held off.
    const bool resume = !fault.trap && fault.vector != kDf && fault.vector != kDb;
    const uint64_t flags = c_.system;
    if (resume) c_.system |= kFlagRf;
    auto done = vector_through(fault.vector, fault.trap && (fault.vector == kBp || fault.vector == kOfTrap),
                               fault.has_error, fault.error);
    if (done) return true;
    c_.system = flags;
    const Fault& second = done.error();
    if (fault.vector == kDf) return false;
    const bool both = (contributory(fault.vector) && contributory(second.vector)) ||
                      (fault.vector == kPfFault && (contributory(second.vector) || second.vector == kPfFault));
    if (both) {
      if (second.vector == kPfFault) s_.cr2 = second.address;
      fault = Fault{.vector = kDf, .has_error = true};
    } else {
      fault = second;
    }
  }
}

bool Core::interrupt(uint8_t vector) {
  count(ExitCause::kInterrupt);
  auto done = vector_through(vector, false, false, 0);
  if (done) return true;
  Fault fault = done.error();
  return deliver(fault);
}

Guest<> Core::software_interrupt(uint8_t vector) {
  if ((c_.system & kFlagVm) && (c_.system & kFlagIopl) != kFlagIopl) return raise(kGp, 0);
  const uint64_t at = c_.rip;
  c_.rip = next_;
  auto done = vector_through(vector, true, false, 0);
  if (!done) {
    c_.rip = at;
    return done;
  }
  next_ = c_.rip;
  return {};
}

// On success everything is as the handler's first instruction finds it; otherwise nothing has changed.
Guest<> Core::vector_through(uint8_t vector, bool software, bool has_error, uint32_t error) {
  if (!(s_.cr0 & kCr0Pe)) return vector_real(vector);
  const CpuState::Pending pending = s_.pending;
  const auto segments = s_.segments;
  const auto gpr = c_.gpr[kRsp];
  const unsigned cpl = cpl_;
  const uint64_t system = c_.system, fs = c_.fs_base, gs = c_.gs_base;
  auto done = vector_protected(vector, software, has_error, error);
  if (!done) {
    s_.pending = pending;
    s_.segments = segments;
    c_.gpr[kRsp] = gpr;
    c_.system = system, c_.fs_base = fs, c_.gs_base = gs;
    cpl_ = cpl;
  }
  return done;
}

Guest<> Core::vector_real(uint8_t vector) {
  if (vector * 4U + 3 > s_.idtr.limit) return raise(kGp, 0);
  const uint32_t entry = TRY(mmu_.get<uint32_t>(s_.idtr.base + vector * 4U, false, true));
  TRY(push(rflags() & 0xffff, 2));
  TRY(push(s_.segments[kCs].selector, 2));
  TRY(push(c_.rip, 2));
  c_.system &= ~uint64_t{kFlagIf | kFlagTf | kFlagAc | kFlagRf};
  s_.segments[kCs].selector = static_cast<uint16_t>(entry >> 16);
  s_.segments[kCs].base = static_cast<uint64_t>(entry >> 16) << 4;
  c_.rip = entry & 0xffff;
  return {};
}

Guest<> Core::vector_protected(uint8_t vector, bool software, bool has_error, uint32_t error) {
  const bool is_long = long_mode();
  const unsigned entry_size = is_long ? 16 : 8;
  const uint32_t ext = software ? 0 : 1;
  const uint32_t bad = vector * 8U + 2 + ext;
  if (vector * entry_size + entry_size - 1 > s_.idtr.limit) return raise(kGp, bad);
  Descriptor gate;
  gate.low = TRY(mmu_.get<uint64_t>(s_.idtr.base + vector * entry_size, false, true));
  if (is_long) gate.high = TRY(mmu_.get<uint64_t>(s_.idtr.base + vector * entry_size + 8, false, true));
  const unsigned type = gate.low >> 40 & 31;
  const bool gate16 = !is_long && (type == 6 || type == 7);
  if (type != 14 && type != 15 && !gate16) return raise(kGp, bad);
  if (software && gate.dpl() < cpl_) return raise(kGp, bad);
  if (!gate.present()) return raise(kNp, bad);
  const auto selector = static_cast<uint16_t>(gate.low >> 16);
  uint64_t offset = gate.low & 0xffff;
  if (!gate16) offset |= gate.low >> 32 & 0xffff0000;
  if (is_long) offset |= gate.high << 32;
  if ((selector & ~3U) == 0) return raise(kGp, ext);
  auto found = descriptor(selector);
  if (!found) {
    if (found.error().vector == kGp) return raise(kGp, (selector & ~3U) | ext);
    return std::unexpected(found.error());
  }
  const Descriptor& d = *found;
  if (d.system() || !d.code() || d.dpl() > cpl_) return raise(kGp, (selector & ~3U) | ext);
  if (is_long && (!(d.attributes() & kSegL) || (d.attributes() & kSegDb))) return raise(kGp, (selector & ~3U) | ext);
  if (!d.present()) return raise(kNp, (selector & ~3U) | ext);
  const bool conforming = d.type() & 4;
  const unsigned cpl = conforming ? cpl_ : d.dpl();
  const bool inner = cpl < cpl_, from_vm = c_.system & kFlagVm;
  if (from_vm && cpl != 0) return raise(kGp, (selector & ~3U) | ext);
  const unsigned ist = is_long ? gate.low >> 32 & 7 : 0;
  const unsigned size = is_long ? 8 : gate16 ? 2 : 4;

  const uint64_t old_flags = rflags(), old_rsp = c_.gpr[kRsp], old_rip = c_.rip;
  const auto old = s_.segments;
  const uint64_t saved_next = next_;
  Stack stack;
  if (inner || ist) stack = TRY(task_stack(cpl, ist));
  TRY(enter_code(d, selector, cpl, offset));
  next_ = saved_next;
  c_.system &= ~uint64_t{kFlagTf | kFlagNt | kFlagRf | kFlagVm};
  if (type == 14 || type == 6) c_.system &= ~uint64_t{kFlagIf};
  if (is_long) {
    uint64_t rsp = inner || ist ? stack.rsp : old_rsp;
    if (!mmu_.canonical(rsp)) return raise(kSsFault, ext);
    if (inner) s_.segments[kSs] = {.selector = stack.ss, .attributes = kSegUnusable | cpl << 5};
    rsp &= ~0xfULL;
    // One frame, in one store: SS RSP RFLAGS CS RIP and the error code.
    std::array<uint64_t, 6> frame = {error, old_rip, old[kCs].selector, old_flags, old_rsp, old[kSs].selector};
    const unsigned skip = has_error ? 0 : 1;
    const unsigned bytes = (6 - skip) * 8;
    TRY(mmu_.store(rsp - bytes, frame.data() + skip, bytes, cpl == 3, inner));
    c_.gpr[kRsp] = rsp - bytes;
  } else {
    if (inner) {
      const Descriptor ss = TRY(descriptor(stack.ss, kTs));
      if ((stack.ss & 3U) != cpl || ss.system() || ss.code() || !(ss.type() & 2) || ss.dpl() != cpl)
        return raise(kTs, (stack.ss & ~3U) | ext);
      if (!ss.present()) return raise(kSsFault, (stack.ss & ~3U) | ext);
      TRY(mark_accessed(ss));
      set_segment(kSs, stack.ss, ss);
      c_.gpr[kRsp] = stack.rsp;
      if (from_vm) {
        for (const unsigned i : {kGs, kFs, kDs, kEs}) {
          TRY(push(old[i].selector, size));
          s_.segments[i] = {.selector = 0, .attributes = kSegUnusable};
        }
        c_.fs_base = c_.gs_base = 0;
      }
      TRY(push(old[kSs].selector, size));
      TRY(push(old_rsp, size));
    }
    TRY(push(old_flags, size));
    TRY(push(old[kCs].selector, size));
    TRY(push(old_rip, size));
    if (has_error) TRY(push(error, size));
  }
  c_.rip = offset;
  return {};
}

Guest<> Core::interrupt_return_real(const Insn& insn) {
  const unsigned size = insn.operand_size;
  if ((c_.system & kFlagVm) && (c_.system & kFlagIopl) != kFlagIopl) return raise(kGp, 0);
  const uint64_t old = c_.gpr[kRsp];
  const auto attempt = [&]() -> Guest<> {
    const uint64_t rip = TRY(pop(size));
    const uint64_t selector = TRY(pop(size));
    const uint64_t flags = TRY(pop(size));
    uint64_t keep = kFlagVm | kFlagVif | kFlagVip;
    if (c_.system & kFlagVm) keep |= kFlagIopl;
    if (size == 2) keep |= ~0xffffULL;
    set_rflags((rflags() & keep) | (flags & ~keep));
    s_.segments[kCs].selector = static_cast<uint16_t>(selector);
    s_.segments[kCs].base = (selector & 0xffff) << 4;
    next_ = rip & (size == 2 ? 0xffff : 0xffffffff);
    return {};
  };
  auto done = attempt();
  if (!done) c_.gpr[kRsp] = old;
  return done;
}

Guest<> Core::interrupt_return(const Insn& insn) {
  s_.pending.nmi_blocked = false;
  if (!(s_.cr0 & kCr0Pe) || (c_.system & kFlagVm)) return interrupt_return_real(insn);
  if (c_.system & kFlagNt) return raise(kGp, 0);  // task switches are not offered
  const unsigned size = insn.operand_size;
  const uint64_t old = c_.gpr[kRsp];
  const unsigned old_cpl = cpl_;
  const auto attempt = [&]() -> Guest<> {
    const uint64_t rip = TRY(pop(size));
    const auto selector = static_cast<uint16_t>(TRY(pop(size)));
    const uint64_t flags = TRY(pop(size));
    if ((flags & kFlagVm) && cpl_ == 0 && !long_mode() && size == 4) {
      const uint64_t rsp = TRY(pop(4));
      std::array<uint64_t, 5> selectors{};  // SS ES DS FS GS
      for (auto& value : selectors) value = TRY(pop(4));
      set_rflags(flags);
      s_.segments[kCs] = {
          .selector = selector, .attributes = 0xfb, .limit = 0xffff, .base = static_cast<uint64_t>(selector) << 4};
      constexpr std::array<unsigned, 5> kOrder = {kSs, kEs, kDs, kFs, kGs};
      for (unsigned i = 0; i < 5; ++i) TRY(load_segment(kOrder[i], static_cast<uint16_t>(selectors[i])));
      c_.gpr[kRsp] = rsp;
      next_ = rip & 0xffff;
      set_cpl(3);
      return {};
    }
    TRY(return_to(selector, rip, size, code_size() == CodeSize::k64 && long_mode(), 0));
    uint64_t may = kStatusFlags | kFlagTf | kFlagDf | kFlagNt | kFlagRf | kFlagAc | kFlagId;
    if (old_cpl == 0) may |= kFlagIopl | kFlagVif | kFlagVip;
    if (old_cpl <= (c_.system & kFlagIopl) >> 12) may |= kFlagIf;
    if (size == 2) may &= 0xffff;
    set_rflags((rflags() & ~may) | (flags & may));
    return {};
  };
  auto done = attempt();
  if (!done) c_.gpr[kRsp] = old;
  return done;
}

}  // namespace proa::vmm::translator
