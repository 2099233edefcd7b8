// System instructions: descriptor tables, control, debug and model-specific registers, SYSCALL and kin, CPUID.
#include "vmm/cpu/translator/core.h"

namespace proa::vmm::translator {

namespace {

constexpr uint64_t kCr4Allowed =
    kCr4Vme | kCr4Pvi | kCr4Tsd | kCr4De | kCr4Pse | kCr4Pae | kCr4Mce | kCr4Pge | kCr4Pce | kCr4OsFxsr | kCr4OsXmm;
constexpr uint64_t kEferAllowed = kEferSce | kEferLme | kEferNxe | kEferLma;

enum Msr : uint32_t {
  kMsrTsc = 0x10,
  kMsrPlatformId = 0x17,
  kMsrApicBase = 0x1b,
  kMsrFeatureControl = 0x3a,
  kMsrTscAdjust = 0x3b,
  kMsrUcodeRev = 0x8b,
  kMsrMtrrCap = 0xfe,
  kMsrArchCapabilities = 0x10a,
  kMsrSysenterCs = 0x174,
  kMsrSysenterEsp = 0x175,
  kMsrSysenterEip = 0x176,
  kMsrMcgCap = 0x179,
  kMsrMcgStatus = 0x17a,
  kMsrMiscEnable = 0x1a0,
  kMsrDebugCtl = 0x1d9,
  kMsrMtrrBase = 0x200,
  kMsrPat = 0x277,
  kMsrMtrrDefType = 0x2ff,
  kMsrTscDeadline = 0x6e0,
  kMsrX2apic = 0x800,
  kMsrX2apicEnd = 0x8ff,
  kMsrEfer = 0xc0000080,
  kMsrStar = 0xc0000081,
  kMsrLstar = 0xc0000082,
  kMsrCstar = 0xc0000083,
  kMsrFmask = 0xc0000084,
  kMsrFsBase = 0xc0000100,
  kMsrGsBase = 0xc0000101,
  kMsrKernelGsBase = 0xc0000102,
  kMsrTscAux = 0xc0000103,
  kMsrKvmWallClockOld = 0x11,
  kMsrKvmSystemTimeOld = 0x12,
  kMsrKvmWallClock = 0x4b564d00,
  kMsrKvmSystemTime = 0x4b564d01,
  kMsrKvmPollControl = 0x4b564d05
};
// The fixed-range MTRRs in the order of CpuState::mtrr_fixed.
int fixed_mtrr(uint32_t number) {
  constexpr std::array<uint32_t, 11> kNumbers = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                                 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
  for (unsigned i = 0; i < kNumbers.size(); ++i)
    if (kNumbers[i] == number) return static_cast<int>(i);
  return -1;
}
bool valid_memory_type(uint64_t type) { return type == 0 || type == 1 || (type >= 4 && type <= 6); }
bool valid_pat(uint64_t value) {
  for (unsigned i = 0; i < 8; ++i) {
    const uint64_t type = value >> (8 * i) & 0xff;
    if (!valid_memory_type(type) && type != 7) return false;
  }
  return true;
}

}  // namespace

Guest<> Core::system_table(const Insn& insn) {
  if (!(s_.cr0 & kCr0Pe) || (c_.system & kFlagVm)) return raise(kUd);
  switch (insn.ext()) {
    case 0:
    case 1:
      count(ExitCause::kSensitive);
      if ((s_.cr4 & kCr4Umip) && cpl_ > 0) return raise(kGp, 0);
      return write_rm(insn, insn.has_memory ? 2 : insn.operand_size,
                      insn.ext() == 0 ? s_.ldtr.selector : s_.tr.selector);
    case 2: return load_table_register(insn, false);
    case 3: return load_table_register(insn, true);
    default: return verify(insn);
  }
}

Guest<> Core::system_registers(const Insn& insn) {
  count(ExitCause::kSensitive);
  if (!insn.has_memory && (insn.ext() < 4 || insn.ext() == 5 || insn.ext() == 7)) {
    switch (insn.modrm) {
      case 0xc1:  // VMCALL: no hypercall is offered
        if (cpl_ != 0) {
          c_.gpr[kRax] = static_cast<uint64_t>(-1);
          return {};
        }
        c_.gpr[kRax] = static_cast<uint64_t>(-1000);
        return {};
      case 0xf8:
        if (insn.size != CodeSize::k64) return raise(kUd);
        TRY(privileged());
        std::swap(c_.gs_base, c_.kernel_gs_base);
        return {};
      case 0xf9: return time_stamp(true);
      default: return raise(kUd);
    }
  }
  const unsigned width = insn.size == CodeSize::k64 ? 8 : 4;
  const bool umip = (s_.cr4 & kCr4Umip) && cpl_ > 0;
  switch (insn.ext()) {
    case 0:
    case 1: {
      if (umip) return raise(kGp, 0);
      const DescriptorTable& table = insn.ext() == 0 ? s_.gdtr : s_.idtr;
      const uint64_t at = TRY(address(insn, 2 + width, true));
      std::array<uint8_t, 10> bytes{};
      std::memcpy(bytes.data(), &table.limit, 2);
      std::memcpy(bytes.data() + 2, &table.base, 8);
      return mmu_.store(at, bytes.data(), 2 + width, user());
    }
    case 2:
    case 3: {
      TRY(privileged());
      const uint64_t at = TRY(address(insn, 2 + width, false));
      std::array<uint8_t, 10> bytes{};
      TRY(mmu_.load(at, bytes.data(), 2 + width, user()));
      DescriptorTable table;
      std::memcpy(&table.limit, bytes.data(), 2);
      std::memcpy(&table.base, bytes.data() + 2, width);
      if (insn.operand_size == 2 && width == 4) table.base &= 0xffffff;
      if (!mmu_.canonical(table.base)) return raise(kGp, 0);
      (insn.ext() == 2 ? s_.gdtr : s_.idtr) = table;
      return {};
    }
    case 4:
      if (umip) return raise(kGp, 0);
      return write_rm(insn, insn.has_memory ? 2 : insn.operand_size, s_.cr0);
    case 6: {
      TRY(privileged());
      const uint64_t value = TRY(read_rm(insn, 2));
      // LMSW sets PE but never clears it.
      return write_cr0((s_.cr0 & ~0xeULL) | (value & 0xf));
    }
    default: {
      TRY(privileged());
      const uint64_t offset = effective(insn);
      uint64_t at = offset;
      if (insn.size != CodeSize::k64)
        at = (s_.segments[segment_of(insn)].base + offset) & 0xffffffff;
      else if (insn.segment == kFs || insn.segment == kGs)
        at += insn.segment == kFs ? c_.fs_base : c_.gs_base;
      if (!mmu_.canonical(at)) return {};
      on_flush(mmu_.invalidate(at) ? Flush::kGlobal : Flush::kPage, at);
      return {};
    }
  }
}

Guest<> Core::check_pdptes(uint64_t cr3) {
  if (long_mode() || !(s_.cr0 & kCr0Pg) || !(s_.cr4 & kCr4Pae)) return {};
  for (unsigned i = 0; i < 4; ++i) {
    const auto entry = memory_.load<uint64_t>((cr3 & 0xffffffe0) + 8 * i);
    if (entry && (*entry & 1) && (*entry & 0x1e6)) return raise(kGp, 0);
  }
  return {};
}

Guest<> Core::write_cr0(uint64_t value) {
  if ((value & kCr0Pg && !(value & kCr0Pe)) || (value & kCr0Nw && !(value & kCr0Cd)) || value >> 32)
    return raise(kGp, 0);
  value = (value & 0xe005003f) | kCr0Et;
  const uint64_t changed = s_.cr0 ^ value;
  if (changed & kCr0Pg) {
    if (value & kCr0Pg) {
      if (s_.efer & kEferLme) {
        if (!(s_.cr4 & kCr4Pae) || (s_.segments[kCs].attributes & kSegL)) return raise(kGp, 0);
        s_.efer |= kEferLma;
      } else {
        const uint64_t old = s_.cr0;
        s_.cr0 = value;
        if (auto good = check_pdptes(s_.cr3); !good) {
          s_.cr0 = old;
          return good;
        }
      }
    } else {
      if (code_size() == CodeSize::k64) return raise(kGp, 0);
      s_.efer &= ~uint64_t{kEferLma};
    }
  }
  s_.cr0 = value;
  if (changed & kCr0Pe) set_cpl(value & kCr0Pe ? s_.segments[kCs].selector & 3 : 0);
  if (changed & kCr0Pe && value & kCr0Pe) set_cpl(0);
  if (value & (kCr0Ts | kCr0Em)) c_.fpu_dead = 1;
  if (changed & (kCr0Pg | kCr0Wp | kCr0Pe)) {
    mmu_.flush(true);
    on_flush(Flush::kGlobal, 0);
  }
  return {};
}

Guest<> Core::write_cr3(uint64_t value) {
  if (value & ~0x3fffffffffffULL & ~(1ULL << 63)) return raise(kGp, 0);
  if (value >> 63) return raise(kGp, 0);  // without PCID
  TRY(check_pdptes(value));
  s_.cr3 = value;
  const bool global = !(s_.cr4 & kCr4Pge);
  mmu_.flush(global);
  on_flush(global ? Flush::kGlobal : Flush::kLocal, 0);
  return {};
}

Guest<> Core::write_cr4(uint64_t value) {
  uint64_t allowed = kCr4Allowed;
  for (const CpuidLeaf& leaf : cpuid_) {
    if (leaf.leaf != 7 || leaf.subleaf != 0) continue;
    if (leaf.ebx & 1 << 7) allowed |= kCr4Smep;
    if (leaf.ebx & 1 << 20) allowed |= kCr4Smap;
    if (leaf.ecx & 1 << 2) allowed |= kCr4Umip;
  }
  if (value & ~allowed) return raise(kGp, 0);
  if (long_mode() && !(value & kCr4Pae)) return raise(kGp, 0);
  const uint64_t changed = s_.cr4 ^ value;
  const uint64_t old = s_.cr4;
  s_.cr4 = value;
  if (changed & (kCr4Pae | kCr4Pse | kCr4Pge | kCr4Smep)) {
    if (auto good = check_pdptes(s_.cr3); !good) {
      s_.cr4 = old;
      return good;
    }
  }
  if (changed & (kCr4Pae | kCr4Pse | kCr4Pge | kCr4Smep | kCr4Smap)) {
    mmu_.flush(true);
    on_flush(Flush::kGlobal, 0);
  }
  if (changed & kCr4OsFxsr) c_.fpu_dead = 1;
  return {};
}

Guest<> Core::control_register(const Insn& insn) {
  TRY(privileged());
  count(ExitCause::kControlRegister);
  const unsigned number = insn.reg() | (insn.lock ? 8 : 0);
  const unsigned size = insn.size == CodeSize::k64 ? 8 : 4;
  if (insn.code == (kMap0F | 0x20)) {
    uint64_t value = 0;
    switch (number) {
      case 0: value = s_.cr0; break;
      case 2: value = s_.cr2; break;
      case 3: value = s_.cr3; break;
      case 4: value = s_.cr4; break;
      case 8: value = out_.task_priority(); break;
      default: return raise(kUd);
    }
    set_reg(insn.rm(), size, value);
    return {};
  }
  const uint64_t value = reg(insn.rm(), size);
  switch (number) {
    case 0: return write_cr0(value);
    case 2: s_.cr2 = value; return {};
    case 3: return write_cr3(value);
    case 4: return write_cr4(value);
    case 8:
      if (value > 15) return raise(kGp, 0);
      out_.set_task_priority(static_cast<uint8_t>(value));
      return {};
    default: return raise(kUd);
  }
}

Guest<> Core::debug_register(const Insn& insn) {
  TRY(privileged());
  unsigned number = insn.reg();
  if (number > 7) return raise(kUd);
  if ((number == 4 || number == 5) && (s_.cr4 & kCr4De)) return raise(kUd);
  if (number == 4 || number == 5) number += 2;
  if (s_.dr7 & 1 << 13) {  // general detect
    s_.dr7 &= ~uint64_t{1 << 13};
    return std::unexpected(Fault{.vector = kDb, .address = 1 << 13});
  }
  const unsigned size = insn.size == CodeSize::k64 ? 8 : 4;
  if (insn.code == (kMap0F | 0x21)) {
    set_reg(insn.rm(), size, number < 4 ? s_.dr[number] : number == 6 ? s_.dr6 : s_.dr7);
    return {};
  }
  const uint64_t value = reg(insn.rm(), size);
  if (number >= 6 && value >> 32) return raise(kGp, 0);
  if (number < 4)
    s_.dr[number] = value;
  else if (number == 6)
    s_.dr6 = (value & 0xe00f) | 0xffff0ff0;
  else
    s_.dr7 = (value & 0xffff2bff) | 0x400;
  return {};
}

Guest<uint64_t> Core::msr(uint32_t number) {
  if (const auto given = given_msrs_.find(number); given != given_msrs_.end()) return given->second;
  if (number >= kMsrX2apic && number <= kMsrX2apicEnd) return out_.read_apic_msr(number);
  if (const int fixed = fixed_mtrr(number); fixed >= 0) return s_.mtrr_fixed[static_cast<unsigned>(fixed)];
  if (number >= kMsrMtrrBase && number < kMsrMtrrBase + 16) return s_.mtrr_variable[number - kMsrMtrrBase];
  switch (number) {
    case kMsrTsc: return out_.tsc();
    case kMsrApicBase:
    case kMsrTscDeadline: return out_.read_apic_msr(number);
    case kMsrEfer: return s_.efer;
    case kMsrStar: return s_.star;
    case kMsrLstar: return s_.lstar;
    case kMsrCstar: return s_.cstar;
    case kMsrFmask: return s_.sfmask;
    case kMsrFsBase: return c_.fs_base;
    case kMsrGsBase: return c_.gs_base;
    case kMsrKernelGsBase: return c_.kernel_gs_base;
    case kMsrTscAux: return s_.tsc_aux;
    case kMsrSysenterCs: return s_.sysenter_cs;
    case kMsrSysenterEsp: return s_.sysenter_esp;
    case kMsrSysenterEip: return s_.sysenter_eip;
    case kMsrPat: return s_.pat;
    case kMsrMiscEnable: return s_.misc_enable;
    case kMsrMtrrCap: return 0x508;
    case kMsrMtrrDefType: return s_.mtrr_def_type;
    case kMsrUcodeRev: return 0x100000000ULL;
    // Not open to Meltdown, L1TF, MDS, TAA and kin: those are the host's matter.
    case kMsrArchCapabilities: return 0xd10e169;
    case kMsrKvmSystemTime:
    case kMsrKvmSystemTimeOld: return s_.kvm_system_time;
    case kMsrKvmWallClock:
    case kMsrKvmWallClockOld: return s_.kvm_wall_clock;
    case kMsrKvmPollControl: return 1;
    case kMsrFeatureControl: return 1;  // locked
    case kMsrTscAdjust:
    case kMsrPlatformId:
    case kMsrMcgCap:
    case kMsrMcgStatus:
    case kMsrDebugCtl: return 0;
    default: return raise(kGp, 0);
  }
}

Guest<> Core::set_msr(uint32_t number, uint64_t value) {
  if (number >= kMsrX2apic && number <= kMsrX2apicEnd) return out_.write_apic_msr(number, value);
  if (const int fixed = fixed_mtrr(number); fixed >= 0) {
    s_.mtrr_fixed[static_cast<unsigned>(fixed)] = value;
    return {};
  }
  if (number >= kMsrMtrrBase && number < kMsrMtrrBase + 16) {
    s_.mtrr_variable[number - kMsrMtrrBase] = value;
    return {};
  }
  const auto canonical = [&](uint64_t& to) -> Guest<> {
    if (static_cast<uint64_t>(static_cast<int64_t>(value << 16) >> 16) != value) return raise(kGp, 0);
    to = value;
    return {};
  };
  switch (number) {
    case kMsrTsc: out_.set_tsc(value); return {};
    case kMsrApicBase:
    case kMsrTscDeadline: return out_.write_apic_msr(number, value);
    case kMsrEfer: {
      if (value & ~kEferAllowed) return raise(kGp, 0);
      if ((s_.cr0 & kCr0Pg) && ((value ^ s_.efer) & kEferLme)) return raise(kGp, 0);
      const uint64_t changed = (value ^ s_.efer) & kEferNxe;
      s_.efer = (value & ~uint64_t{kEferLma}) | (s_.efer & kEferLma);
      if (changed) {
        mmu_.flush(true);
        on_flush(Flush::kGlobal, 0);
      }
      return {};
    }
    case kMsrStar: s_.star = value; return {};
    case kMsrLstar: return canonical(s_.lstar);
    case kMsrCstar: return canonical(s_.cstar);
    case kMsrFmask: s_.sfmask = value; return {};
    case kMsrFsBase: return canonical(c_.fs_base);
    case kMsrGsBase: return canonical(c_.gs_base);
    case kMsrKernelGsBase: return canonical(c_.kernel_gs_base);
    case kMsrTscAux:
      if (value >> 32) return raise(kGp, 0);
      s_.tsc_aux = value;
      return {};
    case kMsrSysenterCs: s_.sysenter_cs = value; return {};
    case kMsrSysenterEsp: return canonical(s_.sysenter_esp);
    case kMsrSysenterEip: return canonical(s_.sysenter_eip);
    case kMsrPat:
      if (!valid_pat(value)) return raise(kGp, 0);
      s_.pat = value;
      return {};
    case kMsrMiscEnable: s_.misc_enable = value; return {};
    case kMsrMtrrDefType:
      if (!valid_memory_type(value & 0xff) || value & ~0xcffULL) return raise(kGp, 0);
      s_.mtrr_def_type = value;
      return {};
    case kMsrKvmSystemTime:
    case kMsrKvmSystemTimeOld:
      s_.kvm_system_time = value;
      out_.clock_msr(number, value);
      return {};
    case kMsrKvmWallClock:
    case kMsrKvmWallClockOld:
      s_.kvm_wall_clock = value;
      out_.clock_msr(number, value);
      return {};
    case kMsrUcodeRev:
    case kMsrTscAdjust:
    case kMsrMcgStatus:
    case kMsrDebugCtl:
    case kMsrKvmPollControl: return {};
    default: return raise(kGp, 0);
  }
}

void Core::give_msr(uint32_t number, uint64_t value) {
  given_msrs_.erase(number);
  if (const auto done = set_msr(number, value); done && (number == kMsrTsc || msr(number) == value)) return;
  given_msrs_[number] = value;
}

Guest<> Core::read_msr() {
  TRY(privileged());
  count(ExitCause::kMsr);
  const uint64_t value = TRY(msr(static_cast<uint32_t>(c_.gpr[kRcx])));
  c_.gpr[kRax] = value & 0xffffffff;
  c_.gpr[kRdx] = value >> 32;
  return {};
}
Guest<> Core::write_msr() {
  TRY(privileged());
  count(ExitCause::kMsr);
  return set_msr(static_cast<uint32_t>(c_.gpr[kRcx]), c_.gpr[kRdx] << 32 | (c_.gpr[kRax] & 0xffffffff));
}

Guest<> Core::syscall() {
  if (!(s_.efer & kEferSce) || code_size() != CodeSize::k64) return raise(kUd);
  c_.gpr[kRcx] = next_;
  c_.gpr[kR11] = rflags() & ~uint64_t{kFlagRf};
  set_rflags(rflags() & ~s_.sfmask & ~uint64_t{kFlagRf});
  const auto selector = static_cast<uint16_t>(s_.star >> 32 & 0xfffc);
  flat_segment(kCs, selector, 0xa09b);
  flat_segment(kSs, static_cast<uint16_t>(selector + 8), 0xc093);
  set_cpl(0);
  next_ = s_.lstar;
  return {};
}

Guest<> Core::sysret(const Insn& insn) {
  if (!(s_.efer & kEferSce) || code_size() != CodeSize::k64) return raise(kUd);
  TRY(privileged());
  const auto base = static_cast<uint16_t>(s_.star >> 48);
  const uint64_t target = insn.rex_w ? c_.gpr[kRcx] : c_.gpr[kRcx] & 0xffffffff;
  if (!mmu_.canonical(target)) return raise(kGp, 0);
  if (insn.rex_w)
    flat_segment(kCs, static_cast<uint16_t>((base + 16) | 3), 0xa0fb);
  else
    flat_segment(kCs, base | 3, 0xc0fb);
  flat_segment(kSs, static_cast<uint16_t>((base + 8) | 3), 0xc0f3);
  set_rflags((c_.gpr[kR11] & 0x3c7fd7) | 2);
  set_cpl(3);
  next_ = target;
  return {};
}

Guest<> Core::sysenter() {
  if (!(s_.cr0 & kCr0Pe) || (s_.sysenter_cs & 0xfffc) == 0) return raise(kGp, 0);
  c_.system &= ~uint64_t{kFlagVm | kFlagIf | kFlagRf};
  const auto selector = static_cast<uint16_t>(s_.sysenter_cs & 0xfffc);
  const bool is_long = long_mode();
  flat_segment(kCs, selector, is_long ? 0xa09b : 0xc09b);
  flat_segment(kSs, static_cast<uint16_t>(selector + 8), 0xc093);
  set_cpl(0);
  c_.gpr[kRsp] = is_long ? s_.sysenter_esp : s_.sysenter_esp & 0xffffffff;
  next_ = is_long ? s_.sysenter_eip : s_.sysenter_eip & 0xffffffff;
  return {};
}

Guest<> Core::sysexit(const Insn& insn) {
  if ((s_.sysenter_cs & 0xfffc) == 0 || !(s_.cr0 & kCr0Pe)) return raise(kGp, 0);
  TRY(privileged());
  const auto base = static_cast<uint16_t>(s_.sysenter_cs & 0xfffc);
  const uint64_t mask = insn.rex_w ? ~0ULL : 0xffffffff;
  if (insn.rex_w && (!mmu_.canonical(c_.gpr[kRdx]) || !mmu_.canonical(c_.gpr[kRcx]))) return raise(kGp, 0);
  flat_segment(kCs, static_cast<uint16_t>((base + (insn.rex_w ? 32 : 16)) | 3), insn.rex_w ? 0xa0fb : 0xc0fb);
  flat_segment(kSs, static_cast<uint16_t>((base + (insn.rex_w ? 40 : 24)) | 3), 0xc0f3);
  set_cpl(3);
  c_.gpr[kRsp] = c_.gpr[kRcx] & mask;
  next_ = c_.gpr[kRdx] & mask;
  return {};
}

Guest<> Core::cpuid() {
  count(ExitCause::kCpuid);
  const auto leaf = static_cast<uint32_t>(c_.gpr[kRax]), subleaf = static_cast<uint32_t>(c_.gpr[kRcx]);
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  for (const CpuidLeaf& entry : cpuid_) {
    if (entry.leaf != leaf || (entry.by_subleaf && entry.subleaf != subleaf)) continue;
    eax = entry.eax, ebx = entry.ebx, ecx = entry.ecx, edx = entry.edx;
    break;
  }
  if (leaf == 1) {  // what the guest itself switches
    if (auto base = out_.read_apic_msr(kMsrApicBase); base && !(*base & 0x800)) edx &= ~(1U << 9);
  }
  if (leaf == 0xb) ecx = (ecx & ~0xffU) | (subleaf & 0xff);
  c_.gpr[kRax] = eax, c_.gpr[kRbx] = ebx, c_.gpr[kRcx] = ecx, c_.gpr[kRdx] = edx;
  return {};
}

Guest<> Core::time_stamp(bool with_aux) {
  count(ExitCause::kSensitive);
  if ((s_.cr4 & kCr4Tsd) && cpl_ > 0) return raise(kGp, 0);
  const uint64_t now = out_.tsc();
  c_.gpr[kRax] = now & 0xffffffff;
  c_.gpr[kRdx] = now >> 32;
  if (with_aux) c_.gpr[kRcx] = s_.tsc_aux & 0xffffffff;
  return {};
}

Core::Core(Context& context, CodeCache& code, GuestMemory& memory, Mmu::Outside outside, Surroundings surroundings,
           const std::vector<CpuidLeaf>& cpuid)
    : c_(context),
      code_(code),
      memory_(memory),
      mmu_(context, s_, memory, std::move(outside)),
      out_(std::move(surroundings)),
      cpuid_(cpuid) {
  on_flush = [](Flush, uint64_t) {};
  c_.page_mask = ~(kPageSize - 1);
  c_.status_mask = kStatusFlags;
  c_.default_mxcsr = 0x1f80;
  c_.fpu_dead = 1;
  c_.run = 1;
  c_.interruptible = 1;
  c_.call_rsp = code_.call_stack_base();
}

void Core::save() {
  s_.gpr = c_.gpr;
  s_.rip = c_.rip;
  s_.rflags = rflags();
  s_.fx = c_.fx;
  s_.segments[kFs].base = c_.fs_base;
  s_.segments[kGs].base = c_.gs_base;
  s_.kernel_gs_base = c_.kernel_gs_base;
  s_.tsc = out_.tsc();
  s_.cr8 = out_.task_priority();
}

void Core::restore(const CpuState& state) {
  s_ = state;
  c_.gpr = state.gpr;
  c_.rip = state.rip;
  set_rflags(state.rflags);
  c_.fx = state.fx;
  uint32_t mxcsr = 0;
  std::memcpy(&mxcsr, c_.fx.data() + 24, 4);
  bool empty = true;
  for (unsigned i = 0; i < 32; ++i) empty = empty && c_.fx[i] == 0;
  if (empty) {  // as after reset
    c_.fx[0] = 0x7f, c_.fx[1] = 0x03;
    mxcsr = 0x1f80;
  }
  mxcsr &= 0xffff;
  std::memcpy(c_.fx.data() + 24, &mxcsr, 4);
  c_.fs_base = state.segments[kFs].base;
  c_.gs_base = state.segments[kGs].base;
  c_.kernel_gs_base = state.kernel_gs_base;
  c_.fpu_dead = 1;
  cpl_ = s_.cr0 & kCr0Pe ? (state.rflags & kFlagVm ? 3 : state.segments[kSs].attributes >> 5 & 3) : 0;
  if (s_.cr0 & kCr0Pe) cpl_ = state.rflags & kFlagVm ? 3 : state.segments[kCs].selector & 3;
  out_.set_tsc(state.tsc);
  mmu_.flush(true);
  on_flush(Flush::kGlobal, 0);
}

}  // namespace proa::vmm::translator
