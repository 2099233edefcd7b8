#include "vmm/machine/vcpu_state.h"

namespace proa::vmm {

namespace {

void transfer_segment(StateStream& s, Segment& segment) {
  s.value(segment.selector);
  s.value(segment.attributes);
  s.value(segment.limit);
  s.value(segment.base);
}

void transfer_pending(StateStream& s, CpuState::Pending& p) {
  for (bool* flag : {&p.exception, &p.has_error, &p.interrupt, &p.interrupt_shadow, &p.nmi_pending, &p.nmi_blocked})
    s.value(*flag);
  s.value(p.vector);
  s.value(p.error);
  s.value(p.interrupt_vector);
  auto activity = static_cast<uint8_t>(p.activity);
  s.value(activity);
  s.check(activity <= static_cast<uint8_t>(CpuState::Pending::Activity::kWaitForSipi), "activity");
  if (!s.failed()) p.activity = static_cast<CpuState::Pending::Activity>(activity);
}

}  // namespace

void transfer_vcpu(StateStream& s, CpuState& c) {
  s.section("vcpu", 1);
  s.value(c.gpr);
  for (Segment& segment : c.segments) transfer_segment(s, segment);
  transfer_segment(s, c.ldtr);
  transfer_segment(s, c.tr);
  for (DescriptorTable* table : {&c.gdtr, &c.idtr}) {
    s.value(table->base);
    s.value(table->limit);
  }
  for (uint64_t* field : {&c.rip,
                          &c.rflags,
                          &c.cr0,
                          &c.cr2,
                          &c.cr3,
                          &c.cr4,
                          &c.cr8,
                          &c.xcr0,
                          &c.dr6,
                          &c.dr7,
                          &c.efer,
                          &c.star,
                          &c.lstar,
                          &c.cstar,
                          &c.sfmask,
                          &c.kernel_gs_base,
                          &c.sysenter_cs,
                          &c.sysenter_esp,
                          &c.sysenter_eip,
                          &c.pat,
                          &c.misc_enable,
                          &c.tsc_aux,
                          &c.tsc,
                          &c.tsc_deadline,
                          &c.apic_base,
                          &c.kvm_system_time,
                          &c.kvm_wall_clock,
                          &c.mtrr_def_type})
    s.value(*field);
  s.value(c.dr);
  s.value(c.mtrr_variable);
  s.value(c.mtrr_fixed);
  s.value(c.fx);
  s.value(c.lapic);
  s.value(c.has_lapic);
  transfer_pending(s, c.pending);
}

}  // namespace proa::vmm
