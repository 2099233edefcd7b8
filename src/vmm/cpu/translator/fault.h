// Exceptions of the guest (SDM 3A, chapter 6), as values.
#pragma once

#include <cstdint>
#include <expected>

namespace proa::vmm::translator {

enum Vector : uint8_t {
  kDe = 0,
  kDb = 1,
  kNmi = 2,
  kBp = 3,
  kOfTrap = 4,
  kBr = 5,
  kUd = 6,
  kNm = 7,
  kDf = 8,
  kTs = 10,
  kNp = 11,
  kSsFault = 12,
  kGp = 13,
  kPfFault = 14,
  kMf = 16,
  kAc = 17,
  kXm = 19
};

struct Fault {
  uint8_t vector = kUd;
  bool has_error = false;
  bool trap = false;  // #DB, #BP, #OF: RIP already stands behind the instruction
  uint32_t error = 0;
  uint64_t address = 0;  // #PF: CR2; #DB: what to set in DR6
};

template <typename T = void>
using Guest = std::expected<T, Fault>;

inline std::unexpected<Fault> raise(uint8_t vector) { return std::unexpected(Fault{.vector = vector}); }
inline std::unexpected<Fault> raise(uint8_t vector, uint32_t error) {
  return std::unexpected(Fault{.vector = vector, .has_error = true, .error = error});
}

}  // namespace proa::vmm::translator
