// Where things are in the guest's physical memory.
#pragma once

#include <cstdint>
#include <vector>

#include "vmm/memory/guest_memory.h"

namespace proa::vmm {

// Below 1 MiB, as the monitor leaves it.
inline constexpr GuestAddress kGdt = 0x500, kStartInfo = 0x6000, kZeroPage = 0x7000, kBootStack = 0x8ff0,
                              kPageTables = 0x9000, kCommandLine = 0x20000, kAcpi = 0xe0000, kAcpiEnd = 0x100000;
inline constexpr uint32_t kCommandLineBytes = 4096;
inline constexpr GuestAddress kLowMemoryEnd = 0x9fc00, kHighMemory = 0x100000;
// Between 3 and 4 GiB there are devices; memory goes on above.
inline constexpr GuestAddress kGap = 0xc0000000, kGapEnd = 0x100000000;
inline constexpr GuestAddress kVirtioMmio = 0xd0000000;

// What memory of that size is made of.
inline std::vector<SlotPlan> memory_plan(uint64_t bytes) {
  std::vector<SlotPlan> plans(bytes > kGap ? 2 : 1);
  plans[0].size = std::min<uint64_t>(bytes, kGap);
  if (bytes > kGap) {
    plans[1].base = kGapEnd;
    plans[1].size = bytes - kGap;
  }
  return plans;
}

// The map that the guest is given.
struct MemoryRange {
  GuestAddress base;
  uint64_t size;
  uint32_t type;  // e820's: 1 memory, 2 reserved, 3 ACPI tables
};
std::vector<MemoryRange> memory_map(const GuestMemory& memory);

}  // namespace proa::vmm
