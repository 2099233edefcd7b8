#include "vmm/machine/cpu_template.h"

#include <cpuid.h>

#include <algorithm>
#include <cstring>

namespace proa::vmm {

namespace {

using enum StaticTemplate;
using Register = CpuidModifier::Register;

constexpr unsigned of(std::initializer_list<StaticTemplate> list) {
  unsigned set = 0;
  for (const StaticTemplate one : list) set |= 1u << static_cast<unsigned>(one);
  return set;
}
constexpr unsigned kT2Kind = of({kT2, kT2s, kT2cl, kT2a});
constexpr unsigned kAll = kT2Kind | of({kC3});

// Which bits each template decides, and how; what it does not name stays the processor's.
struct CpuidRow {
  unsigned templates;
  CpuidModifier modifier;
};
constexpr CpuidRow kCpuid[] = {
    // Family, model, stepping: those of Haswell and of Ivy Bridge servers.
    {kT2Kind, {0x1, 0, Register::kEax, 0x0fff3fff, 0x000306f2}},
    {of({kC3}), {0x1, 0, Register::kEax, 0x0fff3fff, 0x000306e4}},
    {kT2Kind, {0x1, 0, Register::kEcx, 0x0004cdfc, 0}},
    {of({kC3}), {0x1, 0, Register::kEcx, 0x0040dd3c, 0}},
    {kT2Kind, {0x1, 0, Register::kEdx, 0xe8641080, 0x00001080}},
    {of({kC3}), {0x1, 0, Register::kEdx, 0xa8641080, 0x00001080}},
    {kT2Kind, {0x7, 0, Register::kEbx, 0xffefda14, 0x00000200}},
    {of({kC3}), {0x7, 0, Register::kEbx, 0xffafdd3c, 0}},
    {kT2Kind, {0x7, 0, Register::kEcx, 0x40415f5e, 0}},
    {of({kC3}), {0x7, 0, Register::kEcx, 0x4041481e, 0}},
    {kT2Kind, {0x7, 0, Register::kEdx, 0x0000011c, 0}},
    {of({kC3}), {0x7, 0, Register::kEdx, 0x0000000c, 0}},
    // MPX, AVX-512 and protection keys' state; XSAVEC, XGETBV of 1, XSAVES.
    {kAll, {0xd, 0, Register::kEax, 0x000002f8, 0}},
    {kAll, {0xd, 1, Register::kEax, 0x0000000e, 0}},
    {of({kT2, kT2s}), {0x80000001, 0, Register::kEcx, 0x20000100, 0}},
    {of({kT2cl}), {0x80000001, 0, Register::kEcx, 0x200001c0, 0}},
    {of({kT2a}), {0x80000001, 0, Register::kEcx, 0x200001c4, 0}},
    {of({kC3}), {0x80000001, 0, Register::kEcx, 0x00000120, 0}},
    {of({kC3, kT2, kT2s}), {0x80000001, 0, Register::kEdx, 0x04000000, 0}},
    {of({kT2cl}), {0x80000001, 0, Register::kEdx, 0x07c00000, 0}},
    {of({kT2a}), {0x80000001, 0, Register::kEdx, 0x06400000, 0}},
    {of({kT2, kT2s, kT2cl}), {0x80000008, 0, Register::kEbx, 0x00000200, 0}},
    {of({kT2a}), {0x80000008, 0, Register::kEbx, 0x001c0205, 0x001c0004}},
};

constexpr uint32_t kArchCapabilities = 0x10a;
struct MsrRow {
  unsigned templates;
  MsrModifier modifier;
};
constexpr MsrRow kMsrs[] = {
    {of({kT2s}), {kArchCapabilities, ~0ULL, 0x0c0a0c4c}},
    {of({kT2cl}), {kArchCapabilities, 0xffffffffe2f51e00, 0}},
};

struct ModelRow {
  unsigned templates;
  unsigned family, model, stepping;
};
constexpr ModelRow kModels[] = {
    {of({kC3, kT2, kT2s}), 6, 0x55, 4},         // Skylake
    {of({kC3, kT2, kT2s, kT2cl}), 6, 0x55, 7},  // Cascade Lake
    {of({kC3, kT2, kT2cl}), 6, 0x6a, 6},        // Ice Lake
    {of({kT2a}), 0x19, 1, 1},                   // Milan
};

constexpr std::string_view kNames[] = {"None", "C3", "T2", "T2S", "T2CL", "T2A"};

}  // namespace

std::string_view static_template_name(StaticTemplate which) { return kNames[static_cast<size_t>(which)]; }

CpuTemplate static_template(StaticTemplate which) {
  CpuTemplate cpu;
  for (const CpuidRow& row : kCpuid)
    if ((row.templates & of({which})) != 0) cpu.cpuid.push_back(row.modifier);
  for (const MsrRow& row : kMsrs)
    if ((row.templates & of({which})) != 0) cpu.msrs.push_back(row.modifier);
  return cpu;
}

Processor host_processor() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  char vendor[12];
  __cpuid(0, a, b, c, d);
  std::memcpy(vendor, &b, 4);
  std::memcpy(vendor + 4, &d, 4);
  std::memcpy(vendor + 8, &c, 4);
  const std::string_view name(vendor, sizeof vendor);
  __cpuid(1, a, b, c, d);
  Processor host{.intel = name == "GenuineIntel", .amd = name == "AuthenticAMD"};
  host.stepping = a & 15;
  host.family = a >> 8 & 15;
  host.model = (a >> 4 & 15) | (a >> 16 & 15) << 4;
  if (host.family == 15) host.family += a >> 20 & 255;
  return host;
}

Result<> check_processor(StaticTemplate which, const Processor& host, EngineKind engine) {
  const bool for_amd = which == kT2a;
  if (which == kNone) return {};
  if (for_amd ? !host.amd : !host.intel)
    return fail("Failed to get CPU template: CPU vendor mismatched between actual CPU and CPU template.");
  if (engine == EngineKind::kTranslator) return {};
  const bool known = std::ranges::any_of(kModels, [&](const ModelRow& row) {
    return (row.templates & of({which})) != 0 && row.family == host.family && row.model == host.model &&
           row.stepping == host.stepping;
  });
  if (!known)
    return fail("Failed to get CPU template: The current CPU model is not permitted to apply the CPU template.");
  return {};
}

}  // namespace proa::vmm
