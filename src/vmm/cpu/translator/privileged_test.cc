// Ring 0: directed tests of what a kernel does to its processor. The code is assembled here, runs at ring 0 at kCode
// and ends in INT3.
#include <gtest/gtest.h>

#include "vmm/cpu/translator/differential_test.h"

namespace proa::vmm::translator::differential {
namespace {

// A piece of code between two labels.
#define GUEST_CODE(name, text)                           \
  extern "C" const uint8_t name##_begin[], name##_end[]; \
  __asm__(".pushsection .rodata\n" #name "_begin:\n" text "\nint3\n" #name "_end:\n.popsection\n");

GUEST_CODE(guest_msr,
           "mov $0xc0000082, %ecx; mov $0x12345678, %eax; mov $0xffff8000, %edx; wrmsr\n"
           "xor %eax, %eax; xor %edx, %edx; rdmsr")
GUEST_CODE(guest_msr_bad, "mov $0xc0000082, %ecx; xor %eax, %eax; mov $0x00800000, %edx; wrmsr")
GUEST_CODE(guest_msr_unknown, "mov $0x12345, %ecx; rdmsr")
GUEST_CODE(guest_paging_off, "mov %cr0, %rax; btr $31, %rax; mov %rax, %cr0")
// The first data page's entry becomes read-only; then a store with and without CR0.WP.
GUEST_CODE(guest_write_protect,
           "andq $~2, (%rsi); invlpg (%rdi)\n"
           "mov %cr0, %rax; btr $16, %rax; mov %rax, %cr0; movb $1, (%rdi)\n"
           "bts $16, %rax; mov %rax, %cr0; movb $2, (%rdi)")
// The first data page is mapped where the second was; before and after CR3 is loaded.
GUEST_CODE(guest_remap,
           "mov (%rdi), %r8; mov 8(%rsi), %rax; mov %rax, (%rsi); mov %cr3, %rax; mov %rax, %cr3; mov (%rdi), %r9")
GUEST_CODE(guest_remap_page, "mov (%rdi), %r8; mov 8(%rsi), %rax; mov %rax, (%rsi); invlpg (%rdi); mov (%rdi), %r9")
// The immediate of an instruction that runs next, and then again.
GUEST_CODE(guest_self_modifying,
           "mov $3, %ecx; xor %eax, %eax\n"
           "1: mov $1, %edx; add %edx, %eax; incb 1b+1(%rip); dec %ecx; jnz 1b")
GUEST_CODE(guest_swapgs,
           "mov $0xc0000102, %ecx; mov $0x30001000, %eax; xor %edx, %edx; wrmsr; swapgs; mov %gs:0, %rax; swapgs")
// To ring 3 by SYSRET and back by SYSCALL.
GUEST_CODE(guest_syscall,
           "mov $0xc0000081, %ecx; xor %eax, %eax; mov $0x00130008, %edx; wrmsr\n"
           "lea 2f(%rip), %rax; mov %rax, %rdx; shr $32, %rdx; mov $0xc0000082, %ecx; wrmsr\n"
           "lea 1f(%rip), %rcx; mov $0x202, %r11d; sysretq\n"
           "1: mov %cs, %ebx; syscall\n"
           "2: mov %cs, %eax")
GUEST_CODE(guest_iret,
           "lea 1f(%rip), %rax; mov %rsp, %rdx; push $0x1b; push %rdx; push $0x202; push $0x23; push %rax; iretq\n"
           "1: mov %cs, %eax")
GUEST_CODE(guest_flags,
           "pushfq; pop %rax; cli; pushfq; pop %rbx; sti; pushfq; pop %rcx; push $2; popfq; pushfq; pop %rdx")
// The deadline timer of the x2APIC through vector 0x40.
GUEST_CODE(guest_timer,
           "mov $0x1b, %ecx; rdmsr; or $0x400, %eax; wrmsr\n"
           "mov $0x80f, %ecx; mov $0x1ff, %eax; xor %edx, %edx; wrmsr\n"
           "mov $0x832, %ecx; mov $0x40040, %eax; wrmsr\n"
           "rdtsc; shl $32, %rdx; or %rdx, %rax; add $200000, %rax; mov %rax, %rdx; shr $32, %rdx\n"
           "mov $0x6e0, %ecx; wrmsr; sti; 1: hlt; jmp 1b")
GUEST_CODE(guest_spin,
           "mov $0x1b, %ecx; rdmsr; or $0x400, %eax; wrmsr\n"
           "mov $0x80f, %ecx; mov $0x1ff, %eax; xor %edx, %edx; wrmsr\n"
           "mov $0x832, %ecx; mov $0x40041, %eax; wrmsr\n"
           "rdtsc; shl $32, %rdx; or %rdx, %rax; add $200000, %rax; mov %rax, %rdx; shr $32, %rdx\n"
           "mov $0x6e0, %ecx; wrmsr; sti; 1: jmp 1b")
GUEST_CODE(guest_trap, "pushfq; orq $0x100, (%rsp); popfq; nop; nop")
GUEST_CODE(guest_watch, "mov %rdi, %dr3; mov $0x90000440, %eax; or $0x80, %eax; mov %rax, %dr7; movb $1, (%rdi); nop")
// The breakpoint at what SS is loaded from is held off for one instruction, the INT3 at the end.
GUEST_CODE(guest_watch_stack, "mov %ss, (%rdi); mov %rdi, %dr3; mov $0xf00004c0, %eax; mov %rax, %dr7; mov (%rdi), %ss")

class Privileged : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = unavailable(); !why.empty()) GTEST_SKIP() << why;
    auto made = Translated::create(false);
    ASSERT_TRUE(made) << made.error().message();
    machine_ = std::move(*made);
    case_.supervisor = true;
    case_.start.gpr[kRsp] = kMiddle + 0x800;
    case_.start.gpr[kRdi] = kData;
    case_.start.fx[0] = 0x7f, case_.start.fx[1] = 0x03, case_.start.fx[24] = 0x80, case_.start.fx[25] = 0x1f;
    // RSI: the entry of the first data page, in the kernel's window on memory.
    case_.start.gpr[kRsi] = Translated::kKernel + entry_of(kData);
  }
  GuestAddress entry_of(uint64_t linear) {
    GuestAddress table = Translated::kTables;
    for (int level = 3; level > 0; --level)
      table = *machine_->memory().load<uint64_t>(table + (linear >> (12 + 9 * level) & 511) * 8) & ~0xfffULL;
    return table + (linear >> 12 & 511) * 8;
  }
  Outcome run(const uint8_t* begin, const uint8_t* end) {
    case_.code.fill(0xcc);
    std::copy(begin, end, case_.code.begin());
    auto outcome = machine_->run(case_);
    EXPECT_TRUE(outcome) << outcome.error().message();
    return outcome ? *outcome : Outcome{};
  }
  std::unique_ptr<Translated> machine_;
  Case case_;
};
#define RUN(name) run(name##_begin, name##_end)

