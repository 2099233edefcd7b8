// The opcode tables (SDM 2D, appendix A), built at compile time.
#pragma once

#include <array>

#include "vmm/cpu/translator/insn.h"

namespace proa::vmm::translator {

// Index of a mandatory prefix in the tables of the 0F maps.
constexpr unsigned prefix_index(uint8_t prefix) {
  return prefix == 0x66 ? 1 : prefix == 0xf3 ? 2 : prefix == 0xf2 ? 3 : 0;
}

struct OpTables {
  std::array<Op, 256> one;                      // map 0
  std::array<std::array<Op, 256>, 4> two;       // 0F, by mandatory prefix
  std::array<std::array<Op, 256>, 4> three_38;  // 0F 38
  std::array<std::array<Op, 256>, 4> three_3a;  // 0F 3A
  std::array<std::array<Op, 8>, 48> groups;     // by ModRM.reg; [0] unused
  std::array<std::array<Op, 8>, 8> x87_memory;  // D8..DF with a memory operand, by ModRM.reg
};

extern const OpTables kOps;

}  // namespace proa::vmm::translator
