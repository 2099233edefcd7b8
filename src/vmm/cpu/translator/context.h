// What translated code sees of a vCPU: the structure at the GS base of the thread that runs it. Offsets are compiled
// into code, so everything is reached by one absolute displacement.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace proa::vmm::translator {

inline constexpr unsigned kTlbBits = 16;
inline constexpr size_t kTlbEntries = size_t{1} << kTlbBits;
inline constexpr size_t kJumpEntries = size_t{1} << 16;
inline constexpr size_t kCodeTlbEntries = 4096;

// One soft TLB. An entry serves the pages whose number ends in its index: three arrays, so that an index scales by
// eight. A zero entry matches nothing, except in slot 0, whose empty value is kEmptySlot0.
struct SoftTlb {
  static constexpr uint64_t kEmptySlot0 = 1ULL << 62;
  std::array<uint64_t, kTlbEntries> negated;  // minus the guest's page address
  std::array<uint64_t, kTlbEntries> host;     // the host's page address
  std::array<uint64_t, kTlbEntries> addend;   // host - guest
};

enum TlbKind : uint8_t { kTlbKernelRead, kTlbKernelWrite, kTlbUserRead, kTlbUserWrite, kTlbKinds };

struct Context {
  std::array<uint64_t, 16> gpr;  // valid outside translated code; those the host has no register for: always
  uint64_t rip;
  uint64_t status;    // the host's RFLAGS as translated code left them; only the status flags mean anything
  uint64_t system;    // RFLAGS without the status flags, bit 1 set
  uint64_t host_rsp;  // of the C++ code
  uint64_t call_rsp;  // of translated code: a stack of host return addresses that predict guest returns
  uint64_t target;    // where to resume
  uint64_t scratch[4];
  uint64_t page_mask;    // ~0xfff
  uint64_t status_mask;  // 0x8d5
  uint64_t fs_base, gs_base, kernel_gs_base;
  uint64_t tsc_offset;
  void* owner;
  uint32_t run;            // 0: leave at the next safe point
  uint32_t interruptible;  // 0 when something waits for interrupts to be enabled
  uint32_t fpu_dead;       // 0: the guest's FPU state is in the host's registers while translated code runs
  uint32_t default_mxcsr;
  uint64_t fault_host_rip;
  uint64_t fault_signal;
  alignas(64) std::array<uint8_t, 512> fx;
  alignas(64) std::array<uint8_t, 128> bounce;     // the memory operand of an instruction that is run by itself
  std::array<uint32_t, kCodeTlbEntries> code_tlb;  // identity of the code page mapped at a page address
  alignas(4096) std::array<SoftTlb, kTlbKinds> tlb;
  alignas(4096) std::array<std::array<uint64_t, kJumpEntries>, 2> jump;  // [user]: landing by low bits of the target
};

inline constexpr uint64_t kStatusFlags = 0x8d5;

}  // namespace proa::vmm::translator
