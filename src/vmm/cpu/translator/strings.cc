// String instructions and port I/O.
#include <algorithm>

#include "vmm/cpu/translator/core.h"

namespace proa::vmm::translator {

namespace {

enum class StringOp : uint8_t { kMovs = 0, kCmps = 1, kStos = 3, kLods = 4, kScas = 5 };

void set_subtract_flags(uint64_t& status, uint64_t left, uint64_t right, unsigned size) {
  const uint64_t mask = mask_of(size), sign = 1ULL << (8 * size - 1);
  left &= mask, right &= mask;
  const uint64_t result = (left - right) & mask;
  uint64_t flags = left < right ? kFlagCf : 0;
  if (result == 0) flags |= kFlagZf;
  if (result & sign) flags |= kFlagSf;
  if ((left ^ right) & (left ^ result) & sign) flags |= kFlagOf;
  if ((left ^ right ^ result) & 16) flags |= kFlagAf;
  if (!__builtin_parity(static_cast<unsigned>(result & 0xff))) flags |= kFlagPf;
  status = (status & ~kStatusFlags) | flags;
}

}  // namespace

// Repeats run in pieces: the instruction is left with RIP unchanged when something else has to be seen to.
Guest<> Core::string(const Insn& insn) {
  const unsigned size = insn.operand_size, width = insn.address_size;
  const auto op = static_cast<StringOp>((insn.code - 0xa4) >> 1);
  const bool repeats = insn.rep || insn.repne, down = c_.system & kFlagDf;
  const uint64_t step = down ? -static_cast<uint64_t>(size) : size;
  const unsigned source_segment = segment_of(insn);
  const bool reads = op != StringOp::kStos && op != StringOp::kScas;
  const bool writes = op == StringOp::kMovs || op == StringOp::kStos;
  const bool compares = op == StringOp::kCmps || op == StringOp::kScas;
  constexpr uint64_t kPiece = 4096;
  const auto advance = [&](unsigned number, uint64_t by) {
    set_reg(number, width == 2 ? 2 : width, reg(number, width) + by);
  };
  for (uint64_t done = 0;;) {
    uint64_t count = 1;
    if (repeats) {
      count = reg(kRcx, width);
      if (count == 0) return {};
      if (done >= kPiece) {
        next_ = c_.rip;
        return {};
      }
    }
    // Straight runs within pages of RAM.
    if (repeats && !down && !compares && writes && count > 1) {
      const uint64_t to = TRY(linear(kEs, reg(kRdi, width), size, true));
      uint64_t bytes = std::min(count, kPiece) * size;
      if (code_size() != CodeSize::k64) bytes = size;  // limits are checked one by one
      uint64_t from = 0;
      std::byte *target = nullptr, *source = nullptr;
      if (reads) {
        from = TRY(linear(source_segment, reg(kRsi, width), size, false));
        source = TRY(mmu_.span(from, bytes, false, user()));
      }
      target = TRY(mmu_.span(to, bytes, true, user()));
      uint64_t elements = bytes / size;
      if (target && (!reads || source) && elements > 0) {
        bytes = elements * size;
        if (op == StringOp::kMovs) {
          if (source < target && source + bytes > target)
            for (uint64_t i = 0; i < bytes; i += size) std::memmove(target + i, source + i, size);
          else
            std::memmove(target, source, bytes);
          advance(kRsi, bytes);
        } else if (size == 1) {
          std::memset(target, static_cast<int>(c_.gpr[kRax] & 0xff), bytes);
        } else {
          for (uint64_t i = 0; i < bytes; i += size) std::memcpy(target + i, &c_.gpr[kRax], size);
        }
        advance(kRdi, bytes);
        advance(kRcx, -elements);
        done += bytes;
        continue;
      }
    }
    uint64_t left = c_.gpr[kRax], right = 0;
    if (reads) left = TRY(load(source_segment, reg(kRsi, width), size));
    if (compares) right = TRY(load(kEs, reg(kRdi, width), size));
    if (writes) TRY(store(kEs, reg(kRdi, width), size, left));
    if (op == StringOp::kLods) set_reg(kRax, size, left);
    if (compares) set_subtract_flags(c_.status, left, right, size);
    if (reads) advance(kRsi, step);
    if (op != StringOp::kLods) advance(kRdi, step);
    if (!repeats) return {};
    advance(kRcx, ~0ULL);
    done += size;
    if (compares && static_cast<bool>(c_.status & kFlagZf) != insn.rep) return {};
  }
}

Guest<> Core::check_io(uint16_t port, unsigned size) {
  if (!(s_.cr0 & kCr0Pe)) return {};
  const unsigned iopl = (c_.system & kFlagIopl) >> 12;
  if (!(c_.system & kFlagVm) && cpl_ <= iopl) return {};
  // The task's bitmap of ports (SDM 1, 19.5.2).
  if (!(s_.tr.attributes & 8) || s_.tr.limit < 103) return raise(kGp, 0);
  const auto map = TRY(mmu_.get<uint16_t>(s_.tr.base + 102, false, true));
  const uint64_t at = map + port / 8U;
  if (at + 1 > s_.tr.limit) return raise(kGp, 0);
  const auto bits = TRY(mmu_.get<uint16_t>(s_.tr.base + at, false, true));
  return bits >> (port & 7) & ((1U << size) - 1) ? raise(kGp, 0) : Guest<>{};
}

Guest<> Core::in_out(const Insn& insn) {
  const unsigned size = std::min<unsigned>(insn.operand_size, 4);
  const bool immediate = insn.code < 0xe8, out = insn.code & 2;
  const auto port = static_cast<uint16_t>(immediate ? insn.imm & 0xff : c_.gpr[kRdx]);
  TRY(check_io(port, size));
  count(out ? ExitCause::kPortOut : ExitCause::kPortIn);
  if (out)
    port_out(port, size, static_cast<uint32_t>(reg(kRax, size)));
  else
    set_reg(kRax, size, out_.bus->port_in(port, size));
  return {};
}

void Core::port_out(uint16_t port, unsigned size, uint32_t value) {
  if (out_.ring(port, size, value))
    count(ExitCause::kDoorbell);
  else
    out_.bus->port_out(port, size, value);
}

Guest<> Core::string_io(const Insn& insn) {
  const unsigned size = std::min<unsigned>(insn.operand_size, 4), width = insn.address_size;
  const bool repeats = insn.rep || insn.repne, out = insn.code & 2;
  const uint64_t step = c_.system & kFlagDf ? -static_cast<uint64_t>(size) : size;
  const auto port = static_cast<uint16_t>(c_.gpr[kRdx]);
  TRY(check_io(port, size));
  for (unsigned done = 0;; ++done) {
    if (repeats && reg(kRcx, width) == 0) return {};
    if (done == 1024) {
      next_ = c_.rip;
      return {};
    }
    count(out ? ExitCause::kPortOut : ExitCause::kPortIn);
    const unsigned index = out ? kRsi : kRdi;
    if (out) {
      const uint64_t value = TRY(load(segment_of(insn), reg(kRsi, width), size));
      port_out(port, size, static_cast<uint32_t>(value));
    } else {
      const uint64_t at = TRY(linear(kEs, reg(kRdi, width), size, true));
      TRY(mmu_.probe_store(at, size, user()));
      const uint64_t value = out_.bus->port_in(port, size);
      TRY(mmu_.store(at, &value, size, user()));
    }
    set_reg(index, width, reg(index, width) + step);
    if (!repeats) return {};
    set_reg(kRcx, width, reg(kRcx, width) - 1);
  }
}

}  // namespace proa::vmm::translator
