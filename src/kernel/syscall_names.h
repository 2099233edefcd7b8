// Names of system calls and their numbers on the architectures that programs on this kernel can use:
// its own and those it runs in compatibility modes (i386 and x32 on x86-64, arm on arm64).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace proa::kernel {

// One way into the kernel, as seccomp tells them apart.
struct SyscallAbi {
  std::string_view name;  // SCMP_ARCH_*
  uint32_t audit_arch;    // AUDIT_ARCH_*
  uint32_t marker;        // set in every call's number; x32 shares x86-64's audit_arch
  bool wide;              // arguments have 64 bits
};

// The native one first.
std::span<const SyscallAbi> syscall_abis();
inline constexpr size_t kMaxSyscallAbis = 3;

// i386 reaches socket calls and System V IPC also through one call each, told apart by its first
// argument (socketcall(2), ipc(2)).
struct Multiplexer {
  uint32_t audit_arch = 0;  // 0: not reached so
  uint32_t number = 0;      // of the multiplexing call
  uint32_t selector = 0;    // its first argument ...
  uint32_t mask = 0;        // ... of which these bits count
};

struct Syscall {
  // In the order of syscall_abis(), markers included. -1: that one lacks the call.
  std::array<int64_t, kMaxSyscallAbis> numbers;
  Multiplexer multiplexer;
};
// Nothing when no ABI of this machine has a call of that name.
std::optional<Syscall> find_syscall(std::string_view name);

}  // namespace proa::kernel
