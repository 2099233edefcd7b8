// What the guest is told of its processor: what the engine supports, masked to what a snapshot can carry anywhere and
// what makes sense without a real machine around, completed with who this vCPU is, changed as the user wants.
#pragma once

#include <cstdint>
#include <vector>

#include "vmm/cpu/engine.h"

namespace proa::vmm {

// One register of one leaf: value = (value & ~mask) | (bits & mask).
struct CpuidModifier {
  uint32_t leaf = 0, subleaf = 0;
  enum class Register : uint8_t { kEax, kEbx, kEcx, kEdx } reg = Register::kEax;
  uint32_t mask = 0, bits = 0;
};

// For vCPU `id` of `count`.
std::vector<CpuidLeaf> guest_cpuid(std::vector<CpuidLeaf> supported, unsigned id, unsigned count,
                                   const std::vector<CpuidModifier>& modifiers = {});

}  // namespace proa::vmm
