// Instructions that are the host's own, run one at a time on a copy of their memory operand.
#include <csignal>

#include "vmm/cpu/translator/core.h"
#include "vmm/cpu/translator/rename.h"

namespace proa::vmm::translator {

namespace {

// Operands of 16 bytes are aligned but for the instructions that are made for others (SDM 1, 10.4.1.1, 12.8.4).
bool has_to_be_aligned(const Insn& insn) {
  if (!(insn.op->traits & kFpu)) return false;
  switch (insn.code) {
    case kMap0F | 0x10:
    case kMap0F | 0x11:
    case kMap0F | 0xf0:
    case kMap0F3A | 0x60:
    case kMap0F3A | 0x61:
    case kMap0F3A | 0x62:
    case kMap0F3A | 0x63: return false;
    case kMap0F | 0x6f:
    case kMap0F | 0x7f: return insn.mandatory != 0xf3;
    default: return true;
  }
}

}  // namespace

Guest<> Core::use_fpu(bool sse) {
  if (s_.cr0 & kCr0Em) return raise(sse ? kUd : kNm);
  if (sse && !(s_.cr4 & kCr4OsFxsr)) return raise(kUd);
  if (s_.cr0 & kCr0Ts) return raise(kNm);
  c_.fpu_dead = 0;
  return {};
}

Fault Core::native_fault(uint64_t signal, const Insn& insn) const {
  switch (signal) {
    case SIGFPE: {
      const Op& op = *insn.op;
      if (!(op.traits & kFpu)) return {.vector = kDe};
      // x87 and MMX instructions meet what the x87 has pending (FSW.ES); those with only XMM registers do not.
      const bool sse = op.reg == RegClass::kXmm || op.rm == RmClass::kXmm;
      const bool mmx = op.reg == RegClass::kMmx || op.rm == RmClass::kMmx;
      return {.vector = sse && (!mmx || !(c_.fx[2] & 0x80)) ? kXm : kMf};
    }
    case SIGILL: return {.vector = kUd};
    default: return {.vector = kGp, .has_error = true};
  }
}

// Runs `insn` with `memory` as its operand, or with `host` when that is given.
Guest<bool> Core::run_native(const Insn& insn, const HostMem& memory, const std::byte* host) {
  Emitter out = code_.scratch();
  const uint8_t* start = out.exec();
  if (host) out.mov_imm(kTemp0, reinterpret_cast<uint64_t>(host));
  if (!emit_renamed(out, insn, host ? HostMem{.base = kTemp0} : memory)) return false;
  out.jmp(code_.passages().leave);
  const uint64_t target = c_.target, host_rsp = c_.host_rsp, call_rsp = c_.call_rsp;
  c_.target = reinterpret_cast<uint64_t>(start);
  native_signal = 0;
  code_.enter();
  c_.target = target, c_.host_rsp = host_rsp, c_.call_rsp = call_rsp;
  if (native_signal != 0) return std::unexpected(native_fault(native_signal, insn));
  return true;
}

Guest<> Core::identity(const Insn& insn) {
  const Op& op = *insn.op;
  if (op.traits & kFpu) TRY(use_fpu((op.traits & kMandatory) && (op.reg == RegClass::kXmm || op.rm == RmClass::kXmm)));
  const bool touches = insn.has_memory && op.mem != kMemNone;
  if (insn.has_memory && !touches) return {};  // prefetches and long NOPs; CLFLUSH has nothing to flush
  if (!touches) return TRY(run_native(insn, {}, nullptr)) ? Guest<>{} : raise(kUd);
  const unsigned size = insn.mem_size;
  const bool write = op.access & kRmWrite, read = op.access & kRmRead;
  const uint64_t at = TRY(address(insn, size, write));
  if (size == 16 && at % 16 && has_to_be_aligned(insn)) return raise(kGp, 0);
  // In place where it is RAM: atomic, and seen by other processors at once.
  uint64_t span = size;
  std::byte* host = TRY(mmu_.span(at, span, write, user()));
  if (host && span == size && TRY(run_native(insn, {}, host))) return {};
  if (write) TRY(mmu_.probe_store(at, size, user()));
  // The copy is aligned as the original, for those that insist on it.
  std::byte* copy = reinterpret_cast<std::byte*>(c_.bounce.data()) + (size <= 16 ? at & 15 : 0);
  if (read) TRY(mmu_.load(at, copy, size, user()));
  const HostMem memory = at_context(static_cast<size_t>(copy - reinterpret_cast<std::byte*>(&c_)));
  if (!TRY(run_native(insn, memory, nullptr))) return raise(kUd);
  if (write) TRY(mmu_.store(at, copy, size, user()));
  return {};
}

// FXSAVE and FXRSTOR (SDM 1, 10.5), without the host's instruction pointers.
Guest<> Core::fx_save(const Insn& insn) {
  if (!insn.has_memory) return raise(kUd);
  if (s_.cr0 & (kCr0Em | kCr0Ts)) return raise(kNm);
  const uint64_t at = TRY(address(insn, 512, true));
  if (at % 16) return raise(kGp, 0);
  std::array<uint8_t, 512> area = c_.fx;
  std::fill(area.begin() + 6, area.begin() + 24, uint8_t{0});
  // The last 96 bytes are left as they are, and without OSFXSR the XMM registers too.
  const unsigned size = s_.cr4 & kCr4OsFxsr ? 416 : 160;
  TRY(mmu_.probe_store(at, 512, user()));
  return mmu_.store(at, area.data(), size, user());
}

Guest<> Core::fx_restore(const Insn& insn) {
  if (!insn.has_memory || insn.ext() != 1) return raise(kUd);
  if (s_.cr0 & (kCr0Em | kCr0Ts)) return raise(kNm);
  const uint64_t at = TRY(address(insn, 512, false));
  if (at % 16) return raise(kGp, 0);
  alignas(16) std::array<uint8_t, 512> area = c_.fx;
  TRY(mmu_.load(at, area.data(), s_.cr4 & kCr4OsFxsr ? 416 : 160, user()));
  uint32_t mxcsr = 0;
  std::memcpy(&mxcsr, area.data() + 24, 4);
  if (mxcsr & 0xffff0000) return raise(kGp, 0);
  const uint32_t mask = 0xffff;
  std::memcpy(area.data() + 28, &mask, 4);
  c_.fx = area;
  return {};
}

Guest<> Core::masked_move(const Insn& insn) {
  TRY(use_fpu(insn.mandatory == 0x66));
  const unsigned size = insn.mandatory == 0x66 ? 16 : 8;
  const auto value = [&](unsigned number, unsigned byte) {
    return size == 16 ? c_.fx[160 + 16 * number + byte] : c_.fx[32 + 16 * (number & 7) + byte];
  };
  const uint64_t offset = c_.gpr[kRdi] & (insn.address_size == 8   ? ~0ULL
                                          : insn.address_size == 4 ? 0xffffffff
                                                                   : 0xffff);
  for (unsigned i = 0; i < size; ++i) {
    if (!(value(insn.rm(), i) & 0x80)) continue;
    TRY(store(segment_of(insn), offset + i, 1, value(insn.reg(), i)));
  }
  return {};
}

}  // namespace proa::vmm::translator
