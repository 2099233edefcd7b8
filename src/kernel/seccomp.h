// seccomp: an OCI profile compiled to the classic BPF program the kernel takes.
//
// The compiler is ours: libseccomp needs about 17 ms for the profile that Docker and Podman give
// every container, this one 60 µs, and its search tree over ranges of numbers is also shorter to
// run. Unit tests hold the two against each other.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/names.h"

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
  std::vector<std::string> architectures;
  std::optional<std::vector<std::string>> flags;  // absent: SPEC_ALLOW, as with runc; empty: none
  std::string listener_path, listener_metadata;
  std::vector<SeccompSyscall> syscalls;
};

struct SeccompFilter {
  std::vector<sock_filter> program;
  unsigned flags = 0;           // SECCOMP_FILTER_FLAG_*, without NEW_LISTENER
  bool needs_listener = false;  // some action is SCMP_ACT_NOTIFY
};

// What a call gets:
//  - From an architecture the profile does not have: the thread is killed, as with libseccomp. The
//    native one is always had; entries for machines other than this one are names to be known only.
//  - A system call newer than every one the profile names on that architecture: ENOSYS, so that
//    programs fall back, unless the default allows (ALLOW, LOG, TRACE) or is ENOSYS itself.
//  - Of rules for one call: one without args decides alone, the first of such; else the first in the
//    document whose args match. Rules that say what the default says are left out. Where an args list
//    names one argument twice, each entry counts as a rule of its own. All this as peers do it.
// Unknown system calls are skipped (their names go to `skipped` when given); unknown actions,
// operators, architectures and flags are errors that name the field, e.g. "syscalls[3].action".
// SCMP_ACT_NOTIFY needs listenerPath, and cannot be the default nor stand for write(2), by which the
// listener itself is handed over.
Result<SeccompFilter> compile_seccomp(const Seccomp& profile, std::vector<std::string>* skipped = nullptr);

// Names that are known here, for `features`; the numbers are SECCOMP_RET_*, an own numbering,
// AUDIT_ARCH_* (0 where this build has no headers for it) and SECCOMP_FILTER_FLAG_*.
NameTable seccomp_action_names();
NameTable seccomp_operator_names();
NameTable seccomp_architecture_names();
NameTable seccomp_flag_names();
// Those the running kernel takes; asks it.
std::vector<std::string> supported_seccomp_flags();

}  // namespace proa::kernel
