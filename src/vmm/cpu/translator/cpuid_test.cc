// CPUID is honest: for each feature offered, an instruction of it runs; and each offered bit is known here.
#include "vmm/machine/cpuid.h"

#include <gtest/gtest.h>

#include "vmm/cpu/translator/differential_test.h"

namespace proa::vmm::translator::differential {
namespace {

enum Register { kEax, kEbx, kEcx, kEdx };
struct Feature {
  uint32_t leaf;
  Register reg;
  unsigned bit;
  const char* name;
  std::vector<uint8_t> code;  // empty: no instruction of its own
};

// RDI: data, 16-byte aligned.
const Feature kFeatures[] = {
    {1, kEcx, 0, "SSE3", {0xf2, 0x0f, 0xd0, 0xc1}},                                          // addsubps xmm0, xmm1
    {1, kEcx, 9, "SSSE3", {0x66, 0x0f, 0x38, 0x1c, 0xc1}},                                   // pabsb xmm0, xmm1
    {1, kEcx, 13, "CMPXCHG16B", {0x48, 0x0f, 0xc7, 0x0f}},                                   // cmpxchg16b [rdi]
    {1, kEcx, 19, "SSE4.1", {0x66, 0x0f, 0x38, 0x40, 0xc1}},                                 // pmulld xmm0, xmm1
    {1, kEcx, 20, "SSE4.2", {0x66, 0x0f, 0x38, 0x37, 0xc1}},                                 // pcmpgtq xmm0, xmm1
    {1, kEcx, 21, "x2APIC", {0xb9, 0x1b, 0, 0, 0, 0x0f, 0x32, 0x0d, 0, 4, 0, 0, 0x0f, 0x30,  // APIC base: x2
                             0xb9, 2,    8, 0, 0, 0x0f, 0x32}},                              // rdmsr 802h
    {1, kEcx, 23, "POPCNT", {0xf3, 0x0f, 0xb8, 0xc0}},                                       // popcnt eax, eax
    {1, kEcx, 24, "TSC deadline", {0xb9, 0xe0, 6, 0, 0, 0x0f, 0x32}},                        // rdmsr 6e0h
    {1, kEcx, 30, "RDRAND", {0x0f, 0xc7, 0xf0}},                                             // rdrand eax
    {1, kEcx, 31, "hypervisor", {}},
    {1, kEdx, 0, "FPU", {0xd9, 0xe8}},                                                          // fld1
    {1, kEdx, 2, "debugging extensions", {0x0f, 0x20, 0xe0, 0x83, 0xc8, 8, 0x0f, 0x22, 0xe0}},  // CR4.DE
    {1, kEdx, 3, "PSE", {0x0f, 0x20, 0xe0, 0x83, 0xc8, 16, 0x0f, 0x22, 0xe0}},                  // CR4.PSE
    {1, kEdx, 4, "TSC", {0x0f, 0x31}},                                                          // rdtsc
    {1, kEdx, 5, "MSR", {0xb9, 0x10, 0, 0, 0, 0x0f, 0x32}},                                     // rdmsr 10h
    {1, kEdx, 6, "PAE", {}},                                                                    // long mode has it on
    {1, kEdx, 7, "machine checks", {0xb9, 0x79, 1, 0, 0, 0x0f, 0x32}},                          // rdmsr 179h
    {1, kEdx, 8, "CMPXCHG8B", {0x0f, 0xc7, 0x0f}},                                              // cmpxchg8b [rdi]
    {1, kEdx, 9, "APIC", {0xb9, 0x1b, 0, 0, 0, 0x0f, 0x32}},                                    // rdmsr 1bh
    {1, kEdx, 11, "SYSENTER", {0xb9, 0x74, 1, 0, 0, 0x0f, 0x32}},                               // rdmsr 174h
    {1, kEdx, 12, "MTRR", {0xb9, 0xfe, 0, 0, 0, 0x0f, 0x32}},                                   // rdmsr feh
    {1, kEdx, 13, "global pages", {0x0f, 0x20, 0xe0, 0x0c, 128, 0x0f, 0x22, 0xe0}},             // CR4.PGE
    {1, kEdx, 14, "machine check architecture", {0xb9, 0x7a, 1, 0, 0, 0x0f, 0x32}},             // rdmsr 17ah
    {1, kEdx, 15, "CMOV", {0x0f, 0x44, 0xc0}},                                                  // cmovz eax, eax
    {1, kEdx, 16, "PAT", {0xb9, 0x77, 2, 0, 0, 0x0f, 0x32}},                                    // rdmsr 277h
    {1, kEdx, 17, "PSE-36", {}},
    {1, kEdx, 23, "MMX", {0x0f, 0xfc, 0xc1}},         // paddb mm0, mm1
    {1, kEdx, 24, "FXSR", {0x0f, 0xae, 0x07}},        // fxsave [rdi]
    {1, kEdx, 25, "SSE", {0x0f, 0x58, 0xc1}},         // addps xmm0, xmm1
    {1, kEdx, 26, "SSE2", {0x66, 0x0f, 0x58, 0xc1}},  // addpd xmm0, xmm1
    {7, kEbx, 7, "SMEP", {}},                         // its own test
    {7, kEbx, 9, "fast REP MOVSB", {}},
    {7, kEbx, 18, "RDSEED", {0x0f, 0xc7, 0xf8}},                                       // rdseed eax
    {7, kEcx, 2, "UMIP", {0x0f, 0x20, 0xe0, 0x0f, 0xba, 0xe8, 11, 0x0f, 0x22, 0xe0}},  // CR4.UMIP
    {7, kEdx, 4, "fast short REP MOVSB", {}},
    {7, kEdx, 29, "ARCH_CAPABILITIES", {0xb9, 0x0a, 1, 0, 0, 0x0f, 0x32}},    // rdmsr 10ah
    {0x80000001, kEcx, 0, "LAHF", {0x9f}},                                    // lahf
    {0x80000001, kEdx, 11, "SYSCALL", {0xb9, 0x81, 0, 0, 0xc0, 0x0f, 0x32}},  // rdmsr c0000081h
    {0x80000001, kEdx, 20, "NX", {0xb9, 0x80, 0, 0, 0xc0, 0x0f, 0x32, 0x0f, 0xba, 0xe8, 11, 0x0f, 0x30}},  // EFER.NXE
    {0x80000001, kEdx, 26, "1 GiB pages", {}},
    {0x80000001, kEdx, 27, "RDTSCP", {0x0f, 0x01, 0xf9}},  // rdtscp
    {0x80000001, kEdx, 29, "long mode", {}},
};
constexpr uint32_t kLeaves[] = {1, 7, 0x80000001};

uint32_t offered(const std::vector<CpuidLeaf>& leaves, uint32_t leaf, Register reg) {
  for (const CpuidLeaf& one : leaves)
    if (one.leaf == leaf && one.subleaf == 0) return std::array{one.eax, one.ebx, one.ecx, one.edx}[reg];
  return 0;
}

class CpuidTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = Translated::create(false);
    ASSERT_TRUE(made) << made.error().message();
    machine_ = std::move(*made);
    leaves_ = guest_cpuid(machine_->engine().supported_cpuid().value(), 0, 1);
    case_.supervisor = true;
    case_.start.gpr[kRsp] = kMiddle + 0x800;
    case_.start.gpr[kRdi] = kData;
    case_.start.fx[0] = 0x7f, case_.start.fx[1] = 0x03, case_.start.fx[24] = 0x80, case_.start.fx[25] = 0x1f;
  }
  uint8_t vector_of(const std::vector<uint8_t>& code) {
    case_.code.fill(0xcc);
    std::ranges::copy(code, case_.code.begin());
    const auto outcome = machine_->run(case_);
    EXPECT_TRUE(outcome);
    return outcome ? static_cast<uint8_t>(outcome->vector) : uint8_t{0};
  }
  std::unique_ptr<Translated> machine_;
  std::vector<CpuidLeaf> leaves_;
  Case case_;
};

