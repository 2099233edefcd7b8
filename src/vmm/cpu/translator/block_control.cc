// Control flow, the stack and what little of the system is translated in line.
#include "vmm/cpu/translator/block_builder.h"

namespace proa::vmm::translator {

namespace {

HostMem slot(unsigned guest) { return at_context(offsetof(Context, gpr) + 8 * guest); }
HostMem scratch(unsigned number) { return at_context(offsetof(Context, scratch) + 8 * number); }
constexpr HostReg kStack = hR9, kCount = hR10;  // guest RSP, RCX
static_assert(kHostOf[kRsp] == kStack && kHostOf[kRcx] == kCount);

}  // namespace

bool BlockBuilder::inlined(const Insn& insn) { return insn.code < 0x100 ? one_byte(insn) : two_byte(insn); }

bool BlockBuilder::one_byte(const Insn& insn) {
  const bool whole = insn.operand_size == 8;
  if (insn.code >= 0x50 && insn.code < 0x58 && whole) return push_register(insn.opcode_reg()), true;
  if (insn.code >= 0x58 && insn.code < 0x60 && whole) return pop_register(insn.opcode_reg()), true;
  if (insn.code >= 0x70 && insn.code < 0x80) return conditional(insn, insn.code & 15), true;
  switch (insn.code) {
    case 0x68:
    case 0x6a:
      if (!whole) return false;
      store_immediate(access({.base = kRsp, .disp = -8}, 8, true), insn.imm);
      out_.lea(kStack, {.base = kStack, .disp = -8});
      return true;
    case 0x8d: lea(insn); return true;
    case 0x9d:
      if (!whole || block_.page->user || block_.down) return false;
      pop_flags();
      return true;
    case 0xfb:
      if (block_.page->user) return false;
      set_interrupts();
      return true;
    case 0x9c:
      if (!whole || block_.page->user) return false;
      push_flags();
      return true;
    case 0xc2:
    case 0xc3: return_near(insn); return true;
    case 0xc9:
      if (!whole) return false;
      leave();
      return true;
    case 0xe2:
    case 0xe3: counted(insn); return true;
    case 0xe8: call_direct(insn); return true;
    case 0xe9:
    case 0xeb:
      jump_to(pc(at_) + insn.length + insn.imm);
      ended_ = true;
      return true;
    case 0xfa:
      // CLI: at CPL 0 it cannot fail. IF is packed away and spread back as zero.
      if (block_.page->user) return false;
      out_.load(kTemp0, at_context(offsetof(Context, system)));
      out_.mov_imm(kTemp1, ~uint64_t{kFlagIf} & 0xffffffff);
      out_.pext(kTemp0, kTemp0, kTemp1);
      out_.pdep(kTemp0, kTemp0, kTemp1);
      out_.store(at_context(offsetof(Context, system)), kTemp0);
      return true;
    case 0xfc:
    case 0xfd:
      if (block_.down != (insn.code == 0xfd)) return false;
      return true;  // DF is what it is to become
    case 0xff:
      switch (insn.ext()) {
        case 2: indirect(insn, true); return true;
        case 4: indirect(insn, false); return true;
        case 6: return whole && push_value(insn);
        default: return false;
      }
    default: return false;
  }
}

bool BlockBuilder::two_byte(const Insn& insn) {
  const unsigned byte = insn.code & 0xff;
  if (insn.code >= kMap0F38) return false;
  if (byte >= 0x80 && byte < 0x90) return conditional(insn, byte & 15), true;
  switch (byte) {
    case 0x01:
      if (insn.modrm != 0xf8 || block_.page->user) return false;
      swap_gs();
      return true;
    case 0xc7:
      if (insn.ext() != 1) return false;
      compare_exchange(insn);
      return true;
    default: return false;
  }
}

// --- stack

void BlockBuilder::store_immediate(const HostMem& to, uint64_t value) {
  if (Emitter::fits32(value)) {
    out_.store_imm32(to, static_cast<uint32_t>(value), true);
  } else {
    out_.mov_imm(kTemp1, value);
    out_.store(to, kTemp1);
  }
}

void BlockBuilder::push_register(unsigned guest) {
  const HostMem to = access({.base = kRsp, .disp = -8}, 8, true);
  if (kHostOf[guest] == kInMemory) {
    out_.load(kTemp1, slot(guest));
    out_.store(to, kTemp1);
  } else {
    out_.store(to, static_cast<unsigned>(kHostOf[guest]));
  }
  out_.lea(kStack, {.base = kStack, .disp = -8});
}

bool BlockBuilder::push_value(const Insn& insn) {
  if (insn.has_memory) {
    const HostMem from = access(where(insn), 8, false);
    out_.load(kTemp1, from);
    out_.store(scratch(3), kTemp1);
  } else {
    load_guest(out_, kTemp1, insn.rm());
    out_.store(scratch(3), kTemp1);
  }
  const HostMem to = access({.base = kRsp, .disp = -8}, 8, true);
  out_.load(kTemp1, scratch(3));
  out_.store(to, kTemp1);
  out_.lea(kStack, {.base = kStack, .disp = -8});
  return true;
}

void BlockBuilder::pop_register(unsigned guest) {
  const HostMem from = access({.base = kRsp}, 8, false);
  out_.lea(kStack, {.base = kStack, .disp = 8});
  if (kHostOf[guest] == kInMemory) {
    out_.load(kTemp1, from);
    out_.store(slot(guest), kTemp1);
  } else {
    out_.load(static_cast<unsigned>(kHostOf[guest]), from);
  }
}

void BlockBuilder::leave() {
  const HostMem from = access({.base = kRbp}, 8, false);
  out_.lea(kStack, {.base = hRbp, .disp = 8});
  out_.load(hRbp, from);
}

void BlockBuilder::lea(const Insn& insn) {
  Where w = where(insn);
  w.segment = -1;
  address_to_temp0(w);
  const unsigned size = insn.operand_size;
  if (size == 4) out_.mov32(kTemp0, kTemp0);
  if (size == 2) {
    const int8_t to = kHostOf[insn.reg()];
    if (to == kInMemory)
      out_.rm({.opcode = 0x89, .prefix66 = true}, kTemp0, slot(insn.reg()));
    else
      out_.rr({.opcode = 0x89, .prefix66 = true}, kTemp0, static_cast<unsigned>(to));
    return;
  }
  store_guest(out_, insn.reg(), kTemp0);
}

void BlockBuilder::swap_gs() {
  const HostMem gs = at_context(offsetof(Context, gs_base)), kernel = at_context(offsetof(Context, kernel_gs_base));
  out_.load(kTemp0, gs);
  out_.load(kTemp1, kernel);
  out_.store(gs, kTemp1);
  out_.store(kernel, kTemp0);
}

// PUSHF at CPL 0: the host's status flags and the rest from the Context.
void BlockBuilder::push_flags() {
  out_.byte(0x9c);
  out_.o({.opcode = 0x58}, kTemp0);
  out_.pext(kTemp0, kTemp0, at_context(offsetof(Context, status_mask)));
  out_.pdep(kTemp0, kTemp0, at_context(offsetof(Context, status_mask)));
  out_.load(kTemp1, at_context(offsetof(Context, system)));
  out_.lea(kTemp0, {.base = kTemp0, .index = kTemp1});
  out_.store(scratch(3), kTemp0);
  const HostMem to = access({.base = kRsp, .disp = -8}, 8, true);
  out_.load(kTemp1, scratch(3));
  out_.store(to, kTemp1);
  out_.lea(kStack, {.base = kStack, .disp = -8});
}

// STI at CPL 0; by the core when an interrupt waits, which has to come one instruction later.
void BlockBuilder::set_interrupts() {
  out_.load32(kTemp0, at_context(offsetof(Context, interruptible)));
  uint8_t* slow = out_.jrcxz();
  out_.load(kTemp0, at_context(offsetof(Context, system)));
  out_.mov_imm(kTemp1, ~uint64_t{kFlagIf} & 0xffffffff);
  out_.pext(kTemp0, kTemp0, kTemp1);
  out_.pdep(kTemp0, kTemp0, kTemp1);
  out_.lea(kTemp0, {.base = kTemp0, .disp = kFlagIf});
  out_.store(at_context(offsetof(Context, system)), kTemp0);
  uint8_t* done = out_.jmp_short();
  out_.bind_short(slow);
  call_out();
  out_.bind_short(done);
}

// POPF at CPL 0 that changes no more than IF and the status flags; others, and those that let a waiting interrupt in,
// are the core's.
void BlockBuilder::pop_flags() {
  const HostMem system = at_context(offsetof(Context, system));
  const HostMem from = access({.base = kRsp}, 8, false);
  out_.load(kTemp1, from);
  out_.mov(kTemp0, kTemp1);
  out_.rm({.opcode = 0x33, .wide = true}, kTemp0, system);
  out_.rr({.opcode = 0xf7, .wide = true}, 0, kTemp0);
  out_.word(static_cast<uint32_t>(~(kStatusFlags | kFlagIf)));
  uint8_t* slow1 = out_.jcc_short(5);
  out_.rr({.opcode = 0xf7}, 0, kTemp1);
  out_.word(kFlagIf);
  uint8_t* closed = out_.jcc_short(4);
  out_.rm({.opcode = 0x83}, 7, at_context(offsetof(Context, interruptible)));
  out_.byte(0);
  uint8_t* slow2 = out_.jcc_short(4);
  out_.bind_short(closed);
  out_.lea(kStack, {.base = kStack, .disp = 8});
  out_.o({.opcode = 0x50}, kTemp1);  // push
  out_.rr({.opcode = 0x81}, 4, kTemp1);
  out_.word(kFlagIf);
  out_.load(kTemp0, system);
  out_.rr({.opcode = 0x81, .wide = true}, 4, kTemp0);
  out_.word(static_cast<uint32_t>(~uint64_t{kFlagIf}));
  out_.rr({.opcode = 0x0b, .wide = true}, kTemp0, kTemp1);
  out_.store(system, kTemp0);
  out_.rm({.opcode = 0x81, .wide = true}, 4, {.base = hRsp});
  out_.word(static_cast<uint32_t>(kStatusFlags));
  out_.byte(0x9d);
  uint8_t* done = out_.jmp_short();
  out_.bind_short(slow1);
  out_.bind_short(slow2);
  call_out();
  out_.bind_short(done);
}

// CMPXCHG8B, CMPXCHG16B: RCX is an operand.
void BlockBuilder::compare_exchange(const Insn& insn) {
  const HostMem at = access(where(insn), insn.rex_w ? 16 : 8, true);
  out_.mov(kTemp1, kTemp0);
  static_cast<void>(at);
  out_.mov(hRcx, kCount);
  out_.rm({.opcode = kMap0F | 0xc7, .lock = insn.lock, .wide = insn.rex_w}, 1, {.base = kTemp1});
}

// --- jumps

// Goes on at `target`, by way of an edge that can be chained.
void BlockBuilder::jump_to(uint64_t target, bool call) {
  const auto& passages = owner_.cache_.passages();
  Edge& edge = owner_.edges_.emplace_back();
  edge.target = target;
  edge.from = &block_;
  block_.outgoing.push_back(&edge);
  uint8_t* leave = nullptr;
  if (target <= pc(at_ < insns_.size() ? at_ : at_ - 1)) {  // backwards: a loop must come by a safe point
    out_.load32(kTemp0, at_context(offsetof(Context, run)));
    leave = out_.jrcxz();
  }
  const bool crosses = (target ^ block_.pc) >> kPageShift;
  uint8_t* checked = nullptr;
  uint8_t* unchecked = nullptr;
  uint8_t* over = nullptr;
  if (crosses && !block_.page->global) {
    const size_t entry = offsetof(Context, code_tlb) + 4 * (target >> kPageShift & (kCodeTlbEntries - 1));
    out_.load32(kTemp0, at_context(entry));
    out_.lea32(kTemp0, {.base = kTemp0, .disp = 0x7fffffff});
    edge.check = out_.at();
    checked = out_.jrcxz();
    if (call) {
      out_.byte(0xe8), out_.word(0);
      unchecked = out_.at();
      over = out_.jmp_short();
    } else {
      unchecked = out_.jmp_near();
    }
    out_.bind_short(checked);
  }
  if (call)
    out_.byte(0xe8), out_.word(0);
  else
    out_.jmp_near();
  edge.jump = out_.at();
  edges_.push_back({&edge, unchecked});
  uint8_t* behind = nullptr;
  if (leave) {
    if (call) behind = out_.jmp_short();
    out_.bind_short(leave);
    out_.call(passages.safe_point);
    out_.quad(reinterpret_cast<uint64_t>(&edge));
    if (behind) out_.bind_short(behind);
  }
  if (over) out_.bind_short(over);
}

void BlockBuilder::conditional(const Insn& insn, unsigned condition) {
  const uint64_t target = pc(at_) + insn.length + insn.imm;
  const bool crosses = (target ^ block_.pc) >> kPageShift;
  if (!poll_needed(target) && !(crosses && !block_.page->global)) {
    Edge& edge = owner_.edges_.emplace_back();
    edge.target = target;
    edge.from = &block_;
    block_.outgoing.push_back(&edge);
    edge.jump = out_.jcc_near(condition);
    edges_.push_back({&edge, nullptr});
    return;
  }
  uint8_t* skip = out_.jcc_short(condition ^ 1);
  jump_to(target);
  out_.bind_short(skip);
}

// LOOP and JRCXZ.
void BlockBuilder::counted(const Insn& insn) {
  const uint64_t target = pc(at_) + insn.length + insn.imm;
  const bool narrow = insn.address_size == 4;
  if (insn.code == 0xe2) {
    if (narrow)
      out_.lea32(kCount, {.base = kCount, .disp = -1});
    else
      out_.lea(kCount, {.base = kCount, .disp = -1});
  }
  narrow ? out_.mov32(kTemp0, kCount) : out_.mov(kTemp0, kCount);
  if (insn.code == 0xe2) {
    uint8_t* skip = out_.jrcxz();
    jump_to(target);
    out_.bind_short(skip);
    return;
  }
  uint8_t* taken = out_.jrcxz();
  uint8_t* skip = out_.jmp_short();
  out_.bind_short(taken);
  jump_to(target);
  out_.bind_short(skip);
}

// kTemp0 holds an address of the guest; what follows runs only when that is `expected`.
void BlockBuilder::compare_target(uint64_t expected) {
  const uint64_t negated = -expected;
  if (Emitter::fits32(negated) && Emitter::fits32(expected)) {
    out_.lea(kTemp0, {.base = kTemp0, .disp = static_cast<int32_t>(negated)});
    uint8_t* same = out_.jrcxz();
    out_.lea(kTemp0, {.base = kTemp0, .disp = static_cast<int32_t>(expected)});
    out_.jmp(owner_.cache_.passages().indirect);
    out_.bind_short(same);
    return;
  }
  out_.mov_imm(kTemp1, negated);
  out_.lea(kTemp0, {.base = kTemp0, .index = kTemp1});
  uint8_t* same = out_.jrcxz();
  out_.mov_imm(kTemp1, expected);
  out_.lea(kTemp0, {.base = kTemp0, .index = kTemp1});
  out_.jmp(owner_.cache_.passages().indirect);
  out_.bind_short(same);
}

void BlockBuilder::landing_of_call() { compare_target(block_.pc + guest_[at_ + 1]); }

void BlockBuilder::call_direct(const Insn& insn) {
  const uint64_t back = pc(at_) + insn.length;
  store_immediate(access({.base = kRsp, .disp = -8}, 8, true), back);
  out_.lea(kStack, {.base = kStack, .disp = -8});
  jump_to(back + insn.imm, true);
  landing_of_call();
  fpu_checked_ = false;
}

void BlockBuilder::return_near(const Insn& insn) {
  const HostMem from = access({.base = kRsp}, 8, false);
  out_.load(kTemp0, from);
  out_.lea(kStack, {.base = kStack, .disp = static_cast<int32_t>(8 + insn.imm)});
  out_.byte(0xc3);
  ended_ = true;
}

void BlockBuilder::indirect(const Insn& insn, bool call) {
  const auto table = at_context(offsetof(Context, jump) + (block_.page->user ? kJumpEntries * 8 : 0), kTemp1);
  if (insn.has_memory) {
    const HostMem from = access(where(insn), 8, false);
    out_.load(kTemp0, from);
  } else {
    load_guest(out_, kTemp0, insn.rm());
  }
  if (call) {
    out_.store(scratch(3), kTemp0);
    store_immediate(access({.base = kRsp, .disp = -8}, 8, true), pc(at_) + insn.length);
    out_.lea(kStack, {.base = kStack, .disp = -8});
    out_.load(kTemp0, scratch(3));
  }
  out_.movzx16(kTemp1, kTemp0);
  out_.rm({.opcode = 0xff}, call ? 2 : 4, table);
  if (call) {
    landing_of_call();
    fpu_checked_ = false;
  } else {
    ended_ = true;
  }
}

// Where indirect jumps to the block arrive, with the target in kTemp0.
void BlockBuilder::make_landing(Translations& owner, Block& block) {
  BlockBuilder builder(owner, block);
  block.landing = builder.out_.at();
  builder.compare_target(block.pc);
  builder.out_.load32(kTemp0, at_context(offsetof(Context, run)));
  uint8_t* leave = builder.out_.jrcxz();
  builder.out_.jmp(owner.cache_.exec(block.entry));
  builder.out_.bind_short(leave);
  // A safe point with no edge: the site tells the block.
  builder.out_.call(owner.cache_.passages().safe_point);
  builder.out_.quad(uint64_t{block.index} << 1 | 1);
  owner.cache_.keep(builder.out_);
  ++owner.counters_.landings;
}

}  // namespace proa::vmm::translator
