// Emits the BPF program of a seccomp filter from what each system call is to get.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

namespace proa::kernel::seccomp {

enum class Operator : uint8_t { kNotEqual, kLess, kLessOrEqual, kEqual, kGreaterOrEqual, kGreater, kMaskedEqual };

// argument[index] OP value; for kMaskedEqual (argument & mask) == value. `mask` is all ones otherwise.
struct Condition {
  uint8_t index;
  Operator op;
  uint64_t mask;
  uint64_t value;
};
// `action` when every condition holds.
struct Rule {
  uint32_t action;  // SECCOMP_RET_* and its data
  std::vector<Condition> conditions;
};

// Numbers from `first` to the next range's `first`: the first rule that holds, else `action`.
struct Range {
  uint32_t first;
  uint32_t action;
  const std::vector<Rule>* rules;  // may be null; borrowed
  bool wide;                       // arguments have 64 bits
};
// One AUDIT_ARCH_*; ranges ascend and start with 0.
struct ArchTable {
  uint32_t audit_arch;
  std::vector<Range> ranges;
};

// The first table's calls get to their decision soonest. Other architectures get `bad_arch_action`.
// The result may be longer than the kernel takes (BPF_MAXINSNS).
std::vector<sock_filter> emit_program(std::span<const ArchTable> tables, uint32_t bad_arch_action);

}  // namespace proa::kernel::seccomp
