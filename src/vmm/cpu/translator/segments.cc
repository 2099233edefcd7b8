// Segments and far transfers (SDM 3A, chapters 3 and 5).
#include "vmm/cpu/translator/core.h"

namespace proa::vmm::translator {

namespace {

uint32_t error_of(uint16_t selector) { return selector & ~3U; }
// System descriptor types.
enum : unsigned { kLdt = 2, kTss16 = 1, kTss32 = 9, kBusyTss = 11, kCallGate16 = 4, kCallGate = 12 };

}  // namespace

Guest<Core::Descriptor> Core::descriptor(uint16_t selector, uint8_t vector) {
  const uint64_t offset = selector & ~7U;
  const bool local = selector & 4;
  const uint64_t base = local ? s_.ldtr.base : s_.gdtr.base;
  const uint64_t limit = local ? (s_.ldtr.attributes & kSegUnusable ? 0 : s_.ldtr.limit) : s_.gdtr.limit;
  if ((local && (s_.ldtr.attributes & kSegUnusable)) || offset + 7 > limit) return raise(vector, error_of(selector));
  Descriptor d;
  d.selector = selector;
  d.low = TRY(mmu_.get<uint64_t>(base + offset, false, true));
  // System descriptors are twice as long in long mode.
  if (d.system() && long_mode()) {
    if (offset + 15 > limit) return raise(vector, error_of(selector));
    d.high = TRY(mmu_.get<uint64_t>(base + offset + 8, false, true)) & 0xffffffff;
  }
  return d;
}

Guest<> Core::mark_accessed(const Descriptor& d) {
  if (d.low >> 40 & 1) return {};
  const uint64_t base = d.selector & 4 ? s_.ldtr.base : s_.gdtr.base;
  const auto byte = static_cast<uint8_t>((d.low >> 40 & 0xff) | 1);
  return mmu_.store(base + (d.selector & ~7U) + 5, &byte, 1, false, true);
}

void Core::set_segment(unsigned index, uint16_t selector, const Descriptor& d) {
  Segment& seg = s_.segments[index];
  seg.selector = selector;
  seg.attributes = d.attributes() | 1;
  seg.limit = d.limit();
  seg.base = d.base() & 0xffffffff;
  if (index == kFs) c_.fs_base = seg.base;
  if (index == kGs) c_.gs_base = seg.base;
}

void Core::flat_segment(unsigned index, uint16_t selector, uint32_t attributes) {
  s_.segments[index] = {.selector = selector, .attributes = attributes, .limit = 0xffffffff, .base = 0};
}

Guest<> Core::load_segment(unsigned index, uint16_t selector) {
  if (!(s_.cr0 & kCr0Pe) || (c_.system & kFlagVm)) {
    Segment& seg = s_.segments[index];
    seg.selector = selector;
    seg.base = static_cast<uint64_t>(selector) << 4;
    if (c_.system & kFlagVm) seg.limit = 0xffff, seg.attributes = 0xf3;
    if (index == kFs) c_.fs_base = seg.base;
    if (index == kGs) c_.gs_base = seg.base;
    return {};
  }
  const unsigned rpl = selector & 3;
  if ((selector & ~3U) == 0) {
    if (index == kSs && (code_size() != CodeSize::k64 || cpl_ == 3 || rpl != cpl_)) return raise(kGp, 0);
    Segment& seg = s_.segments[index];
    seg.selector = selector;
    seg.attributes = kSegUnusable | (index == kSs ? cpl_ << 5 : 0);
    seg.limit = 0;
    // As Intel does: the base is cleared.
    seg.base = 0;
    if (index == kFs) c_.fs_base = 0;
    if (index == kGs) c_.gs_base = 0;
    return {};
  }
  const Descriptor d = TRY(descriptor(selector));
  const bool writable = !d.code() && (d.type() & 2);
  if (index == kSs) {
    if (d.system() || !writable || rpl != cpl_ || d.dpl() != cpl_) return raise(kGp, error_of(selector));
    if (!d.present()) return raise(kSsFault, error_of(selector));
  } else {
    const bool readable = !d.code() || (d.type() & 2), conforming = d.code() && (d.type() & 4);
    if (d.system() || !readable) return raise(kGp, error_of(selector));
    if (!conforming && (rpl > d.dpl() || cpl_ > d.dpl())) return raise(kGp, error_of(selector));
    if (!d.present()) return raise(kNp, error_of(selector));
  }
  TRY(mark_accessed(d));
  set_segment(index, selector, d);
  return {};
}

// Loads CS for a transfer to `cpl`; the descriptor has been checked but for presence.
Guest<> Core::enter_code(const Descriptor& d, uint16_t selector, unsigned cpl, uint64_t rip) {
  if (!d.present()) return raise(kNp, error_of(selector));
  const bool is64 = long_mode() && (d.attributes() & kSegL);
  if (is64 && (d.attributes() & kSegDb)) return raise(kGp, error_of(selector));
  if (is64 ? !mmu_.canonical(rip) : rip > d.limit()) return raise(kGp, 0);
  TRY(mark_accessed(d));
  set_segment(kCs, static_cast<uint16_t>((selector & ~3U) | cpl), d);
  set_cpl(cpl);
  next_ = rip;
  return {};
}

Guest<> Core::far_pointer(const Insn& insn, bool call, uint16_t selector, uint64_t offset) {
  const unsigned size = insn.operand_size;
  if (!(s_.cr0 & kCr0Pe) || (c_.system & kFlagVm)) {
    if (call) {
      TRY(push(s_.segments[kCs].selector, size));
      TRY(push(next_, size));
    }
    s_.segments[kCs].selector = selector;
    s_.segments[kCs].base = static_cast<uint64_t>(selector) << 4;
    next_ = offset;
    return {};
  }
  if ((selector & ~3U) == 0) return raise(kGp, 0);
  const Descriptor d = TRY(descriptor(selector));
  if (d.system()) {
    if (d.type() == kCallGate || (d.type() == kCallGate16 && !long_mode())) return call_gate(insn, call, d);
    return raise(kGp, error_of(selector));  // task switches are not offered
  }
  if (!d.code()) return raise(kGp, error_of(selector));
  const bool conforming = d.type() & 4;
  if (conforming ? d.dpl() > cpl_ : ((selector & 3U) > cpl_ || d.dpl() != cpl_)) return raise(kGp, error_of(selector));
  if (!d.present()) return raise(kNp, error_of(selector));
  if (call) {
    const uint64_t rsp = c_.gpr[kRsp];
    TRY(push(s_.segments[kCs].selector, size));
    if (auto done = push(next_, size); !done) {
      c_.gpr[kRsp] = rsp;
      return done;
    }
  }
  return enter_code(d, selector, cpl_, offset);
}

Guest<Core::Stack> Core::task_stack(unsigned cpl, unsigned ist) {
  Stack stack;
  if (long_mode()) {
    const uint64_t at = ist ? 0x24 + 8 * (ist - 1) : 4 + 8 * cpl;
    if (at + 7 > s_.tr.limit) return raise(kTs, error_of(s_.tr.selector));
    stack.rsp = TRY(mmu_.get<uint64_t>(s_.tr.base + at, false, true));
    stack.ss = static_cast<uint16_t>(cpl);
    return stack;
  }
  if (s_.tr.attributes & 8) {
    stack.rsp = TRY(mmu_.get<uint32_t>(s_.tr.base + 4 + 8 * cpl, false, true));
    stack.ss = TRY(mmu_.get<uint16_t>(s_.tr.base + 8 + 8 * cpl, false, true));
  } else {
    stack.rsp = TRY(mmu_.get<uint16_t>(s_.tr.base + 2 + 4 * cpl, false, true));
    stack.ss = TRY(mmu_.get<uint16_t>(s_.tr.base + 4 + 4 * cpl, false, true));
  }
  return stack;
}

Guest<> Core::call_gate(const Insn& insn, bool call, const Descriptor& gate) {
  const uint16_t selector = gate.selector;
  if (gate.dpl() < cpl_ || gate.dpl() < (selector & 3U)) return raise(kGp, error_of(selector));
  if (!gate.present()) return raise(kNp, error_of(selector));
  const auto target = static_cast<uint16_t>(gate.low >> 16);
  const uint64_t offset =
      (gate.low & 0xffff) | (gate.type() == kCallGate ? gate.low >> 32 & 0xffff0000 : 0) | gate.high << 32;
  if ((target & ~3U) == 0) return raise(kGp, 0);
  const Descriptor d = TRY(descriptor(target));
  if (d.system() || !d.code() || d.dpl() > cpl_) return raise(kGp, error_of(target));
  if (long_mode() && !(d.attributes() & kSegL)) return raise(kGp, error_of(target));
  if (!d.present()) return raise(kNp, error_of(target));
  const unsigned size = long_mode() ? 8 : gate.type() == kCallGate ? 4 : 2;
  const bool inner = !(d.type() & 4) && d.dpl() < cpl_;
  if (!call) {
    if (inner) return raise(kGp, error_of(target));
    return enter_code(d, target, cpl_, offset);
  }
  const uint64_t old_rsp = c_.gpr[kRsp];
  const uint16_t old_cs = s_.segments[kCs].selector;
  const uint64_t back = next_;
  if (!inner) {
    TRY(push(old_cs, size));
    if (auto done = push(back, size); !done) {
      c_.gpr[kRsp] = old_rsp;
      return done;
    }
    return enter_code(d, target, cpl_, offset);
  }
  const Stack stack = TRY(task_stack(d.dpl(), 0));
  const Segment old_ss = s_.segments[kSs];
  const unsigned parameters = long_mode() ? 0 : gate.low >> 32 & 31;
  std::array<uint64_t, 31> copied{};
  for (unsigned i = 0; i < parameters; ++i) copied[i] = TRY(load(kSs, (old_rsp + i * size) & stack_mask(), size));
  TRY(enter_code(d, target, d.dpl(), offset));
  if (long_mode())
    s_.segments[kSs] = {.selector = stack.ss, .attributes = kSegUnusable | cpl_ << 5};
  else
    TRY(load_segment(kSs, stack.ss));
  c_.gpr[kRsp] = stack.rsp;
  TRY(push(old_ss.selector, size));
  TRY(push(old_rsp, size));
  for (unsigned i = parameters; i-- > 0;) TRY(push(copied[i], size));
  TRY(push(old_cs, size));
  static_cast<void>(insn);
  return push(back, size);
}

// The common end of far RET and IRET: to CS:RIP that were popped, and SS:RSP too when privilege falls.
Guest<> Core::return_to(uint16_t selector, uint64_t rip, unsigned size, bool pop_stack, unsigned release) {
  if ((selector & ~3U) == 0) return raise(kGp, 0);
  const unsigned rpl = selector & 3;
  const Descriptor d = TRY(descriptor(selector));
  if (d.system() || !d.code() || rpl < cpl_) return raise(kGp, error_of(selector));
  if (d.type() & 4 ? d.dpl() > rpl : d.dpl() != rpl) return raise(kGp, error_of(selector));
  if (!d.present()) return raise(kNp, error_of(selector));
  add_rsp(release);
  const bool to64 = long_mode() && (d.attributes() & kSegL);
  if (rpl == cpl_ && !pop_stack) return enter_code(d, selector, rpl, rip);
  const uint64_t rsp = TRY(pop(size));
  const auto ss = static_cast<uint16_t>(TRY(pop(size)));
  if ((ss & ~3U) == 0) {
    if (!to64 || rpl == 3 || (ss & 3U) != rpl) return raise(kGp, 0);
  }
  Descriptor stack;
  if (ss & ~3U) {
    stack = TRY(descriptor(ss));
    if ((ss & 3U) != rpl || stack.system() || stack.code() || !(stack.type() & 2) || stack.dpl() != rpl)
      return raise(kGp, error_of(ss));
    if (!stack.present()) return raise(kSsFault, error_of(ss));
  }
  const unsigned old = cpl_;
  TRY(enter_code(d, selector, rpl, rip));
  if (ss & ~3U) {
    TRY(mark_accessed(stack));
    set_segment(kSs, ss, stack);
  } else {
    s_.segments[kSs] = {.selector = ss, .attributes = kSegUnusable | rpl << 5};
  }
  const uint64_t mask = to64 ? ~0ULL : s_.segments[kSs].attributes & kSegDb ? 0xffffffff : 0xffff;
  c_.gpr[kRsp] = mask == 0xffff ? (c_.gpr[kRsp] & ~mask) | (rsp & mask) : rsp & mask;
  if (rpl > old) {
    add_rsp(release);
    // Segments that the outer level may not use become null.
    for (const unsigned i : {kEs, kDs, kFs, kGs}) {
      Segment& seg = s_.segments[i];
      const bool conforming = (seg.attributes & 0x1c) == 0x1c;
      if ((seg.attributes & kSegUnusable) || conforming || (seg.attributes >> 5 & 3) >= cpl_) continue;
      // The base stays, as that of FS and GS in 64-bit code may be in use.
      seg.selector = 0;
      seg.attributes |= kSegUnusable;
    }
  }
  return {};
}

Guest<> Core::far_return(const Insn& insn) {
  const unsigned size = insn.operand_size;
  const uint64_t old = c_.gpr[kRsp];
  const auto attempt = [&]() -> Guest<> {
    const uint64_t rip = TRY(pop(size));
    const auto selector = static_cast<uint16_t>(TRY(pop(size)));
    const auto release = static_cast<unsigned>(insn.imm);
    if (!(s_.cr0 & kCr0Pe) || (c_.system & kFlagVm)) {
      add_rsp(release);
      s_.segments[kCs].selector = selector;
      s_.segments[kCs].base = static_cast<uint64_t>(selector) << 4;
      next_ = rip;
      return {};
    }
    return return_to(selector, rip, size, false, release);
  };
  auto done = attempt();
  if (!done) c_.gpr[kRsp] = old;
  return done;
}

Guest<> Core::load_table_register(const Insn& insn, bool task) {
  if (!(s_.cr0 & kCr0Pe) || (c_.system & kFlagVm)) return raise(kUd);
  TRY(privileged());
  const auto selector = static_cast<uint16_t>(TRY(read_rm(insn, 2)));
  if ((selector & ~3U) == 0) {
    if (task) return raise(kGp, 0);
    s_.ldtr = {.selector = selector, .attributes = kSegUnusable};
    return {};
  }
  if (selector & 4) return raise(kGp, error_of(selector));
  const Descriptor d = TRY(descriptor(selector));
  const bool fits = task ? d.type() == kTss32 || (d.type() == kTss16 && !long_mode()) : d.type() == kLdt;
  if (!d.system() || !fits) return raise(kGp, error_of(selector));
  if (!d.present()) return raise(kNp, error_of(selector));
  if (long_mode() && !mmu_.canonical(d.base())) return raise(kGp, error_of(selector));
  Segment& seg = task ? s_.tr : s_.ldtr;
  seg = {.selector = selector, .attributes = d.attributes(), .limit = d.limit(), .base = d.base()};
  if (!task) return {};
  seg.attributes |= 2;  // busy
  const auto byte = static_cast<uint8_t>((d.low >> 40 & 0xff) | 2);
  return mmu_.store(s_.gdtr.base + (selector & ~7U) + 5, &byte, 1, false, true);
}

// VERR, VERW: ZF tells whether the segment may be read or written.
Guest<> Core::verify(const Insn& insn) {
  if (!(s_.cr0 & kCr0Pe) || (c_.system & kFlagVm)) return raise(kUd);
  count(ExitCause::kSensitive);
  const auto selector = static_cast<uint16_t>(TRY(read_rm(insn, 2)));
  const bool write = insn.ext() == 5;
  bool good = false;
  if (selector & ~3U) {
    auto d = descriptor(selector);
    if (!d && d.error().vector == kPfFault) return std::unexpected(d.error());
    if (d && !d->system()) {
      const bool conforming = d->code() && (d->type() & 4);
      const bool reachable = conforming || (d->dpl() >= cpl_ && d->dpl() >= (selector & 3U));
      const bool allowed = write ? !d->code() && (d->type() & 2) : !d->code() || (d->type() & 2);
      good = allowed && (reachable && (!write || !conforming));
    }
  }
  set_status(kFlagZf, good ? kFlagZf : 0);
  return {};
}

// LAR, LSL.
Guest<> Core::load_rights(const Insn& insn) {
  if (!(s_.cr0 & kCr0Pe) || (c_.system & kFlagVm)) return raise(kUd);
  count(ExitCause::kSensitive);
  const auto selector = static_cast<uint16_t>(TRY(read_rm(insn, 2)));
  const bool limit = insn.code == (kMap0F | 3);
  set_status(kFlagZf, 0);
  if ((selector & ~3U) == 0) return {};
  auto d = descriptor(selector);
  if (!d) return d.error().vector == kPfFault ? Guest<>(std::unexpected(d.error())) : Guest<>{};
  const bool conforming = d->code() && (d->type() & 4);
  if (d->system()) {
    const unsigned type = d->type();
    bool valid = type == kLdt || type == kTss32 || type == kBusyTss;
    if (!long_mode()) valid = valid || type == 1 || type == 3;
    if (!limit) valid = valid || type == kCallGate || (!long_mode() && (type == kCallGate16 || type == 5));
    if (!valid) return {};
  }
  if ((d->system() || !conforming) && (d->dpl() < cpl_ || d->dpl() < (selector & 3U))) return {};
  set_reg(insn.reg(), insn.operand_size, limit ? d->limit() : d->low >> 32 & 0xf0ff00);
  set_status(kFlagZf, kFlagZf);
  return {};
}

// LDS, LES, LSS, LFS, LGS.
Guest<> Core::load_far(const Insn& insn) {
  const unsigned size = insn.operand_size;
  const uint64_t offset = TRY(load(segment_of(insn), effective(insn), size));
  const uint64_t selector = TRY(load(segment_of(insn), effective(insn) + size, 2));
  unsigned index = kDs;
  switch (insn.code) {
    case 0xc4: index = kEs; break;
    case 0xc5: index = kDs; break;
    case kMap0F | 0xb2: index = kSs; break;
    case kMap0F | 0xb4: index = kFs; break;
    default: index = kGs; break;
  }
  TRY(load_segment(index, static_cast<uint16_t>(selector)));
  set_reg(insn.reg(), size, offset);
  return {};
}

}  // namespace proa::vmm::translator
