#include "vmm/machine/cpuid.h"

#include <algorithm>
#include <bit>

namespace proa::vmm {

namespace {

constexpr uint32_t bits(std::initializer_list<unsigned> positions) {
  uint32_t all = 0;
  for (const unsigned position : positions) all |= 1u << position;
  return all;
}

// Leaf 1 (SDM 2A, CPUID). Withheld: DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, FMA, PDCM, PCID, DCA, XSAVE, OSXSAVE,
// AVX, F16C. The saved state of a vCPU is FXSAVE's, which both engines have.
constexpr uint32_t kLeaf1Ecx = bits({2, 3, 4, 5, 6, 7, 8, 12, 15, 17, 18, 26, 27, 28, 29});
constexpr uint32_t kLeaf1EcxAdded = bits({21, 24, 31});  // x2APIC, TSC deadline, "runs under a hypervisor"
constexpr uint32_t kLeaf1Edx = bits({21, 22, 29, 31});   // DS, ACPI, TM, PBE
constexpr unsigned kHyperThreads = 28;
// Leaf 7: SGX, HLE, AVX2, INVPCID, PQM, RTM, MPX, PQE, AVX-512 all, Processor Trace.
constexpr uint32_t kLeaf7Ebx = bits({2, 4, 5, 10, 11, 12, 14, 15, 16, 17, 21, 25, 26, 27, 28, 30, 31});
// ... AVX-512 and AES of vectors, PKU, WAITPKG, CET, SGX_LC, PKS, TME, MAWAU stays 0.
constexpr uint32_t kLeaf7Ecx = ~bits({2, 4, 22, 24, 25, 27, 28});
// ... what is left: FSRM, MD_CLEAR, SERIALIZE, IBRS, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD.
constexpr uint32_t kLeaf7EdxKept = bits({4, 10, 14, 26, 27, 28, 29, 31});
constexpr uint32_t kLeaf81Ecx =
    bits({2, 10, 11, 12, 13, 15, 16, 23, 24, 28});  // SVM, IBS, XOP, SKINIT, WDT, LWP, FMA4, PMU

void set(std::vector<CpuidLeaf>& leaves, const CpuidLeaf& leaf) {
  for (CpuidLeaf& one : leaves) {
    if (one.leaf != leaf.leaf || (leaf.by_subleaf && one.subleaf != leaf.subleaf)) continue;
    one = leaf;
    return;
  }
  leaves.push_back(leaf);
}

void remove(std::vector<CpuidLeaf>& leaves, uint32_t leaf) {
  std::erase_if(leaves, [leaf](const CpuidLeaf& one) { return one.leaf == leaf; });
}

void mask(CpuidLeaf& leaf, unsigned id, unsigned count) {
  switch (leaf.leaf) {
    case 1:
      leaf.ebx = (leaf.ebx & 0xffff) | std::min(count, 255u) << 16 | id << 24;
      leaf.ecx = (leaf.ecx & ~kLeaf1Ecx) | kLeaf1EcxAdded;
      leaf.edx = (leaf.edx & ~kLeaf1Edx & ~(1u << kHyperThreads)) | (count > 1 ? 1u << kHyperThreads : 0);
      return;
    case 4:
      // Cores of the package, and no cache shared by more.
      if ((leaf.eax & 31) != 0) leaf.eax = (leaf.eax & 0x3fff) | (std::bit_ceil(count) - 1) << 26;
      return;
    case 7:
      if (leaf.subleaf == 0) {
        leaf.ebx &= ~kLeaf7Ebx;
        leaf.ecx &= ~kLeaf7Ecx;
        leaf.edx &= kLeaf7EdxKept;
      } else {
        leaf.eax &= bits({10, 11, 12});  // fast short REP MOVSB, STOSB, CMPSB
        leaf.ebx = leaf.ecx = leaf.edx = 0;
      }
      return;
    case 0x80000001: leaf.ecx &= ~kLeaf81Ecx; return;
    case 0x80000008: leaf.ecx = count - 1; return;
    default: return;
  }
}

// Leaf 0Bh: one thread a core, all cores one package.
void add_topology(std::vector<CpuidLeaf>& leaves, unsigned id, unsigned count) {
  remove(leaves, 0xb);
  remove(leaves, 0x1f);
  const auto width = static_cast<uint32_t>(std::bit_width(count - 1));
  leaves.push_back({.leaf = 0xb, .subleaf = 0, .by_subleaf = true, .eax = 0, .ebx = 1, .ecx = 0x100, .edx = id});
  leaves.push_back(
      {.leaf = 0xb, .subleaf = 1, .by_subleaf = true, .eax = width, .ebx = count, .ecx = 0x201, .edx = id});
  leaves.push_back({.leaf = 0xb, .subleaf = 2, .by_subleaf = true, .eax = 0, .ebx = 0, .ecx = 2, .edx = id});
}

void modify(std::vector<CpuidLeaf>& leaves, const CpuidModifier& modifier) {
  for (CpuidLeaf& leaf : leaves) {
    if (leaf.leaf != modifier.leaf || (leaf.by_subleaf && leaf.subleaf != modifier.subleaf)) continue;
    uint32_t* const registers[] = {&leaf.eax, &leaf.ebx, &leaf.ecx, &leaf.edx};
    uint32_t& value = *registers[static_cast<size_t>(modifier.reg)];
    value = (value & ~modifier.mask) | (modifier.bits & modifier.mask);
  }
}

}  // namespace

std::vector<CpuidLeaf> guest_cpuid(std::vector<CpuidLeaf> leaves, unsigned id, unsigned count,
                                   const std::vector<CpuidModifier>& modifiers) {
  // No performance counters, XSAVE, resource monitoring, SGX, tracing, AMX, SVM: their leaves read as zero.
  for (const uint32_t leaf : {0x5u, 0x6u, 0xau, 0xdu, 0xfu, 0x10u, 0x12u, 0x14u, 0x19u, 0x1du, 0x1eu, 0x8000000au,
                              0x8000001bu, 0x8000001cu, 0x8000001eu})
    remove(leaves, leaf);
  for (CpuidLeaf& leaf : leaves) mask(leaf, id, count);
  add_topology(leaves, id, count);
  if (std::ranges::none_of(leaves, [](const CpuidLeaf& leaf) { return leaf.leaf == 0; }))
    set(leaves, {.leaf = 0, .eax = 0xb});
  for (const CpuidModifier& modifier : modifiers) modify(leaves, modifier);
  return leaves;
}

}  // namespace proa::vmm
