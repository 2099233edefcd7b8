// Guest instructions as the host's own: registers renamed, the memory operand replaced.
//
// Guest registers live in host registers of the same number, but for RCX (in R10) and RSP (in R9); R9, R10 and R11
// live in memory. Host RCX and R11 are for the translator's use, and host RSP is a stack of return predictions.
#pragma once

#include <array>

#include "vmm/cpu/translator/emitter.h"
#include "vmm/cpu/translator/insn.h"

namespace proa::vmm::translator {

inline constexpr int8_t kInMemory = -1;
// By guest register.
inline constexpr std::array<int8_t, 16> kHostOf = {hRax, hR10, hRdx, hRbx, hR9,  hRbp, hRsi, hRdi,
                                                   hR8,  -1,   -1,   -1,   hR12, hR13, hR14, hR15};
inline constexpr HostReg kTemp0 = hRcx, kTemp1 = hR11;

// Reads or writes a whole guest register.
void load_guest(Emitter& out, unsigned host, unsigned guest);
void store_guest(Emitter& out, unsigned guest, unsigned host);

// Emits a kIdentity instruction. `memory` stands for its memory operand; kTemp0 and kTemp1 are free but for those that
// `memory` uses. False, with nothing written: there are too few registers.
bool emit_renamed(Emitter& out, const Insn& insn, const HostMem& memory);

}  // namespace proa::vmm::translator
