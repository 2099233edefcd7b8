#include "kernel/seccomp_program.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <bit>
#include <cstddef>

namespace proa::kernel::seccomp {
namespace {

// Conditional jumps reach this far.
constexpr size_t kShortJump = 255;

constexpr uint32_t kLowHalf = std::endian::native == std::endian::little ? 0 : 4;
constexpr uint32_t low_offset(uint8_t index) {
  return static_cast<uint32_t>(offsetof(seccomp_data, args) + index * sizeof(uint64_t) + kLowHalf);
}
constexpr uint32_t high_offset(uint8_t index) { return low_offset(index) ^ 4; }

// Emits from the end to the start: all jumps lead forward, so each one's distance is known when it is
// emitted. The caller turns the result round.
class Emitter {
 public:
  Emitter() { out_.reserve(1024); }
  std::vector<sock_filter> finish() {
    std::ranges::reverse(out_);
    return std::move(out_);
  }

  size_t size() const { return out_.size(); }
  void ret(uint32_t action) { out_.push_back(BPF_STMT(BPF_RET | BPF_K, action)); }
  void load(uint32_t offset) { out_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)); }
  void mask(uint32_t bits) { out_.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits)); }
  // To what comes next after the jump (0), or past `distance` instructions that are already emitted.
  void jump_if(uint16_t comparison, uint32_t value, size_t when_true, size_t when_false) {
    out_.push_back(BPF_JUMP(static_cast<uint16_t>(BPF_JMP | comparison | BPF_K), value, static_cast<uint8_t>(when_true),
                            static_cast<uint8_t>(when_false)));
  }
  // Goes on with the next instruction when the comparison is (not) true, else past `distance` ones,
  // however far.
  void skip_if(uint16_t comparison, uint32_t value, size_t distance) {
    if (distance <= kShortJump) {
      jump_if(comparison, value, distance, 0);
    } else {
      always(distance);
      jump_if(comparison, value, 0, 1);
    }
  }
  void skip_unless(uint16_t comparison, uint32_t value, size_t distance) {
    if (distance <= kShortJump) {
      jump_if(comparison, value, 0, distance);
    } else {
      always(distance);
      jump_if(comparison, value, 1, 0);
    }
  }

 private:
  void always(size_t distance) { out_.push_back(BPF_STMT(BPF_JMP | BPF_JA, static_cast<uint32_t>(distance))); }

  std::vector<sock_filter> out_;
};

// A condition as code: goes on with the next instruction when it holds, else to the rule's end. With
// `rule_end` the emitter's size there.
class ConditionCode {
 public:
  ConditionCode(Emitter& out, const Condition& condition, size_t rule_end)
      : out_(out), condition_(condition), rule_end_(rule_end), condition_end_(out.size()) {}

  void emit(bool wide) {
    if (!wide)
      low_half();
    else if (condition_.op == Operator::kEqual || condition_.op == Operator::kMaskedEqual)
      equal_halves();
    else
      ordered_halves();
  }

 private:
  size_t fails() const { return out_.size() - rule_end_; }
  size_t holds() const { return out_.size() - condition_end_; }
  uint32_t low_value() const { return static_cast<uint32_t>(condition_.value); }
  uint32_t high_value() const { return static_cast<uint32_t>(condition_.value >> 32); }

  void load_masked(uint32_t offset, uint32_t bits) {
    if (bits != ~0u) out_.mask(bits);
    out_.load(offset);
  }

  // The comparison where the low half decides: alone, or because the high halves are equal.
  void low_half() {
    const auto bits = static_cast<uint32_t>(condition_.mask);
    switch (condition_.op) {
      case Operator::kEqual:
      case Operator::kMaskedEqual: out_.jump_if(BPF_JEQ, low_value(), holds(), fails()); break;
      case Operator::kNotEqual: out_.jump_if(BPF_JEQ, low_value(), fails(), holds()); break;
      case Operator::kGreater: out_.jump_if(BPF_JGT, low_value(), holds(), fails()); break;
      case Operator::kGreaterOrEqual: out_.jump_if(BPF_JGE, low_value(), holds(), fails()); break;
      case Operator::kLess: out_.jump_if(BPF_JGE, low_value(), fails(), holds()); break;
      case Operator::kLessOrEqual: out_.jump_if(BPF_JGT, low_value(), fails(), holds()); break;
    }
    load_masked(low_offset(condition_.index), bits);
  }

  void equal_halves() {
    const auto high_bits = static_cast<uint32_t>(condition_.mask >> 32);
    low_half();
    if (high_bits == 0) return;
    out_.jump_if(BPF_JEQ, high_value(), 0, fails());
    load_masked(high_offset(condition_.index), high_bits);
  }

  // The high half decides unless it is equal.
  void ordered_halves() {
    low_half();
    switch (condition_.op) {
      case Operator::kNotEqual: out_.jump_if(BPF_JEQ, high_value(), 0, holds()); break;
      case Operator::kGreater:
      case Operator::kGreaterOrEqual:
        out_.jump_if(BPF_JEQ, high_value(), 0, fails());
        out_.jump_if(BPF_JGT, high_value(), holds(), 0);
        break;
      default:
        out_.jump_if(BPF_JEQ, high_value(), 0, holds());
        out_.jump_if(BPF_JGT, high_value(), fails(), 0);
        break;
    }
    out_.load(high_offset(condition_.index));
  }

  Emitter& out_;
  const Condition& condition_;
  size_t rule_end_, condition_end_;
};

void emit_rule(Emitter& out, const Rule& rule, bool wide) {
  const size_t rule_end = out.size();
  out.ret(rule.action);
  for (auto condition = rule.conditions.rbegin(); condition != rule.conditions.rend(); ++condition)
    ConditionCode(out, *condition, rule_end).emit(wide);
}

void emit_decision(Emitter& out, const Range& range) {
  out.ret(range.action);
  if (range.rules == nullptr) return;
  for (auto rule = range.rules->rbegin(); rule != range.rules->rend(); ++rule) emit_rule(out, *rule, range.wide);
}

// A binary search over the ranges; the call's number is loaded.
void emit_search(Emitter& out, std::span<const Range> ranges) {
  if (ranges.size() == 1) return emit_decision(out, ranges.front());
  const size_t middle = ranges.size() / 2;
  emit_search(out, ranges.subspan(middle));
  const size_t before = out.size();
  emit_search(out, ranges.first(middle));
  out.skip_if(BPF_JGE, ranges[middle].first, out.size() - before);
}

}  // namespace

std::vector<sock_filter> emit_program(std::span<const ArchTable> tables, uint32_t bad_arch_action) {
  Emitter out;
  out.ret(bad_arch_action);
  for (auto table = tables.rbegin(); table != tables.rend(); ++table) {
    const size_t before = out.size();
    emit_search(out, table->ranges);
    out.load(offsetof(seccomp_data, nr));
    out.skip_unless(BPF_JEQ, table->audit_arch, out.size() - before);
  }
  out.load(offsetof(seccomp_data, arch));
  return out.finish();
}

}  // namespace proa::kernel::seccomp
