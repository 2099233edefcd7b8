// General-purpose instructions that take more than a few lines: frames, flags, decimal, wide and bit-string forms.
#include "vmm/cpu/translator/core.h"

namespace proa::vmm::translator {

Guest<> Core::pop_segment(unsigned index, unsigned size) {
  const uint64_t value = TRY(load(kSs, c_.gpr[kRsp] & stack_mask(), 2));
  TRY(load_segment(index, static_cast<uint16_t>(value)));
  add_rsp(size);
  shadow = stack_shadow = index == kSs;
  return {};
}
Guest<> Core::pop_rm(const Insn& insn) {
  const unsigned size = insn.operand_size;
  const uint64_t value = TRY(load(kSs, c_.gpr[kRsp] & stack_mask(), size));
  const uint64_t before = c_.gpr[kRsp];
  add_rsp(size);
  auto done = write_rm(insn, size, value);
  if (!done) c_.gpr[kRsp] = before;
  return done;
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

// CLI, STI
Guest<> Core::set_interrupt_flag(bool on) {
  count(ExitCause::kSensitive);
  const unsigned iopl = (c_.system & kFlagIopl) >> 12;
  if ((s_.cr0 & kCr0Pe) && ((c_.system & kFlagVm) ? iopl < 3 : cpl_ > iopl)) return raise(kGp, 0);
  shadow = on && !(c_.system & kFlagIf);
  c_.system = on ? c_.system | kFlagIf : c_.system & ~uint64_t{kFlagIf};
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

Guest<> Core::leave(unsigned size) {
  const uint64_t value = TRY(load(kSs, c_.gpr[kRbp] & stack_mask(), size));
  set_reg(kRsp, stack_mask() == 0xffff ? 2 : stack_mask() == 0xffffffff ? 4 : 8, c_.gpr[kRbp] + size);
  set_reg(kRbp, size, value);
  return {};
}

Guest<> Core::bound(const Insn& insn) {
  const unsigned size = insn.operand_size;
  const auto widen = [&](uint64_t v) { return size == 2 ? static_cast<int16_t>(v) : static_cast<int32_t>(v); };
  const uint64_t low = TRY(load(segment_of(insn), effective(insn), size));
  const uint64_t high = TRY(load(segment_of(insn), effective(insn) + size, size));
  const int64_t index = widen(reg(insn.reg(), size));
  return index < widen(low) || index > widen(high) ? raise(kBr) : Guest<>{};
}

// ARPL
Guest<> Core::adjust_privilege(const Insn& insn) {
  if (!(s_.cr0 & kCr0Pe) || (c_.system & kFlagVm)) return raise(kUd);
  const uint64_t to = TRY(read_rm(insn, 2));
  const uint64_t from = reg(insn.reg(), 2);
  const bool adjust = (to & 3) < (from & 3);
  if (adjust) TRY(write_rm(insn, 2, (to & ~3ULL) | (from & 3)));
  set_status(kFlagZf, adjust ? kFlagZf : 0);
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

}  // namespace proa::vmm::translator
