#include "vmm/cpu/translator/core.h"

namespace proa::vmm::translator {

CodeSize Core::code_size() const {
  const uint32_t attributes = s_.segments[kCs].attributes;
  if (long_mode() && (attributes & kSegL)) return CodeSize::k64;
  return attributes & kSegDb ? CodeSize::k32 : CodeSize::k16;
}

Guest<Insn> Core::fetch(uint64_t rip) {
  const CodeSize size = code_size();
  std::array<uint8_t, 15> bytes;
  uint64_t at = rip;
  if (size == CodeSize::k64) {
    if (!mmu_.canonical(rip)) return raise(kGp, 0);
  } else {
    if (rip > s_.segments[kCs].limit) return raise(kGp, 0);
    at = (s_.segments[kCs].base + rip) & 0xffffffff;
  }
  unsigned have = 0;
  Insn insn;
  for (;;) {
    // Page by page, as the instruction asks: a fault beyond its end is none.
    const uint64_t here = size == CodeSize::k64 ? at + have : (at + have) & 0xffffffff;
    auto page = mmu_.walk(here, Use::kFetch, user());
    if (!page) return std::unexpected(page.error());
    const auto count =
        static_cast<unsigned>(std::min<uint64_t>(bytes.size() - have, kPageSize - (here & (kPageSize - 1))));
    if (!memory_.read(page->physical | (here & (kPageSize - 1)), bytes.data() + have, count)) return raise(kGp, 0);
    have += count;
    switch (decode({bytes.data(), have}, size, insn)) {
      case Decoded::kOk: return insn;
      case Decoded::kInvalid: return raise(kUd);
      case Decoded::kTooLong: return raise(kGp, 0);
      case Decoded::kTruncated: break;
    }
  }
}

Guest<> Core::step() {
  const Insn insn = TRY(fetch(c_.rip));
  return step(insn);
}

Guest<> Core::step(const Insn& insn) {
  halted = shadow = stack_shadow = false;
  next_ = c_.rip + insn.length;
  if (insn.size != CodeSize::k64) next_ &= insn.size == CodeSize::k16 ? 0xffff : 0xffffffff;
  if (insn.size == CodeSize::k16 && !(s_.cr0 & kCr0Pe)) next_ = (c_.rip + insn.length) & 0xffff;
  auto done = execute(insn);
  if (!done) {
    if (done.error().trap) c_.rip = next_;
    return done;
  }
  c_.rip = next_;
  return {};
}

Guest<> Core::execute(const Insn& insn) {
  if (insn.op->kind == Kind::kIdentity) {
    const uint16_t code = insn.code;
    const bool bits =
        code == (kMap0F | 0xa3) || code == (kMap0F | 0xab) || code == (kMap0F | 0xb3) || code == (kMap0F | 0xbb);
    if (bits && insn.has_memory) return bit_string(insn);
    return identity(insn);
  }
  return insn.code < 0x100 ? execute_one_byte(insn) : execute_two_byte(insn);
}

bool Core::condition(unsigned number) const {
  const uint64_t f = c_.status;
  const bool cf = f & kFlagCf, zf = f & kFlagZf, sf = f & kFlagSf, of = f & kFlagOf, pf = f & kFlagPf;
  bool value = false;
  switch (number >> 1) {
    case 0: value = of; break;
    case 1: value = cf; break;
    case 2: value = zf; break;
    case 3: value = cf || zf; break;
    case 4: value = sf; break;
    case 5: value = pf; break;
    case 6: value = sf != of; break;
    default: value = zf || sf != of; break;
  }
  return value != (number & 1);
}

Guest<> Core::branch(const Insn& insn, uint64_t target) {
  target &= mask_of(insn.size == CodeSize::k64 ? 8 : insn.operand_size);
  if (insn.size == CodeSize::k64 ? !mmu_.canonical(target) : target > s_.segments[kCs].limit) return raise(kGp, 0);
  next_ = target;
  return {};
}
Guest<> Core::jump_relative(const Insn& insn) { return branch(insn, next_ + insn.imm); }

Guest<> Core::near_return(const Insn& insn) {
  const unsigned size = insn.operand_size;
  const uint64_t target = TRY(load(kSs, c_.gpr[kRsp] & stack_mask(), size));
  TRY(branch(insn, target));
  add_rsp(static_cast<int64_t>(size + insn.imm));
  return {};
}

Guest<> Core::loop(const Insn& insn) {
  const unsigned width = insn.address_size;
  const uint64_t left = (reg(kRcx, width) - 1) & mask_of(width);
  const bool zf = c_.status & kFlagZf;
  if (left != 0 && (insn.code == 0xe2 || zf == (insn.code == 0xe1))) TRY(jump_relative(insn));
  set_reg(kRcx, width, left);
  return {};
}

Guest<> Core::execute_one_byte(const Insn& insn) {
  const unsigned size = insn.operand_size;
  const uint16_t code = insn.code;
  if (code >= 0x50 && code < 0x58) return push(reg(insn.opcode_reg(), size), size);
  if (code >= 0x58 && code < 0x60) {
    const uint64_t value = TRY(pop(size));
    set_reg(insn.opcode_reg(), size, value);
    return {};
  }
  if (code >= 0x70 && code < 0x80) return condition(code & 15) ? jump_relative(insn) : Guest<>{};
  switch (code) {
    case 0x06:
    case 0x0e:
    case 0x16:
    case 0x1e: return push(s_.segments[code >> 3].selector, size);
    case 0x07:
    case 0x17:
    case 0x1f: return pop_segment(code >> 3U, size);
    case 0x27:
    case 0x2f:
    case 0x37:
    case 0x3f:
    case 0xd4:
    case 0xd5: return decimal(insn);
    case 0x60: return push_all(insn);
    case 0x61: return pop_all(insn);
    case 0x62: return bound(insn);
    case 0x63: return adjust_privilege(insn);
    case 0x68:
    case 0x6a: return push(insn.imm, size);
    case 0x6c:
    case 0x6d:
    case 0x6e:
    case 0x6f: return string_io(insn);
    case 0x8c: return write_rm(insn, insn.has_memory ? 2 : size, s_.segments[insn.ext()].selector);
    case 0x8d: set_reg(insn.reg(), size, effective(insn)); return {};
    case 0x8e: {
      if (insn.ext() == kCs || insn.ext() > kGs) return raise(kUd);
      const uint64_t value = TRY(read_rm(insn, 2));
      TRY(load_segment(insn.ext(), static_cast<uint16_t>(value)));
      shadow = stack_shadow = insn.ext() == kSs;
      return {};
    }
    case 0x8f: return pop_rm(insn);
    case 0x9a: return far_pointer(insn, true, insn.imm2, insn.imm);
    case 0xea: return far_pointer(insn, false, insn.imm2, insn.imm);
    case 0x9c: {
      if ((c_.system & kFlagVm) && (c_.system & kFlagIopl) != kFlagIopl) return raise(kGp, 0);
      return push(rflags() & ~uint64_t{kFlagVm | kFlagRf}, size);
    }
    case 0x9d: return pop_flags(insn);
    case 0xa0:
    case 0xa1: {
      const uint64_t value = TRY(load(segment_of(insn), insn.imm, size));
      set_reg(kRax, size, value);
      return {};
    }
    case 0xa2:
    case 0xa3: return store(segment_of(insn), insn.imm, size, c_.gpr[kRax]);
    case 0xa4:
    case 0xa5:
    case 0xa6:
    case 0xa7:
    case 0xaa:
    case 0xab:
    case 0xac:
    case 0xad:
    case 0xae:
    case 0xaf: return string(insn);
    case 0xc2:
    case 0xc3: return near_return(insn);
    case 0xc4:
    case 0xc5: return load_far(insn);
    case 0xc8: return enter(insn);
    case 0xc9: return leave(size);
    case 0xca:
    case 0xcb: return far_return(insn);
    case 0xcc: return std::unexpected(Fault{.vector = kBp, .trap = true});
    case 0xcd: return software_interrupt(static_cast<uint8_t>(insn.imm));
    case 0xce: return c_.status & kFlagOf ? std::unexpected(Fault{.vector = kOfTrap, .trap = true}) : Guest<>{};
    case 0xcf: return interrupt_return(insn);
    case 0xd6: set_reg(kRax, 1, c_.status & kFlagCf ? 0xff : 0); return {};
    case 0xd7: {
      const uint64_t offset = (c_.gpr[kRbx] + (c_.gpr[kRax] & 0xff)) & mask_of(insn.address_size);
      const uint64_t value = TRY(load(segment_of(insn), offset, 1));
      set_reg(kRax, 1, value);
      return {};
    }
    case 0xe0:
    case 0xe1:
    case 0xe2: return loop(insn);
    case 0xe3: return reg(kRcx, insn.address_size) == 0 ? jump_relative(insn) : Guest<>{};
    case 0xe4:
    case 0xe5:
    case 0xe6:
    case 0xe7:
    case 0xec:
    case 0xed:
    case 0xee:
    case 0xef: return in_out(insn);
    case 0xe8: {
      const uint64_t back = next_;
      TRY(jump_relative(insn));
      return push(back, size);
    }
    case 0xe9:
    case 0xeb: return jump_relative(insn);
    case 0xf1: return std::unexpected(Fault{.vector = kDb, .trap = true});
    case 0xf4:
      TRY(privileged());
      halted = true;
      return {};
    case 0xfa:
    case 0xfb: return set_interrupt_flag(code == 0xfb);
    case 0xfc: c_.system &= ~uint64_t{kFlagDf}; return {};
    case 0xfd: c_.system |= kFlagDf; return {};
    case 0xff: return group5(insn);
    default: return raise(kUd);
  }
}

Guest<> Core::group5(const Insn& insn) {
  const unsigned size = insn.operand_size;
  switch (insn.ext()) {
    case 2: {
      const uint64_t target = TRY(read_rm(insn, size));
      const uint64_t back = next_;
      TRY(branch(insn, target));
      return push(back, size);
    }
    case 4: {
      const uint64_t target = TRY(read_rm(insn, size));
      return branch(insn, target);
    }
    case 3:
    case 5: {
      const uint64_t offset = TRY(load(segment_of(insn), effective(insn), size));
      const uint64_t selector = TRY(load(segment_of(insn), effective(insn) + size, 2));
      return far_pointer(insn, insn.ext() == 3, static_cast<uint16_t>(selector), offset);
    }
    default: {
      const uint64_t value = TRY(read_rm(insn, size));
      return push(value, size);
    }
  }
}

Guest<> Core::execute_two_byte(const Insn& insn) {
  const unsigned size = insn.operand_size;
  const unsigned byte = insn.code & 0xff;
  if (insn.code >= kMap0F38) return raise(kUd);
  if (byte >= 0x80 && byte < 0x90) return condition(byte & 15) ? jump_relative(insn) : Guest<>{};
  switch (byte) {
    case 0x00: return system_table(insn);
    case 0x01: return system_registers(insn);
    case 0x02:
    case 0x03: return load_rights(insn);
    case 0x05: return syscall();
    case 0x06:
      TRY(privileged());
      s_.cr0 &= ~uint64_t{kCr0Ts};
      return {};
    case 0x07: return sysret(insn);
    case 0x08:
    case 0x09: return privileged();
    case 0x0b:
    case 0xb9:
    case 0xff: return raise(kUd);
    case 0x20:
    case 0x22: return control_register(insn);
    case 0x21:
    case 0x23: return debug_register(insn);
    case 0x30: return write_msr();
    case 0x31: return time_stamp(false);
    case 0x32: return read_msr();
    case 0x33: return raise(kGp, 0);
    case 0x34: return sysenter();
    case 0x35: return sysexit(insn);
    case 0xa0:
    case 0xa8: return push(s_.segments[byte == 0xa0 ? kFs : kGs].selector, size);
    case 0xa1:
    case 0xa9: return pop_segment(byte == 0xa1 ? kFs : kGs, size);
    case 0xa2: return cpuid();
    case 0xae: return insn.ext() == 0 ? fx_save(insn) : fx_restore(insn);
    case 0xb2:
    case 0xb4:
    case 0xb5: return load_far(insn);
    case 0xc7: return compare_exchange_wide(insn);
    case 0xf7: return masked_move(insn);
    default: return raise(kUd);
  }
}

}  // namespace proa::vmm::translator
