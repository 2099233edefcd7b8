#include "kernel/seccomp.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "kernel/seccomp_program.h"
#include "kernel/sys.h"
#include "kernel/syscall_names.h"

namespace proa::kernel {
namespace {

using seccomp::ArchTable;
using seccomp::Condition;
using seccomp::Operator;
using seccomp::Range;
using seccomp::Rule;

constexpr CallShape kSeccomp{SYS_seccomp, "seccomp", "dxp"};

constexpr NamedNumber kActions[] = {
    {"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW},
    {"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO},
    {"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
    {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
    {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
    {"SCMP_ACT_LOG", SECCOMP_RET_LOG},
    {"SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF},
    {"SCMP_ACT_TRACE", SECCOMP_RET_TRACE},
    {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP},
};

constexpr NamedNumber kOperators[] = {
    {"SCMP_CMP_EQ", static_cast<uint64_t>(Operator::kEqual)},
    {"SCMP_CMP_GE", static_cast<uint64_t>(Operator::kGreaterOrEqual)},
    {"SCMP_CMP_GT", static_cast<uint64_t>(Operator::kGreater)},
    {"SCMP_CMP_LE", static_cast<uint64_t>(Operator::kLessOrEqual)},
    {"SCMP_CMP_LT", static_cast<uint64_t>(Operator::kLess)},
    {"SCMP_CMP_MASKED_EQ", static_cast<uint64_t>(Operator::kMaskedEqual)},
    {"SCMP_CMP_NE", static_cast<uint64_t>(Operator::kNotEqual)},
};

// config-linux.md, "Seccomp", `architectures`. The n32 MIPS names share their audit numbers' base.
constexpr NamedNumber kArchitectures[] = {
    {"SCMP_ARCH_AARCH64", AUDIT_ARCH_AARCH64},
    {"SCMP_ARCH_ARM", AUDIT_ARCH_ARM},
    {"SCMP_ARCH_LOONGARCH64", AUDIT_ARCH_LOONGARCH64},
    {"SCMP_ARCH_M68K", AUDIT_ARCH_M68K},
    {"SCMP_ARCH_MIPS", AUDIT_ARCH_MIPS},
    {"SCMP_ARCH_MIPS64", AUDIT_ARCH_MIPS64},
    {"SCMP_ARCH_MIPS64N32", AUDIT_ARCH_MIPS64N32},
    {"SCMP_ARCH_MIPSEL", AUDIT_ARCH_MIPSEL},
    {"SCMP_ARCH_MIPSEL64", AUDIT_ARCH_MIPSEL64},
    {"SCMP_ARCH_MIPSEL64N32", AUDIT_ARCH_MIPSEL64N32},
    {"SCMP_ARCH_PARISC", AUDIT_ARCH_PARISC},
    {"SCMP_ARCH_PARISC64", AUDIT_ARCH_PARISC64},
    {"SCMP_ARCH_PPC", AUDIT_ARCH_PPC},
    {"SCMP_ARCH_PPC64", AUDIT_ARCH_PPC64},
    {"SCMP_ARCH_PPC64LE", AUDIT_ARCH_PPC64LE},
    {"SCMP_ARCH_RISCV64", AUDIT_ARCH_RISCV64},
    {"SCMP_ARCH_S390", AUDIT_ARCH_S390},
    {"SCMP_ARCH_S390X", AUDIT_ARCH_S390X},
    {"SCMP_ARCH_SH", AUDIT_ARCH_SHEL},
    {"SCMP_ARCH_SHEB", AUDIT_ARCH_SH},
    {"SCMP_ARCH_X32", AUDIT_ARCH_X86_64},
    {"SCMP_ARCH_X86", AUDIT_ARCH_I386},
    {"SCMP_ARCH_X86_64", AUDIT_ARCH_X86_64},
};

constexpr NamedNumber kFlags[] = {
    {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
};

constexpr uint32_t kMaxErrno = 4095;  // the kernel cuts what is larger
constexpr uint32_t kMaxTraceData = SECCOMP_RET_DATA;
constexpr uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;
constexpr uint32_t kBadArch = SECCOMP_RET_KILL_THREAD;
// What a tracer puts in place of a call's number to have it skipped.
constexpr uint32_t kSkippedCall = ~0u;

uint32_t action_kind(uint32_t action) { return action & SECCOMP_RET_ACTION_FULL; }

// The kernel's own order (seccomp(2)): KILL_PROCESS first, ALLOW last.
bool more_permissive(uint32_t action, uint32_t than) {
  return static_cast<int32_t>(action_kind(action)) > static_cast<int32_t>(action_kind(than));
}

// Whether calls that nobody knows yet are for a filter with this default to refuse with ENOSYS. A
// tracer is taken to handle them itself.
bool refuses_unknown_calls(uint32_t default_action) {
  if (default_action == kEnosys) return false;
  switch (action_kind(default_action)) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_TRACE: return false;
    default: return true;
  }
}

template <typename... Field>
Result<uint32_t> read_action(const std::string& name, const std::optional<uint32_t>& errno_ret,
                             std::string_view errno_field, const Field&... field) {
  const std::optional<uint64_t> known = number_of(kActions, name);
  if (!known) return fail(field..., ": \"", name, "\" is not known").hint(joined_names(kActions));
  const auto kind = static_cast<uint32_t>(*known);
  if (kind != SECCOMP_RET_ERRNO && kind != SECCOMP_RET_TRACE) {
    if (errno_ret) return fail(errno_field, ": ", name, " takes none");
    return kind;
  }
  const uint32_t limit = kind == SECCOMP_RET_ERRNO ? kMaxErrno : kMaxTraceData;
  const uint32_t data = errno_ret.value_or(EPERM);
  if (data > limit) return fail(errno_field, ": ", data, " is over ", limit);
  return kind | data;
}

// What the profile says about the calls of one ABI.
class CallTable {
 public:
  CallTable(const SyscallAbi& abi, uint32_t default_action)
      : abi_(&abi), default_action_(default_action), low_(kLowCalls) {}

  const SyscallAbi& abi() const { return *abi_; }
  // Named at all, if only to say what the default says.
  void note(uint32_t number) { last_ = std::max(last_.value_or(0), number & ~abi_->marker); }

  void decide(uint32_t number, uint32_t action) {
    Slot& slot = slot_of(number);
    if (slot.state != Slot::kDecided) slot = {.state = Slot::kDecided, .action = action};
  }
  void add_rule(uint32_t number, uint32_t action, std::vector<Condition> conditions) {
    Slot& slot = slot_of(number);
    if (slot.state == Slot::kDecided) return;
    if (slot.state == Slot::kDefault) {
      slot.state = static_cast<int32_t>(rules_.size());
      rules_.emplace_back();
    }
    rules_[static_cast<size_t>(slot.state)].push_back({.action = action, .conditions = std::move(conditions)});
  }

  // Views into this table.
  void append_ranges(std::vector<Range>& out) const {
    append(out, 0, default_action_);  // a later first call of number 0 takes its place
    for (uint32_t number = 0; number < kLowCalls; ++number) append_slot(out, number, low_[number]);
    for (const auto& [number, slot] : high_) {
      append_slot(out, number, slot);
      append(out, number + 1, default_action_);
    }
    if (last_ && refuses_unknown_calls(default_action_)) {
      drop_from(out, *last_ + 1);
      append(out, *last_ + 1, kEnosys);
    }
  }

 private:
  // Nearly all numbers are small; arm has a few of its own far up.
  static constexpr uint32_t kLowCalls = 640;

  struct Slot {
    static constexpr int32_t kDefault = -1, kDecided = -2;
    int32_t state = kDefault;  // or an index of rules_
    uint32_t action = 0;
  };

  Slot& slot_of(uint32_t number) {
    number &= ~abi_->marker;
    return number < kLowCalls ? low_[number] : high_[number];
  }
  void append_slot(std::vector<Range>& out, uint32_t number, const Slot& slot) const {
    append(out, number, slot.state == Slot::kDecided ? slot.action : default_action_,
           slot.state >= 0 ? &rules_[static_cast<size_t>(slot.state)] : nullptr);
  }
  void append(std::vector<Range>& out, uint32_t number, uint32_t action,
              const std::vector<Rule>* rules = nullptr) const {
    const uint32_t first = number | abi_->marker;
    if (!out.empty() && out.back().first == first) out.pop_back();
    if (!out.empty() && rules == nullptr && out.back().rules == nullptr && out.back().action == action) return;
    out.push_back({.first = first, .action = action, .rules = rules, .wide = abi_->wide});
  }
  void drop_from(std::vector<Range>& out, uint32_t number) const {
    while (!out.empty() && out.back().first >= (number | abi_->marker)) out.pop_back();
  }

  const SyscallAbi* abi_;
  uint32_t default_action_;
  std::optional<uint32_t> last_;
  std::vector<Slot> low_;
  std::map<uint32_t, Slot> high_;
  std::vector<std::vector<Rule>> rules_;
};

class Compiler {
 public:
  Compiler(const Seccomp& profile, std::vector<std::string>* skipped) : profile_(profile), skipped_(skipped) {}

  Result<SeccompFilter> run() {
    default_action_ =
        TRY(read_action(profile_.default_action, profile_.default_errno_ret, "defaultErrnoRet", "defaultAction"));
    if (default_action_ == SECCOMP_RET_USER_NOTIF)
      return fail("defaultAction: SCMP_ACT_NOTIFY cannot be the default: the container could not start");
    TRY(read_architectures());
    for (size_t i = 0; i < profile_.syscalls.size(); ++i)
      TRY(add_entry(profile_.syscalls[i], cat("syscalls[", i, "]")));
    TRY(check_listener());
    TRY(read_flags());
    TRY(emit());
    return std::move(filter_);
  }

 private:
  Result<> read_architectures() {
    const std::span<const SyscallAbi> abis = syscall_abis();
    std::vector<bool> wanted(abis.size());
    wanted[0] = true;
    for (size_t i = 0; i < profile_.architectures.size(); ++i) {
      const std::string& name = profile_.architectures[i];
      if (!number_of(kArchitectures, name))
        return fail("architectures[", i, "]: \"", name, "\" is not known").hint(joined_names(kArchitectures));
      if (const auto abi = std::ranges::find(abis, name, &SyscallAbi::name); abi != abis.end())
        wanted[static_cast<size_t>(abi - abis.begin())] = true;
    }
    tables_.resize(abis.size());
    for (size_t i = 0; i < abis.size(); ++i)
      if (wanted[i]) tables_[i].emplace(abis[i], default_action_);
    return {};
  }

  Result<> add_entry(const SeccompSyscall& entry, const std::string& field) {
    if (entry.names.empty()) return fail(field, ".names: must not be empty");
    const uint32_t action = TRY(read_action(entry.action, entry.errno_ret, cat(field, ".errnoRet"), field, ".action"));
    const std::vector<Condition> conditions = TRY(read_conditions(entry.args, field));
    const bool notify = action_kind(action) == SECCOMP_RET_USER_NOTIF;
    filter_.needs_listener = filter_.needs_listener || notify;
    for (size_t i = 0; i < entry.names.size(); ++i) {
      const std::string& name = entry.names[i];
      if (name.empty()) return fail(field, ".names[", i, "]: must not be empty");
      if (notify && name == "write")
        return fail(field, ".names[", i,
                    "]: SCMP_ACT_NOTIFY cannot be used for write: the listener is handed over with it");
      add_call(name, action, conditions);
    }
    return {};
  }

  static Result<std::vector<Condition>> read_conditions(const std::vector<SeccompArg>& args, const std::string& field) {
    std::vector<Condition> conditions;
    conditions.reserve(args.size());
    for (size_t i = 0; i < args.size(); ++i) {
      const SeccompArg& arg = args[i];
      const std::optional<uint64_t> known = number_of(kOperators, arg.op);
      if (!known) return fail(field, ".args[", i, "].op: \"", arg.op, "\" is not known").hint(joined_names(kOperators));
      if (arg.index > 5) return fail(field, ".args[", i, "].index: ", arg.index, " is over 5");
      Condition condition{.index = static_cast<uint8_t>(arg.index),
                          .op = static_cast<Operator>(*known),
                          .mask = ~uint64_t{0},
                          .value = arg.value};
      if (condition.op == Operator::kMaskedEqual) {
        condition.mask = arg.value;
        condition.value = arg.value_two & arg.value;
      }
      conditions.push_back(condition);
    }
    return conditions;
  }

  void add_call(const std::string& name, uint32_t action, const std::vector<Condition>& conditions) {
    const std::optional<Syscall> call = find_syscall(name);
    if (!call) {
      if (skipped_ != nullptr) skipped_->push_back(name);
      return;
    }
    for (size_t i = 0; i < tables_.size(); ++i) {
      if (!tables_[i]) continue;
      if (call->numbers[i] >= 0) add_number(*tables_[i], static_cast<uint32_t>(call->numbers[i]), action, conditions);
      if (call->multiplexer.audit_arch == tables_[i]->abi().audit_arch)
        add_multiplexed(*tables_[i], call->multiplexer, action, conditions);
    }
  }

  void add_number(CallTable& table, uint32_t number, uint32_t action, const std::vector<Condition>& conditions) const {
    table.note(number);
    if (action == default_action_) return;
    if (conditions.empty()) return table.decide(number, action);
    if (names_an_argument_twice(conditions)) {
      for (const Condition& condition : conditions) table.add_rule(number, action, {condition});
    } else {
      table.add_rule(number, action, conditions);
    }
  }

  // The arguments of a multiplexed call stand in memory, out of a filter's sight. So a rule with args
  // is taken to match where it forbids, and not to where it permits.
  void add_multiplexed(CallTable& table, const Multiplexer& by, uint32_t action,
                       const std::vector<Condition>& conditions) const {
    table.note(by.number);
    if (action == default_action_ || (!conditions.empty() && more_permissive(action, default_action_))) return;
    table.add_rule(by.number, action,
                   {{.index = 0, .op = Operator::kMaskedEqual, .mask = by.mask, .value = by.selector}});
  }

  static bool names_an_argument_twice(const std::vector<Condition>& conditions) {
    unsigned seen = 0;
    for (const Condition& condition : conditions) {
      if ((seen & 1u << condition.index) != 0) return true;
      seen |= 1u << condition.index;
    }
    return false;
  }

  Result<> check_listener() const {
    if (filter_.needs_listener && profile_.listener_path.empty())
      return fail("listenerPath: is required with SCMP_ACT_NOTIFY");
    if (!profile_.listener_metadata.empty() && profile_.listener_path.empty())
      return fail("listenerMetadata: needs listenerPath");
    return {};
  }

  Result<> read_flags() {
    if (!profile_.flags) {
      filter_.flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
      return {};
    }
    for (size_t i = 0; i < profile_.flags->size(); ++i) {
      const std::string& name = (*profile_.flags)[i];
      const std::optional<uint64_t> known = number_of(kFlags, name);
      if (!known) return fail("flags[", i, "]: \"", name, "\" is not known").hint(joined_names(kFlags));
      // The process that takes the filter has one thread: there is nothing to synchronize.
      if (*known == SECCOMP_FILTER_FLAG_TSYNC) continue;
      // About waiting for a listener's answer; the kernel refuses it where there is no listener.
      if (*known == SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV && !filter_.needs_listener) continue;
      filter_.flags |= static_cast<unsigned>(*known);
    }
    return {};
  }

  Result<> emit() {
    std::vector<ArchTable> archs;
    const std::span<const SyscallAbi> abis = syscall_abis();
    for (size_t i = 0; i < abis.size(); ++i) {
      const bool shares = !archs.empty() && archs.front().audit_arch == abis[i].audit_arch;
      if (shares) {
        append_marked(archs.front().ranges, abis[i], tables_[i]);
      } else if (tables_[i]) {
        ArchTable& arch = archs.emplace_back(ArchTable{.audit_arch = abis[i].audit_arch, .ranges = {}});
        tables_[i]->append_ranges(arch.ranges);
      }
    }
    filter_.program = seccomp::emit_program(archs, kBadArch);
    if (filter_.program.size() > BPF_MAXINSNS)
      return fail("the filter has ", filter_.program.size(), " instructions, the kernel takes ", BPF_MAXINSNS);
    return {};
  }

  // x32: on from the native ABI's numbers; when the profile does not have it, its calls are those of
  // a bad architecture, but for what is no call at all.
  void append_marked(std::vector<Range>& ranges, const SyscallAbi& abi, const std::optional<CallTable>& table) const {
    if (table) return table->append_ranges(ranges);
    ranges.push_back({.first = abi.marker, .action = kBadArch, .rules = nullptr, .wide = abi.wide});
    ranges.push_back({.first = kSkippedCall, .action = default_action_, .rules = nullptr, .wide = abi.wide});
  }

  const Seccomp& profile_;
  std::vector<std::string>* skipped_;
  uint32_t default_action_ = 0;
  std::vector<std::optional<CallTable>> tables_;  // as syscall_abis(); none: not wanted
  SeccompFilter filter_;
};

}  // namespace

Result<SeccompFilter> compile_seccomp(const Seccomp& profile, std::vector<std::string>* skipped) {
  return Compiler(profile, skipped).run();
}

NameTable seccomp_action_names() { return kActions; }
NameTable seccomp_operator_names() { return kOperators; }
NameTable seccomp_architecture_names() { return kArchitectures; }
NameTable seccomp_flag_names() { return kFlags; }

std::vector<std::string> supported_seccomp_flags() {
  std::vector<std::string> supported;
  for (const NamedNumber& flag : kFlags) {
    uint64_t bits = flag.number;
    if (bits == SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) bits |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // No program is given: a kernel that knows the flags gets as far as missing it.
    if (call(kSeccomp, SECCOMP_SET_MODE_FILTER, bits, nullptr) == -EFAULT) supported.emplace_back(flag.name);
  }
  return supported;
}

}  // namespace proa::kernel
