// A guest that lives in ring 3 alone, for hosts whose KVM emulates ring 0: page tables with the U bit, a TSS whose
// I/O bitmap allows every port, and a vCPU that starts at CPL 3. Interrupts stay off.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "vmm/cpu/engine.h"

namespace proa::vmm {

inline constexpr uint64_t kRing3Memory = 4 << 20;
inline constexpr GuestAddress kRing3Code = 0x100000, kRing3Stack = 0x1f0000, kRing3Data = 0x200000;
// Where the guest sees the device's page: identity-mapped beyond memory.
inline constexpr GuestAddress kRing3Mmio = 0x40000000;

// Code between two labels of an asm block.
inline std::string_view guest_code(const char* begin, const char* end) {
  return {begin, static_cast<size_t>(end - begin)};
}

// Writes tables, TSS and code; the state to start with. 2 MiB pages identity-map the first 2 GiB.
inline CpuState make_ring3(GuestMemory& memory, std::string_view code) {
  constexpr GuestAddress kPml4 = 0x1000, kPdpt = 0x2000, kPd = 0x3000, kTss = 0x6000, kGdt = 0x9000;
  constexpr uint64_t kUser = 7, kLarge = 0x80;
  memory.store<uint64_t>(kPml4, kPdpt | kUser);
  for (uint64_t gib = 0; gib < 2; ++gib) {
    memory.store<uint64_t>(kPdpt + gib * 8, (kPd + gib * kPageSize) | kUser);
    for (uint64_t i = 0; i < 512; ++i)
      memory.store<uint64_t>(kPd + gib * kPageSize + i * 8, ((gib * 512 + i) << 21) | kUser | kLarge);
  }
  memory.store<uint16_t>(kTss + 102, 104);         // where the I/O bitmap begins
  memory.store<uint8_t>(kTss + 104 + 8192, 0xff);  // and its end mark
  memory.write(kRing3Code, code.data(), code.size());

  CpuState state;
  state.cr0 = 0x80050033;
  state.cr3 = kPml4;
  state.cr4 = 0x6a0;  // PAE, PGE, OSFXSR, OSXMMEXCPT less PGE's neighbours
  state.efer = 0xd01;
  const Segment data{.selector = 0x2b, .attributes = 0xc0f3, .limit = 0xffffffff, .base = 0};
  state.segments.fill(data);
  state.segments[kCs] = {.selector = 0x33, .attributes = 0xa0fb, .limit = 0xffffffff, .base = 0};
  state.tr = {.selector = 0x40, .attributes = 0x8b, .limit = 104 + 8192, .base = kTss};
  state.ldtr = {.selector = 0, .attributes = 0x10082, .limit = 0, .base = 0};
  state.gdtr = {kGdt, 0x7f};
  state.idtr = {kGdt + 0x800, 0};
  state.rip = kRing3Code;
  state.gpr[kRsp] = kRing3Stack;
  state.fx[0] = 0x7f;  // FCW 037fh
  state.fx[1] = 0x03;
  state.fx[24] = 0x80;  // MXCSR 1f80h
  state.fx[25] = 0x1f;
  return state;
}

inline std::unique_ptr<GuestMemory> ring3_memory() {
  std::vector<SlotPlan> plans(1);
  plans[0].size = kRing3Memory;
  return GuestMemory::create(std::move(plans)).value();
}

}  // namespace proa::vmm
