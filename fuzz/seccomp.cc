// A seccomp profile as it stands in config.json, compiled. What comes out must be a program that the
// kernel's checker lets pass and that ends in an action for every call.
#include <linux/audit.h>
#include <linux/filter.h>

#include <string>

#include "fuzz.h"
#include "kernel/seccomp_interpreter.h"
#include "oci/spec/spec.h"

namespace {

using namespace proa;

constexpr std::string_view kBefore =
    R"({"ociVersion":"1.3.0","root":{"path":"r"},"process":{"cwd":"/","args":["a"],"user":{"uid":0,"gid":0}},"linux":{"seccomp":)";

void check_program(const std::vector<sock_filter>& program) {
  FUZZ_CHECK(!program.empty() && program.size() <= BPF_MAXINSNS);
  FUZZ_CHECK(program.back().code == (BPF_RET | BPF_K));
  for (size_t at = 0; at < program.size(); ++at) {
    const sock_filter& step = program[at];
    if (BPF_CLASS(step.code) != BPF_JMP) continue;
    const size_t left = program.size() - at - 1;
    FUZZ_CHECK(BPF_OP(step.code) == BPF_JA ? step.k < left : step.jt < left && step.jf < left);
  }
}

void check_answers(const std::vector<sock_filter>& program) {
  const uint32_t archs[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64};
  for (const uint32_t arch : archs) {
    for (const uint32_t marker : {0u, 0x40000000u, 0xfffffe00u}) {
      for (uint32_t number = 0; number < 512; number += 7) {
        const seccomp_data data{.nr = static_cast<int>(number | marker),
                                .arch = arch,
                                .instruction_pointer = 0,
                                .args = {number, ~0ull, 1ull << 40}};
        FUZZ_CHECK(kernel::interpret(program, data) != ~0u);
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string config(kBefore);
  config.append(as_text(data, size)).append("}}");
  const auto spec = oci::parse_spec(config);
  if (!spec || !spec->linux_ || !spec->linux_->seccomp) return 0;
  std::vector<std::string> skipped;
  const auto filter = kernel::compile_seccomp(*spec->linux_->seccomp, &skipped);
  if (!filter) return 0;
  check_program(filter->program);
  check_answers(filter->program);
  return 0;
}
