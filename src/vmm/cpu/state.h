// The architectural state of one x86-64 vCPU, as both engines save and restore it and as a snapshot holds it.
// Fields and encodings are those of the Intel SDM (volume 3A, chapters 2, 3, 6, 10) and, where that leaves freedom,
// of KVM's ioctls, so that state moves between engines.
#pragma once

#include <array>
#include <cstdint>

namespace proa::vmm {

// Order of CpuState::gpr: the encoding's (SDM 2A, table 2-1).
enum Gpr : uint8_t { kRax, kRcx, kRdx, kRbx, kRsp, kRbp, kRsi, kRdi, kR8, kR9, kR10, kR11, kR12, kR13, kR14, kR15 };

struct Segment {
  uint16_t selector = 0;
  // Bits 8-15 and 20-23 of the descriptor's second word: type:4 s:1 dpl:2 p:1 . . . . avl:1 l:1 db:1 g:1, shifted
  // right by 8: type 0-3, s 4, dpl 5-6, p 7, avl 12, l 13, db 14, g 15. Bit 16: unusable (null selector).
  uint32_t attributes = 0;
  uint32_t limit = 0;  // in bytes, granularity applied
  uint64_t base = 0;
};

struct DescriptorTable {
  uint64_t base = 0;
  uint16_t limit = 0;
};

// Order of CpuState::segments: the encoding's.
enum SegmentIndex : uint8_t { kEs, kCs, kSs, kDs, kFs, kGs };

struct CpuState {
  std::array<uint64_t, 16> gpr{};
  uint64_t rip = 0xfff0;
  uint64_t rflags = 2;
  std::array<Segment, 6> segments{};
  Segment ldtr, tr;
  DescriptorTable gdtr, idtr;
  uint64_t cr0 = 0x60000010, cr2 = 0, cr3 = 0, cr4 = 0, cr8 = 0, xcr0 = 1;
  std::array<uint64_t, 4> dr{};
  uint64_t dr6 = 0xffff0ff0, dr7 = 0x400;

  // MSRs
  uint64_t efer = 0, star = 0, lstar = 0, cstar = 0, sfmask = 0, kernel_gs_base = 0;
  uint64_t sysenter_cs = 0, sysenter_esp = 0, sysenter_eip = 0;
  uint64_t pat = 0x0007040600070406, misc_enable = 1, tsc_aux = 0;
  uint64_t tsc = 0;           // the guest's, at the moment of saving
  uint64_t tsc_deadline = 0;  // 0: none armed
  uint64_t apic_base = 0xfee00900;
  uint64_t kvm_system_time = 0, kvm_wall_clock = 0;  // as the guest wrote them (KVM paravirtual clock)
  uint64_t mtrr_def_type = 0;
  std::array<uint64_t, 16> mtrr_variable{};
  std::array<uint64_t, 11> mtrr_fixed{};

  // FXSAVE's 512 bytes (SDM 1, 10.5): x87, MXCSR, XMM.
  alignas(16) std::array<uint8_t, 512> fx{};

  // The local APIC's page of registers (SDM 3A, 10.4.1), of which the first KiB is used.
  // Without it set_state() leaves the LAPIC as reset made it.
  alignas(8) std::array<uint8_t, 1024> lapic{};
  bool has_lapic = false;

  // What is between instructions.
  struct Pending {
    bool exception = false, has_error = false;
    uint8_t vector = 0;
    uint32_t error = 0;
    bool interrupt = false;  // an external one, acknowledged and not yet begun
    uint8_t interrupt_vector = 0;
    bool interrupt_shadow = false;  // after STI, MOV SS, POP SS
    bool nmi_pending = false, nmi_blocked = false;
    // kWaitForSipi, kHalted: as MP state
    enum class Activity : uint8_t { kRunning, kHalted, kWaitForSipi } activity = Activity::kRunning;
  } pending;
};

}  // namespace proa::vmm
