#include "vmm/cpu/translator/core.h"

namespace proa::vmm::translator {

namespace {

uint64_t mask_of(unsigned size) { return size >= 8 ? ~0ULL : (1ULL << (8 * size)) - 1; }

}  // namespace

uint64_t Core::reg(unsigned number, unsigned size, bool rex) const {
  if (size == 1 && !rex && number >= 4 && number < 8) return c_.gpr[number - 4] >> 8 & 0xff;
  return c_.gpr[number] & mask_of(size);
}
void Core::set_reg(unsigned number, unsigned size, uint64_t value, bool rex) {
  if (size == 1 && !rex && number >= 4 && number < 8) {
    auto& whole = c_.gpr[number - 4];
    whole = (whole & ~0xff00ULL) | (value & 0xff) << 8;
    return;
  }
  auto& whole = c_.gpr[number];
  if (size == 8)
    whole = value;
  else if (size == 4)
    whole = static_cast<uint32_t>(value);
  else
    whole = (whole & ~mask_of(size)) | (value & mask_of(size));
}

uint64_t Core::effective(const Insn& insn) const {
  uint64_t at = static_cast<uint64_t>(static_cast<int64_t>(insn.disp));
  if (insn.rip_relative) at += c_.rip + insn.length;
  if (insn.base >= 0) at += c_.gpr[static_cast<unsigned>(insn.base)];
  if (insn.index >= 0) at += c_.gpr[static_cast<unsigned>(insn.index)] << insn.scale;
  return at & mask_of(insn.address_size);
}

Guest<uint64_t> Core::linear(unsigned segment, uint64_t offset, unsigned size, bool write) const {
  const uint8_t vector = segment == kSs ? kSsFault : kGp;
  if (code_size() == CodeSize::k64) {
    if (segment == kFs) offset += c_.fs_base;
    if (segment == kGs) offset += c_.gs_base;
    if (!mmu_.canonical(offset) || !mmu_.canonical(offset + size - 1)) return raise(vector, 0);
    watch(offset, size, write);
    return offset;
  }
  const Segment& seg = s_.segments[segment];
  const uint64_t base = segment == kFs ? c_.fs_base : segment == kGs ? c_.gs_base : seg.base;
  if (s_.cr0 & kCr0Pe && !(c_.system & kFlagVm)) {
    if (seg.attributes & kSegUnusable) return raise(vector, 0);
    const bool code = seg.attributes & 8, rw = seg.attributes & 2;
    if (write ? code || !rw : code && !rw) return raise(vector, 0);
    if (!code && (seg.attributes & 4)) {  // grows down
      const uint64_t top = seg.attributes & kSegDb ? 0xffffffff : 0xffff;
      if (offset <= seg.limit || offset + size - 1 > top) return raise(vector, 0);
      return (base + offset) & 0xffffffff;
    }
  }
  if (offset + size - 1 > seg.limit) return raise(vector, 0);
  watch((base + offset) & 0xffffffff, size, write);
  return (base + offset) & 0xffffffff;
}

// Data breakpoints (SDM 3B, 18.2.4): with any enabled, instructions come here one by one.
void Core::watch(uint64_t linear, unsigned size, bool write) const {
  if (!(s_.dr7 & 0xff)) return;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned kind = s_.dr7 >> (16 + 4 * i) & 3, length = s_.dr7 >> (18 + 4 * i) & 3;
    if (!(s_.dr7 >> (2 * i) & 3) || !(kind == 3 || (kind == 1 && write))) continue;
    const uint64_t bytes = length == 2 ? 8 : length + 1, from = s_.dr[i] & ~(bytes - 1);
    if (linear < from + bytes && from < linear + size) watch_hits |= 1ULL << i;
  }
}

Guest<uint64_t> Core::load(unsigned segment, uint64_t offset, unsigned size) {
  uint64_t value = 0;
  const uint64_t at = TRY(linear(segment, offset, size, false));
  TRY(mmu_.load(at, &value, size, user()));
  return value;
}
Guest<> Core::store(unsigned segment, uint64_t offset, unsigned size, uint64_t value) {
  const uint64_t at = TRY(linear(segment, offset, size, true));
  return mmu_.store(at, &value, size, user());
}
Guest<uint64_t> Core::read_rm(const Insn& insn, unsigned size) {
  if (insn.has_memory) return load(segment_of(insn), effective(insn), size);
  return reg(insn.rm(), size, insn.rex);
}
Guest<> Core::write_rm(const Insn& insn, unsigned size, uint64_t value) {
  if (insn.has_memory) return store(segment_of(insn), effective(insn), size, value);
  set_reg(insn.rm(), size, value, insn.rex);
  return {};
}