TEST_F(CpuidTest, WhatIsOfferedRuns) {
  for (const Feature& feature : kFeatures) {
    if ((offered(leaves_, feature.leaf, feature.reg) >> feature.bit & 1) == 0 || feature.code.empty()) continue;
    EXPECT_EQ(vector_of(feature.code), kBp) << feature.name;
  }
}

TEST_F(CpuidTest, NothingElseIsOffered) {
  for (const uint32_t leaf : kLeaves) {
    for (const Register reg : {kEbx, kEcx, kEdx}) {
      if (leaf == 1 && reg == kEbx) continue;  // cache line and who this is
      uint32_t unknown = offered(leaves_, leaf, reg);
      for (const Feature& feature : kFeatures)
        if (feature.leaf == leaf && feature.reg == reg) unknown &= ~(1U << feature.bit);
      EXPECT_EQ(unknown, 0U) << "leaf " << leaf << ", register " << reg;
    }
  }
}

// The code is on a page of ring 3's, which ring 0 may not fetch from once CR4.SMEP is set.
TEST_F(CpuidTest, SmepHolds) {
  EXPECT_EQ(vector_of({0x0f, 0x20, 0xe0, 0x0f, 0xba, 0xe8, 20, 0x0f, 0x22, 0xe0}), kPfFault);
}

// An OS that tries them all the same gets what a processor without them gives.
TEST_F(CpuidTest, WhatIsNotOfferedIsUndefined) {
  EXPECT_EQ(vector_of({0x0f, 0xae, 0x27}), kUd) << "xsave [rdi]";
  EXPECT_EQ(vector_of({0x0f, 0x01, 0xd0}), kUd) << "xgetbv";
  EXPECT_EQ(vector_of({0xc5, 0xfc, 0x58, 0xc1}), kUd) << "vaddps ymm0, ymm0, ymm1";
  EXPECT_EQ(vector_of({0xc4, 0xe2, 0x7d, 0x58, 0xc1}), kUd) << "vpbroadcastd ymm0, xmm1";
  EXPECT_EQ(vector_of({0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1}), kUd) << "vaddps zmm0, zmm0, zmm1";
  EXPECT_EQ(vector_of({0x66, 0x0f, 0x38, 0xdc, 0xc1}), kUd) << "aesenc xmm0, xmm1";
  EXPECT_EQ(vector_of({0xf3, 0x0f, 0xc7, 0xf8}), kUd) << "rdpid rax";
}

}  // namespace
}  // namespace proa::vmm::translator::differential
