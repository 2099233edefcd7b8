// Runs a seccomp filter's program as the kernel does: the instructions that filters are made of.
// For tests and fuzzing.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <cstring>
#include <span>

namespace proa::kernel {

// The action, or ~0u when the program does what the kernel's checker would not let pass.
inline uint32_t interpret(std::span<const sock_filter> program, const seccomp_data& data) {
  uint32_t accumulator = 0;
  for (size_t at = 0; at < program.size();) {
    const sock_filter& instruction = program[at++];
    switch (instruction.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (instruction.k % 4 != 0 || instruction.k >= sizeof data) return ~0u;
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + instruction.k, sizeof accumulator);
        break;
      case BPF_ALU | BPF_AND | BPF_K: accumulator &= instruction.k; break;
      case BPF_JMP | BPF_JA: at += instruction.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: at += accumulator == instruction.k ? instruction.jt : instruction.jf; break;
      case BPF_JMP | BPF_JGT | BPF_K: at += accumulator > instruction.k ? instruction.jt : instruction.jf; break;
      case BPF_JMP | BPF_JGE | BPF_K: at += accumulator >= instruction.k ? instruction.jt : instruction.jf; break;
      case BPF_RET | BPF_K: return instruction.k;
      default: return ~0u;
    }
  }
  return ~0u;
}

}  // namespace proa::kernel
