// The sensitive instructions that a processor without hardware virtualization does not trap at ring 3 (Robin and
// Irvine, "Analysis of the Intel Pentium's Ability to Support a Secure Virtual Machine Monitor", 2000). A monitor that
// ran ring-3 code as it is would show the guest the host's state; each test tells what the hardware does at ring 3 and
// what our guest sees.
#include <gtest/gtest.h>

#include "vmm/cpu/translator/differential_test.h"

namespace proa::vmm::translator::differential {
namespace {

class Sensitive : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = unavailable(); !why.empty()) GTEST_SKIP() << why;
    auto made = Translated::create(true);
    ASSERT_TRUE(made) << made.error().message();
    machine_ = std::move(*made);
    case_.start.gpr[kRbx] = kMiddle;
    case_.start.gpr[kRsp] = kMiddle + 0x400;
    case_.start.fx[0] = 0x7f, case_.start.fx[1] = 0x03, case_.start.fx[24] = 0x80, case_.start.fx[25] = 0x1f;
  }
  // Runs the bytes at ring 3; INT3 ends them.
  Outcome run(std::initializer_list<uint8_t> code) {
    case_.code.fill(0xcc);
    std::copy(code.begin(), code.end(), case_.code.begin());
    auto outcome = machine_->run(case_);
    EXPECT_TRUE(outcome) << outcome.error().message();
    return outcome ? *outcome : Outcome{};
  }
  static uint64_t rax(const Outcome& out) { return out.end.gpr[kRax]; }

  std::unique_ptr<Translated> machine_;
  Case case_;
};