uint64_t Core::stack_mask() const {
  if (code_size() == CodeSize::k64) return ~0ULL;
  return s_.segments[kSs].attributes & kSegDb ? 0xffffffff : 0xffff;
}
void Core::add_rsp(int64_t by) {
  const uint64_t mask = stack_mask();
  const uint64_t moved = (c_.gpr[kRsp] + static_cast<uint64_t>(by)) & mask;
  c_.gpr[kRsp] = mask == 0xffff ? (c_.gpr[kRsp] & ~mask) | moved : moved;
}
Guest<> Core::push(uint64_t value, unsigned size) {
  TRY(store(kSs, (c_.gpr[kRsp] - size) & stack_mask(), size, value));
  add_rsp(-static_cast<int64_t>(size));
  return {};
}
Guest<uint64_t> Core::pop(unsigned size) {
  const uint64_t value = TRY(load(kSs, c_.gpr[kRsp] & stack_mask(), size));
  add_rsp(size);
  return value;
}

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
    case 0x1f: {
      const uint64_t value = TRY(load(kSs, c_.gpr[kRsp] & stack_mask(), 2));
      TRY(load_segment(code >> 3U, static_cast<uint16_t>(value)));
      add_rsp(size);
      shadow = stack_shadow = code == 0x17;
      return {};
    }
    case 0x27:
    case 0x2f:
    case 0x37:
    case 0x3f:
    case 0xd4:
    case 0xd5: return decimal(insn);
    case 0x60: return push_all(insn);
    case 0x61: return pop_all(insn);
    case 0x62: {
      const auto bound = [&](uint64_t v) { return size == 2 ? static_cast<int16_t>(v) : static_cast<int32_t>(v); };
      const uint64_t low = TRY(load(segment_of(insn), effective(insn), size));
      const uint64_t high = TRY(load(segment_of(insn), effective(insn) + size, size));
      const int64_t index = bound(reg(insn.reg(), size));
      return index < bound(low) || index > bound(high) ? raise(kBr) : Guest<>{};
    }
    case 0x63: {
      if (!(s_.cr0 & kCr0Pe) || (c_.system & kFlagVm)) return raise(kUd);
      const uint64_t to = TRY(read_rm(insn, 2));
      const uint64_t from = reg(insn.reg(), 2);
      const bool adjust = (to & 3) < (from & 3);
      if (adjust) TRY(write_rm(insn, 2, (to & ~3ULL) | (from & 3)));
      set_status(kFlagZf, adjust ? kFlagZf : 0);
      return {};
    }
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
    case 0x8f: {
      const uint64_t value = TRY(load(kSs, c_.gpr[kRsp] & stack_mask(), size));
      const uint64_t before = c_.gpr[kRsp];
      add_rsp(size);
      auto done = write_rm(insn, size, value);
      if (!done) c_.gpr[kRsp] = before;
      return done;
    }
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
    case 0xc3: {
      const uint64_t target = TRY(load(kSs, c_.gpr[kRsp] & stack_mask(), size));
      TRY(branch(insn, target));
      add_rsp(static_cast<int64_t>(size + insn.imm));
      return {};
    }
    case 0xc4:
    case 0xc5: return load_far(insn);
    case 0xc8: return enter(insn);
    case 0xc9: {
      const uint64_t value = TRY(load(kSs, c_.gpr[kRbp] & stack_mask(), size));
      set_reg(kRsp, stack_mask() == 0xffff ? 2 : stack_mask() == 0xffffffff ? 4 : 8, c_.gpr[kRbp] + size);
      set_reg(kRbp, size, value);
      return {};
    }
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
    case 0xe2: {
      const unsigned width = insn.address_size;
      const uint64_t left = (reg(kRcx, width) - 1) & mask_of(width);
      const bool zf = c_.status & kFlagZf;
      if (left != 0 && (code == 0xe2 || zf == (code == 0xe1))) TRY(jump_relative(insn));
      set_reg(kRcx, width, left);
      return {};
    }
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
    case 0xfb: {
      count(ExitCause::kSensitive);
      const unsigned iopl = (c_.system & kFlagIopl) >> 12;
      if ((s_.cr0 & kCr0Pe) && ((c_.system & kFlagVm) ? iopl < 3 : cpl_ > iopl)) return raise(kGp, 0);
      if (code == 0xfa) {
        c_.system &= ~uint64_t{kFlagIf};
      } else {
        shadow = !(c_.system & kFlagIf);
        c_.system |= kFlagIf;
      }
      return {};
    }
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