TEST_F(Privileged, ModelSpecificRegistersKeepTheirValue) {
  const Outcome out = RUN(guest_msr);
  EXPECT_EQ(out.vector, kBp);
  EXPECT_EQ(out.end.gpr[kRax], 0x12345678U);
  EXPECT_EQ(out.end.gpr[kRdx], 0xffff8000U);
}
TEST_F(Privileged, AddressesInRegistersHaveToBeCanonical) { EXPECT_EQ(RUN(guest_msr_bad).vector, kGp); }
TEST_F(Privileged, UnknownRegistersFault) { EXPECT_EQ(RUN(guest_msr_unknown).vector, kGp); }
TEST_F(Privileged, PagingStaysOnIn64BitCode) { EXPECT_EQ(RUN(guest_paging_off).vector, kGp); }
TEST_F(Privileged, WriteProtectionHoldsForTheKernelWhenAsked) {
  const Outcome out = RUN(guest_write_protect);
  EXPECT_EQ(out.vector, kPfFault);
  EXPECT_EQ(out.error, 3U);
  EXPECT_EQ(out.address, kData);
}
TEST_F(Privileged, LoadingCr3TakesUpNewMappings) {
  const Outcome out = RUN(guest_remap);
  EXPECT_EQ(out.vector, kBp);
  EXPECT_NE(out.end.gpr[kR8], out.end.gpr[kR9]);
}
TEST_F(Privileged, InvlpgTakesUpANewMapping) {
  const Outcome out = RUN(guest_remap_page);
  EXPECT_EQ(out.vector, kBp);
  EXPECT_NE(out.end.gpr[kR8], out.end.gpr[kR9]);
}
TEST_F(Privileged, CodeMayChangeItself) { EXPECT_EQ(RUN(guest_self_modifying).end.gpr[kRax], 1U + 2 + 3); }
TEST_F(Privileged, SwapgsExchangesTheBases) {
  const Outcome out = RUN(guest_swapgs);
  EXPECT_EQ(out.vector, kBp);
  EXPECT_EQ(out.end.gpr[kRax], *machine_->memory().load<uint64_t>(Translated::kDataPage + 0x1000));
}
TEST_F(Privileged, SyscallComesBackFromRing3) {
  const Outcome out = RUN(guest_syscall);
  EXPECT_EQ(out.vector, kBp);
  EXPECT_EQ(out.end.gpr[kRbx], 0x23U);
  EXPECT_EQ(out.end.gpr[kRax], 0x08U);
}
TEST_F(Privileged, IretGoesToRing3) {
  const Outcome out = RUN(guest_iret);
  EXPECT_EQ(out.vector, kBp);
  EXPECT_EQ(out.end.gpr[kRax], 0x23U);
}
TEST_F(Privileged, FlagsComeAndGo) {
  const Outcome out = RUN(guest_flags);
  EXPECT_TRUE(out.end.gpr[kRax] & kFlagIf);
  EXPECT_FALSE(out.end.gpr[kRbx] & kFlagIf);
  EXPECT_TRUE(out.end.gpr[kRcx] & kFlagIf);
  EXPECT_EQ(out.end.gpr[kRdx], 2U);
}
TEST_F(Privileged, TheTimerEndsAHalt) { EXPECT_EQ(RUN(guest_timer).vector, 0x40U); }
TEST_F(Privileged, TheTimerEndsALoop) { EXPECT_EQ(RUN(guest_spin).vector, 0x41U); }
TEST_F(Privileged, SingleStepsTrapAfterTheNextInstruction) {
  const Outcome out = RUN(guest_trap);
  EXPECT_EQ(out.vector, kDb);
  EXPECT_EQ(out.end.rip, kCode + static_cast<uint64_t>(guest_trap_end - guest_trap_begin) - 2);
}
TEST_F(Privileged, DataBreakpointsTrapAfterTheAccess) {
  const Outcome out = RUN(guest_watch);
  EXPECT_EQ(out.vector, kDb);
  EXPECT_EQ(out.end.rip, kCode + static_cast<uint64_t>(guest_watch_end - guest_watch_begin) - 2);
}
TEST_F(Privileged, ADataBreakpointOfALoadOfSsTrapsAfterInt3) {
  const Outcome out = RUN(guest_watch_stack);
  EXPECT_EQ(out.vector, kDb) << "on the way into the handler of INT3";
}

}  // namespace
}  // namespace proa::vmm::translator::differential
