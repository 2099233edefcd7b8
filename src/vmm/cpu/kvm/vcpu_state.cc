// A vCPU's state between KVM's structs and ours.
#include "vmm/cpu/kvm/vcpu.h"

namespace proa::vmm::kvm {

namespace {

// Members of CpuState that are model-specific registers (SDM 4, table 2-2; the last two are KVM's own).
struct MsrField {
  uint32_t index;
  uint64_t CpuState::* field;
};
constexpr MsrField kMsrs[] = {
    {0x10, &CpuState::tsc},
    {0x174, &CpuState::sysenter_cs},
    {0x175, &CpuState::sysenter_esp},
    {0x176, &CpuState::sysenter_eip},
    {0x277, &CpuState::pat},
    {0x2ff, &CpuState::mtrr_def_type},
    {0x1a0, &CpuState::misc_enable},
    {0xc0000081, &CpuState::star},
    {0xc0000082, &CpuState::lstar},
    {0xc0000083, &CpuState::cstar},
    {0xc0000084, &CpuState::sfmask},
    {0xc0000102, &CpuState::kernel_gs_base},
    {0xc0000103, &CpuState::tsc_aux},
    {0x4b564d01, &CpuState::kvm_system_time},
    {0x4b564d00, &CpuState::kvm_wall_clock},
    {0x6e0, &CpuState::tsc_deadline},
};
constexpr uint32_t kMtrrVariable = 0x200;
constexpr uint32_t kMtrrFixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

// Registers of CPUs that lack the feature are passed over: KVM stops at the first it does not know.
template <typename State, typename Act>
void each_msr(State& state, Act act) {
  for (const MsrField& msr : kMsrs) act(msr.index, state.*msr.field);
  for (uint32_t i = 0; i < state.mtrr_variable.size(); ++i) act(kMtrrVariable + i, state.mtrr_variable[i]);
  for (uint32_t i = 0; i < state.mtrr_fixed.size(); ++i) act(kMtrrFixed[i], state.mtrr_fixed[i]);
}

Result<> get_msrs(int fd, CpuState& state) {
  std::vector<std::pair<uint32_t, uint64_t*>> wanted;
  each_msr(state, [&](uint32_t index, uint64_t& field) { wanted.emplace_back(index, &field); });
  const WithEntries<kvm_msrs, kvm_msr_entry> list(wanted.size());
  for (size_t at = 0; at < wanted.size();) {
    list->nmsrs = static_cast<uint32_t>(wanted.size() - at);
    for (size_t i = at; i < wanted.size(); ++i) list.entries()[i - at].index = wanted[i].first;
    const auto done = static_cast<size_t>(TRY(KVM_CALL(fd, KVM_GET_MSRS, list.get())));
    for (size_t i = 0; i < done; ++i) *wanted[at + i].second = list.entries()[i].data;
    at += done + 1;
  }
  return {};
}

Result<> set_msrs(int fd, const CpuState& state) {
  std::vector<kvm_msr_entry> wanted;
  each_msr(state, [&](uint32_t index, uint64_t field) { wanted.push_back({index, 0, field}); });
  const WithEntries<kvm_msrs, kvm_msr_entry> list(wanted.size());
  for (size_t at = 0; at < wanted.size();) {
    list->nmsrs = static_cast<uint32_t>(wanted.size() - at);
    std::memcpy(list.entries(), &wanted[at], (wanted.size() - at) * sizeof(kvm_msr_entry));
    const auto done = static_cast<size_t>(TRY(KVM_CALL(fd, KVM_SET_MSRS, list.get())));
    at += done;
    if (at >= wanted.size()) break;
    // One that KVM refuses matters only if it has something to say.
    if (wanted[at].data != 0) return fail("vCPU: MSR ", wanted[at].index, " cannot be ", wanted[at].data, " here");
    ++at;
  }
  return {};
}

kvm_segment to_kvm(const Segment& s) {
  const auto bit = [&](unsigned at) { return static_cast<uint8_t>(s.attributes >> at & 1); };
  kvm_segment k{};
  k.base = s.base;
  k.limit = s.limit;
  k.selector = s.selector;
  k.type = s.attributes & 15;
  k.s = bit(4);
  k.dpl = s.attributes >> 5 & 3;
  k.present = bit(7);
  k.avl = bit(12);
  k.l = bit(13);
  k.db = bit(14);
  k.g = bit(15);
  k.unusable = bit(16);
  return k;
}

Segment from_kvm(const kvm_segment& k) {
  return {.selector = k.selector,
          .attributes = static_cast<uint32_t>(k.type | k.s << 4 | k.dpl << 5 | k.present << 7 | k.avl << 12 |
                                              k.l << 13 | k.db << 14 | k.g << 15 | k.unusable << 16),
          .limit = k.limit,
          .base = k.base};
}

// The one order of both: ours in CpuState::segments is the encoding's.
template <typename Sregs>
auto segments_of(Sregs& s) {
  return std::array{&s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs};
}
template <typename Regs>
auto registers_of(Regs& r) {
  return std::array{&r.rax, &r.rcx, &r.rdx, &r.rbx, &r.rsp, &r.rbp, &r.rsi, &r.rdi,
                    &r.r8,  &r.r9,  &r.r10, &r.r11, &r.r12, &r.r13, &r.r14, &r.r15};
}

void read_sregs(const kvm_sregs& s, CpuState& state) {
  for (size_t i = 0; i < 6; ++i) state.segments[i] = from_kvm(*segments_of(s)[i]);
  state.ldtr = from_kvm(s.ldt);
  state.tr = from_kvm(s.tr);
  state.gdtr = {s.gdt.base, s.gdt.limit};
  state.idtr = {s.idt.base, s.idt.limit};
  state.cr0 = s.cr0;
  state.cr2 = s.cr2;
  state.cr3 = s.cr3;
  state.cr4 = s.cr4;
  state.cr8 = s.cr8;
  state.efer = s.efer;
  state.apic_base = s.apic_base;
}

kvm_sregs make_sregs(const CpuState& state) {
  kvm_sregs s{};
  for (size_t i = 0; i < 6; ++i) *segments_of(s)[i] = to_kvm(state.segments[i]);
  s.ldt = to_kvm(state.ldtr);
  s.tr = to_kvm(state.tr);
  s.gdt = {.base = state.gdtr.base, .limit = state.gdtr.limit, .padding = {}};
  s.idt = {.base = state.idtr.base, .limit = state.idtr.limit, .padding = {}};
  s.cr0 = state.cr0;
  s.cr2 = state.cr2;
  s.cr3 = state.cr3;
  s.cr4 = state.cr4;
  s.cr8 = state.cr8;
  s.efer = state.efer;
  s.apic_base = state.apic_base;
  return s;
}

// The legacy region of XSAVE is FXSAVE's; its header says that x87 and SSE are there (SDM 1, 13.4).
constexpr size_t kXstateBv = 512 / 4;

Result<> get_fpu(int fd, CpuState& state) {
  kvm_xsave xsave{};
  TRY(KVM_CALL(fd, KVM_GET_XSAVE, &xsave));
  std::memcpy(state.fx.data(), xsave.region, state.fx.size());
  kvm_xcrs xcrs{};
  TRY(KVM_CALL(fd, KVM_GET_XCRS, &xcrs));
  if (xcrs.nr_xcrs > 0) state.xcr0 = xcrs.xcrs[0].value;
  return {};
}

Result<> set_fpu(int fd, const CpuState& state) {
  kvm_xsave xsave{};
  std::memcpy(xsave.region, state.fx.data(), state.fx.size());
  xsave.region[kXstateBv] = 3;
  TRY(KVM_CALL(fd, KVM_SET_XSAVE, &xsave));
  kvm_xcrs xcrs{};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = state.xcr0;
  TRY(KVM_CALL(fd, KVM_SET_XCRS, &xcrs));
  return {};
}

using Activity = CpuState::Pending::Activity;

Result<> get_pending(int fd, CpuState::Pending& pending) {
  kvm_vcpu_events events{};
  TRY(KVM_CALL(fd, KVM_GET_VCPU_EVENTS, &events));
  pending.exception = events.exception.injected != 0;
  pending.has_error = events.exception.has_error_code != 0;
  pending.vector = events.exception.nr;
  pending.error = events.exception.error_code;
  pending.interrupt_shadow = events.interrupt.shadow != 0;
  pending.nmi_pending = events.nmi.pending != 0 || events.nmi.injected != 0;
  pending.nmi_blocked = events.nmi.masked != 0;
  pending.interrupt = events.interrupt.injected != 0;
  pending.interrupt_vector = events.interrupt.nr;
  kvm_mp_state mp{};
  TRY(KVM_CALL(fd, KVM_GET_MP_STATE, &mp));
  pending.activity = mp.mp_state == KVM_MP_STATE_RUNNABLE ? Activity::kRunning
                     : mp.mp_state == KVM_MP_STATE_HALTED ? Activity::kHalted
                                                          : Activity::kWaitForSipi;
  return {};
}

Result<> set_pending(int fd, const CpuState::Pending& pending) {
  kvm_vcpu_events events{};
  events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
  events.exception.injected = pending.exception ? 1 : 0;
  events.exception.has_error_code = pending.has_error ? 1 : 0;
  events.exception.nr = pending.vector;
  events.exception.error_code = pending.error;
  events.interrupt.shadow = pending.interrupt_shadow ? KVM_X86_SHADOW_INT_STI : 0;
  events.interrupt.injected = pending.interrupt ? 1 : 0;
  events.interrupt.nr = pending.interrupt_vector;
  events.nmi.pending = pending.nmi_pending ? 1 : 0;
  events.nmi.masked = pending.nmi_blocked ? 1 : 0;
  TRY(KVM_CALL(fd, KVM_SET_VCPU_EVENTS, &events));
  kvm_mp_state mp{};
  mp.mp_state = pending.activity == Activity::kRunning  ? KVM_MP_STATE_RUNNABLE
                : pending.activity == Activity::kHalted ? KVM_MP_STATE_HALTED
                                                        : KVM_MP_STATE_UNINITIALIZED;
  TRY(KVM_CALL(fd, KVM_SET_MP_STATE, &mp));
  return {};
}

Result<> get_debug(int fd, CpuState& state) {
  kvm_debugregs debug{};
  TRY(KVM_CALL(fd, KVM_GET_DEBUGREGS, &debug));
  for (size_t i = 0; i < 4; ++i) state.dr[i] = debug.db[i];
  state.dr6 = debug.dr6;
  state.dr7 = debug.dr7;
  return {};
}

Result<> set_debug(int fd, const CpuState& state) {
  kvm_debugregs debug{};
  for (size_t i = 0; i < 4; ++i) debug.db[i] = state.dr[i];
  debug.dr6 = state.dr6;
  debug.dr7 = state.dr7;
  TRY(KVM_CALL(fd, KVM_SET_DEBUGREGS, &debug));
  return {};
}

}  // namespace

Result<CpuState> KvmVcpu::state() {
  CpuState state;
  kvm_regs regs{};
  TRY(KVM_CALL(fd_.get(), KVM_GET_REGS, &regs));
  for (size_t i = 0; i < 16; ++i) state.gpr[i] = *registers_of(regs)[i];
  state.rip = regs.rip;
  state.rflags = regs.rflags;
  // First what may change the rest: MP state takes a pending SIPI in.
  TRY(get_pending(fd_.get(), state.pending));
  kvm_sregs sregs{};
  TRY(KVM_CALL(fd_.get(), KVM_GET_SREGS, &sregs));
  read_sregs(sregs, state);
  TRY(get_fpu(fd_.get(), state));
  TRY(get_debug(fd_.get(), state));
  TRY(get_msrs(fd_.get(), state));
  kvm_lapic_state lapic{};
  TRY(KVM_CALL(fd_.get(), KVM_GET_LAPIC, &lapic));
  static_assert(sizeof lapic.regs == sizeof state.lapic);
  std::memcpy(state.lapic.data(), lapic.regs, state.lapic.size());
  state.has_lapic = true;
  return state;
}

Result<> KvmVcpu::set_state(const CpuState& state) {
  kvm_sregs sregs = make_sregs(state);
  TRY_CTX(KVM_CALL(fd_.get(), KVM_SET_SREGS, &sregs), "vCPU ", id_);
  kvm_regs regs{};
  for (size_t i = 0; i < 16; ++i) *registers_of(regs)[i] = state.gpr[i];
  regs.rip = state.rip;
  regs.rflags = state.rflags;
  TRY(KVM_CALL(fd_.get(), KVM_SET_REGS, &regs));
  TRY(set_fpu(fd_.get(), state));
  TRY(set_debug(fd_.get(), state));
  if (state.has_lapic) {
    kvm_lapic_state lapic{};
    std::memcpy(lapic.regs, state.lapic.data(), state.lapic.size());
    TRY(KVM_CALL(fd_.get(), KVM_SET_LAPIC, &lapic));
  }
  TRY(set_msrs(fd_.get(), state));  // after the LAPIC: the deadline's timer is its
  return set_pending(fd_.get(), state.pending);
}

Result<uint64_t> KvmVcpu::msr(uint32_t index) {
  const WithEntries<kvm_msrs, kvm_msr_entry> one(1);
  one->nmsrs = 1;
  one.entries()[0].index = index;
  if (TRY(KVM_CALL(fd_.get(), KVM_GET_MSRS, one.get())) != 1) return fail("KVM has no MSR ", index);
  return one.entries()[0].data;
}

Result<> KvmVcpu::set_msr(uint32_t index, uint64_t value) {
  const WithEntries<kvm_msrs, kvm_msr_entry> one(1);
  one->nmsrs = 1;
  one.entries()[0] = {index, 0, value};
  if (TRY(KVM_CALL(fd_.get(), KVM_SET_MSRS, one.get())) != 1) return fail("MSR ", index, " cannot be ", value, " here");
  return {};
}

}  // namespace proa::vmm::kvm