Guest<> Core::push_all(const Insn& insn) {
  const unsigned size = insn.operand_size;
  const uint64_t old = c_.gpr[kRsp];
  for (unsigned i = 0; i < 8; ++i) {
    auto done = push(i == kRsp ? old : c_.gpr[i], size);
    if (!done) {
      c_.gpr[kRsp] = old;
      return done;
    }
  }
  return {};
}
Guest<> Core::pop_all(const Insn& insn) {
  const unsigned size = insn.operand_size;
  std::array<uint64_t, 8> values{};
  const uint64_t old = c_.gpr[kRsp];
  for (unsigned i = 8; i-- > 0;) {
    auto value = pop(size);
    if (!value) {
      c_.gpr[kRsp] = old;
      return std::unexpected(value.error());
    }
    values[i] = *value;
  }
  for (unsigned i = 0; i < 8; ++i)
    if (i != kRsp) set_reg(i, size, values[i]);
  return {};
}

Guest<> Core::enter(const Insn& insn) {
  const unsigned size = insn.operand_size, level = insn.imm2 & 31;
  const uint64_t old = c_.gpr[kRsp];
  const auto undo = [&](const Fault& fault) -> Guest<> {
    c_.gpr[kRsp] = old;
    return std::unexpected(fault);
  };
  if (auto done = push(c_.gpr[kRbp], size); !done) return done;
  const uint64_t frame = c_.gpr[kRsp];
  for (unsigned i = 1; i < level; ++i) {
    auto link = load(kSs, (c_.gpr[kRbp] - i * size) & stack_mask(), size);
    if (!link) return undo(link.error());
    if (auto done = push(*link, size); !done) return undo(done.error());
  }
  if (level > 0)
    if (auto done = push(frame, size); !done) return undo(done.error());
  add_rsp(-static_cast<int64_t>(insn.imm));
  set_reg(kRbp, size, frame);
  return {};
}

// Decimal arithmetic (SDM 2A: DAA, DAS, AAA, AAS, AAM, AAD).
Guest<> Core::decimal(const Insn& insn) {
  uint64_t al = reg(kRax, 1), ah = reg(kRax, 2) >> 8;
  bool cf = c_.status & kFlagCf, af = c_.status & kFlagAf;
  const auto result_flags = [](uint64_t v) {
    return (v & 0xff ? 0 : uint64_t{kFlagZf}) | (v & 0x80 ? uint64_t{kFlagSf} : 0) |
           (__builtin_parity(static_cast<unsigned>(v & 0xff)) ? 0 : uint64_t{kFlagPf});
  };
  switch (insn.code) {
    case 0x27:
    case 0x2f: {
      const uint64_t old = al;
      const bool old_cf = cf, minus = insn.code == 0x2f;
      cf = false;
      if ((al & 15) > 9 || af) {
        cf = old_cf || (minus ? al < 6 : al + 6 > 0xff);
        al = minus ? al - 6 : al + 6;
        af = true;
      } else {
        af = false;
      }
      if (old > 0x99 || old_cf) {
        al = minus ? al - 0x60 : al + 0x60;
        cf = true;
      }
      set_reg(kRax, 1, al);
      break;
    }
    case 0x37:
    case 0x3f: {
      uint64_t ax = reg(kRax, 2);
      cf = af = (al & 15) > 9 || af;
      if (af) ax = insn.code == 0x37 ? ax + 0x106 : ax - 0x106;
      set_reg(kRax, 2, ax & 0xff0f);
      al = ax & 15;
      break;
    }
    case 0xd4: {
      const uint64_t base = insn.imm & 0xff;
      if (base == 0) return raise(kDe);
      set_reg(kRax, 2, (al / base) << 8 | al % base);
      al %= base;
      cf = af = false;
      break;
    }
    default:
      al = (al + ah * (insn.imm & 0xff)) & 0xff;
      set_reg(kRax, 2, al);
      cf = af = false;
  }
  set_status(kStatusFlags & ~uint64_t{kFlagOf},
             result_flags(al) | (cf ? uint64_t{kFlagCf} : 0) | (af ? uint64_t{kFlagAf} : 0));
  return {};
}

Guest<> Core::pop_flags(const Insn& insn) {
  count(ExitCause::kSensitive);
  const unsigned size = insn.operand_size;
  const unsigned iopl = (c_.system & kFlagIopl) >> 12;
  const bool vm = c_.system & kFlagVm;
  if (vm && iopl < 3) return raise(kGp, 0);
  const uint64_t value = TRY(pop(size));
  uint64_t may = kStatusFlags | kFlagTf | kFlagDf | kFlagNt | kFlagAc | kFlagId;
  if (!(s_.cr0 & kCr0Pe) || cpl_ == 0) may |= kFlagIopl | kFlagIf;
  if (cpl_ <= iopl) may |= kFlagIf;
  if (vm) may = (may & ~uint64_t{kFlagIopl}) | kFlagIf;
  if (size == 2) may &= 0xffff;
  set_rflags((rflags() & ~may) | (value & may));
  return {};
}

