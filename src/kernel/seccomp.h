// seccomp: an OCI profile compiled to the classic BPF program the kernel takes.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace proa::kernel {

// "linux.seccomp" of the OCI runtime-spec (config-linux.md, "Seccomp"), names as in the document.
struct SeccompArg {
  uint32_t index = 0;
  uint64_t value = 0, value_two = 0;
  std::string op;  // SCMP_CMP_*
};
struct SeccompSyscall {
  std::vector<std::string> names;
  std::string action;  // SCMP_ACT_*
  std::optional<uint32_t> errno_ret;
  std::vector<SeccompArg> args;
};
struct Seccomp {
  std::string default_action;
  std::optional<uint32_t> default_errno_ret;
  std::vector<std::string> architectures, flags;
  std::string listener_path, listener_metadata;
  std::vector<SeccompSyscall> syscalls;
};

struct SeccompFilter {
  std::vector<sock_filter> program;
  unsigned flags = 0;           // SECCOMP_FILTER_FLAG_*
  bool needs_listener = false;  // some action is SCMP_ACT_NOTIFY
};

// Unknown system calls are skipped (their names go to `skipped` when given); unknown actions,
// operators, architectures and flags are errors that name the field, e.g. "syscalls[3].action".
Result<SeccompFilter> compile_seccomp(const Seccomp& profile, std::vector<std::string>* skipped = nullptr);

}  // namespace proa::kernel