// Hardware (without UMIP): stores the real GDTR at any ring. Guest: its own table's limit.
TEST_F(Sensitive, SgdtShowsTheGuestsTable) {
  const Outcome out = run({0x0f, 0x01, 0x03, 0x0f, 0xb7, 0x03});  // sgdt [rbx]; movzx eax, word [rbx]
  EXPECT_EQ(out.vector, kBp);
  EXPECT_EQ(rax(out), 0x37U);
}
// Hardware: stores the real IDTR. Guest: its own, of 256 gates.
TEST_F(Sensitive, SidtShowsTheGuestsTable) { EXPECT_EQ(rax(run({0x0f, 0x01, 0x0b, 0x0f, 0xb7, 0x03})), 0xfffU); }
// Hardware: stores the real LDTR's selector. Guest: its own, null.
TEST_F(Sensitive, SldtShowsTheGuestsSelector) { EXPECT_EQ(rax(run({0x0f, 0x00, 0xc0})), 0U); }
// Hardware: stores the real CR0. Guest: its own.
TEST_F(Sensitive, SmswShowsTheGuestsCr0) { EXPECT_EQ(rax(run({0x0f, 0x01, 0xe0})) & 0xffff, 0x33U); }
// Hardware: stores the real TR's selector. Guest: its own.
TEST_F(Sensitive, StrShowsTheGuestsTask) { EXPECT_EQ(rax(run({0x0f, 0x00, 0xc8})), 0x28U); }
// Hardware: stores the real IF, IOPL. Guest: its own; interrupts are on here, IOPL is 0.
TEST_F(Sensitive, PushfShowsTheGuestsFlags) {
  const Outcome out = run({0x9c, 0x58});  // pushf; pop rax
  EXPECT_EQ(rax(out) & (kFlagIf | kFlagIopl), uint64_t{kFlagIf});
}
// Hardware: ignores changes of IF and IOPL without a trap. Guest: the same, as its ring 3 may not change them.
TEST_F(Sensitive, PopfLeavesIfAndIopl) {
  const Outcome out = run({0x68, 0x02, 0x30, 0x00, 0x00, 0x9d, 0x9c, 0x58});  // push 0x3002; popf; pushf; pop rax
  EXPECT_EQ(out.vector, kBp);
  EXPECT_EQ(rax(out) & (kFlagIf | kFlagIopl), uint64_t{kFlagIf});
}
// Hardware: looks at the real descriptors. Guest: at its own; ring 3 may not see ring 0's (ZF clear).
TEST_F(Sensitive, LarReadsTheGuestsDescriptors) {
  const Outcome out = run({0xb9, 0x1b, 0, 0, 0, 0x0f, 0x02, 0xc1});  // mov ecx, 0x1b; lar eax, ecx
  EXPECT_TRUE(out.end.flags & kFlagZf);
  EXPECT_EQ(rax(out), 0x00c0f300U);
  EXPECT_FALSE(run({0xb9, 0x08, 0, 0, 0, 0x0f, 0x02, 0xc1}).end.flags & kFlagZf);
}
TEST_F(Sensitive, LslReadsTheGuestsDescriptors) {
  const Outcome out = run({0xb9, 0x1b, 0, 0, 0, 0x0f, 0x03, 0xc1});
  EXPECT_TRUE(out.end.flags & kFlagZf);
  EXPECT_EQ(rax(out), 0xffffffffU);
}
TEST_F(Sensitive, VerrReadsTheGuestsDescriptors) {
  EXPECT_TRUE(run({0xb9, 0x1b, 0, 0, 0, 0x0f, 0x00, 0xe1}).end.flags & kFlagZf);
  EXPECT_FALSE(run({0xb9, 0x08, 0, 0, 0, 0x0f, 0x00, 0xe1}).end.flags & kFlagZf);
}
TEST_F(Sensitive, VerwReadsTheGuestsDescriptors) {
  EXPECT_TRUE(run({0xb9, 0x1b, 0, 0, 0, 0x0f, 0x00, 0xe9}).end.flags & kFlagZf);
  EXPECT_FALSE(run({0xb9, 0x23, 0, 0, 0, 0x0f, 0x00, 0xe9}).end.flags & kFlagZf);  // code is never writable
}
// Hardware: MOV and POP load real descriptors. Guest: its own; one of ring 0 is refused with its selector.
TEST_F(Sensitive, MovToSegmentChecksTheGuestsDescriptors) {
  const Outcome out = run({0xb8, 0x10, 0, 0, 0, 0x8e, 0xd8});  // mov eax, 0x10; mov ds, eax
  EXPECT_EQ(out.vector, kGp);
  EXPECT_EQ(out.error, 0x10U);
  EXPECT_EQ(run({0xb8, 0x1b, 0, 0, 0, 0x8e, 0xd8}).vector, kBp);
}
// Hardware: MOV shows the real CS with the ring in its low bits. Guest: its own ring, 3.
TEST_F(Sensitive, MovFromSegmentShowsTheGuestsRing) { EXPECT_EQ(rax(run({0x8c, 0xc8})), 0x23U); }
TEST_F(Sensitive, PushOfSegmentShowsTheGuestsSelector) {
  EXPECT_EQ(rax(run({0xb8, 0x1b, 0, 0, 0, 0x8e, 0xe0, 0x31, 0xc0, 0x0f, 0xa0, 0x58})) & 0xffff, 0x1bU);
}
TEST_F(Sensitive, PopOfSegmentChecksTheGuestsDescriptors) {
  const Outcome out = run({0x6a, 0x10, 0x0f, 0xa1});  // push 0x10; pop fs
  EXPECT_EQ(out.vector, kGp);
  EXPECT_EQ(out.error, 0x10U);
}
// Hardware: far transfers go by real descriptors and gates. Guest: its own; inner rings only through its gates.
TEST_F(Sensitive, FarCallChecksTheGuestsDescriptors) {
  // push 8; push rbx; call far [rsp]
  const Outcome out = run({0xc7, 0x43, 0x04, 0x08, 0, 0, 0, 0xff, 0x1b});
  EXPECT_EQ(out.vector, kGp);
  EXPECT_EQ(out.error, 8U);
}
TEST_F(Sensitive, FarJumpChecksTheGuestsDescriptors) {
  const Outcome out = run({0xc7, 0x43, 0x04, 0x08, 0, 0, 0, 0xff, 0x2b});
  EXPECT_EQ(out.vector, kGp);
  EXPECT_EQ(out.error, 8U);
}
TEST_F(Sensitive, FarReturnCannotGoInwards) {
  const Outcome out = run({0x6a, 0x08, 0x53, 0x48, 0xcb});  // push 8; push rbx; retfq
  EXPECT_EQ(out.vector, kGp);
  EXPECT_EQ(out.error, 8U);
}
// Hardware: INT goes through the real IDT. Guest: its own.
TEST_F(Sensitive, IntGoesThroughTheGuestsIdt) {
  const Outcome out = run({0xcd, 0x80});
  EXPECT_EQ(out.vector, 0x80U);
  EXPECT_EQ(out.end.rip, kCode + 2);
}
// Privileged ones trap on hardware too: #GP.
TEST_F(Sensitive, PrivilegedInstructionsFault) {
  EXPECT_EQ(run({0xf4}).vector, kGp);              // hlt
  EXPECT_EQ(run({0xfa}).vector, kGp);              // cli
  EXPECT_EQ(run({0x0f, 0x20, 0xc0}).vector, kGp);  // mov rax, cr0
  EXPECT_EQ(run({0x0f, 0x32}).vector, kGp);        // rdmsr
  EXPECT_EQ(run({0xe4, 0x60}).vector, kGp);        // in al, 0x60
  EXPECT_EQ(run({0x0f, 0x01, 0x13}).vector, kGp);  // lgdt
  EXPECT_EQ(run({0x0f, 0x01, 0xf8}).vector, kGp);  // swapgs
}

}  // namespace
}  // namespace proa::vmm::translator::differential