Guest<> Core::bit_string(const Insn& insn) {
  const unsigned size = insn.operand_size;
  const auto number = static_cast<int64_t>(reg(insn.reg(), size) << (64 - 8 * size)) >> (64 - 8 * size);
  const unsigned bits = 8 * size;
  const int64_t word = number >> (size == 2 ? 4 : size == 4 ? 5 : 6);
  const unsigned bit = static_cast<unsigned>(number) & (bits - 1);
  const bool write = insn.code != (kMap0F | 0xa3);
  const uint64_t offset = (effective(insn) + static_cast<uint64_t>(word * size)) & mask_of(insn.address_size);
  const uint64_t at = TRY(linear(segment_of(insn), offset, size, write));
  uint64_t value = 0;
  if (write) TRY(mmu_.probe_store(at, size, user()));
  TRY(mmu_.load(at, &value, size, user()));
  set_status(kFlagCf, value >> bit & 1 ? kFlagCf : 0);
  if (!write) return {};
  const uint64_t one = 1ULL << bit;
  value = insn.code == (kMap0F | 0xab) ? value | one : insn.code == (kMap0F | 0xb3) ? value & ~one : value ^ one;
  return mmu_.store(at, &value, size, user());
}

Guest<> Core::compare_exchange_wide(const Insn& insn) {
  if (insn.ext() != 1 || !insn.has_memory) return raise(kUd);
  const unsigned half = insn.rex_w ? 8 : 4;
  const uint64_t at = TRY(address(insn, 2 * half, true));
  if (half == 8 && at % 16) return raise(kGp, 0);
  TRY(mmu_.probe_store(at, 2 * half, user()));
  // In place where it is RAM: other processors may be at it.
  uint64_t span = 2 * half;
  std::byte* host = TRY(mmu_.span(at, span, true, user()));
  bool same = false;
  uint64_t low = 0, high = 0;
  if (host && span == 2 * half && half == 8) {
    __int128 expected = static_cast<__int128>(static_cast<unsigned __int128>(c_.gpr[kRdx]) << 64 | c_.gpr[kRax]);
    const auto desired = static_cast<__int128>(static_cast<unsigned __int128>(c_.gpr[kRcx]) << 64 | c_.gpr[kRbx]);
    auto* to = reinterpret_cast<uint64_t*>(host);
    uint64_t a = static_cast<uint64_t>(expected),
             d = static_cast<uint64_t>(static_cast<unsigned __int128>(expected) >> 64);
    __asm__ __volatile__("lock cmpxchg16b %1"
                         : "=@ccz"(same), "+m"(*reinterpret_cast<__int128*>(to)), "+a"(a), "+d"(d)
                         : "b"(static_cast<uint64_t>(desired)),
                           "c"(static_cast<uint64_t>(static_cast<unsigned __int128>(desired) >> 64))
                         : "memory");
    low = a, high = d;
  } else if (host && span == 2 * half) {
    uint64_t expected = (c_.gpr[kRdx] << 32) | (c_.gpr[kRax] & 0xffffffff);
    const uint64_t desired = (c_.gpr[kRcx] << 32) | (c_.gpr[kRbx] & 0xffffffff);
    same = __atomic_compare_exchange_n(reinterpret_cast<uint64_t*>(host), &expected, desired, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
    low = expected & 0xffffffff, high = expected >> 32;
  } else {
    TRY(mmu_.load(at, &low, half, user()));
    TRY(mmu_.load(at + half, &high, half, user()));
    same = low == reg(kRax, half) && high == reg(kRdx, half);
    const uint64_t new_low = same ? c_.gpr[kRbx] : low, new_high = same ? c_.gpr[kRcx] : high;
    TRY(mmu_.store(at, &new_low, half, user()));
    TRY(mmu_.store(at + half, &new_high, half, user()));
  }
  if (!same) {
    set_reg(kRax, half, low);
    set_reg(kRdx, half, high);
  }
  set_status(kFlagZf, same ? kFlagZf : 0);
  return {};
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
    case 0xa9: {
      const uint64_t value = TRY(load(kSs, c_.gpr[kRsp] & stack_mask(), 2));
      TRY(load_segment(byte == 0xa1 ? kFs : kGs, static_cast<uint16_t>(value)));
      add_rsp(size);
      return {};
    }
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

void Core::set_rflags(uint64_t value) {
  c_.status = value & kStatusFlags;
  c_.system = (value & 0x3f7700 & ~kStatusFlags) | 2;
}

void Core::set_cpl(unsigned cpl) { cpl_ = cpl; }

}  // namespace proa::vmm::translator
