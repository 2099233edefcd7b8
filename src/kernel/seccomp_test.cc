#include "kernel/seccomp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <map>
#include <random>

#include "kernel/file.h"
#include "kernel/seccomp_interpreter.h"
#include "kernel/seccomp_program.h"
#include "kernel/syscall_names.h"

namespace proa::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM;
constexpr uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;
constexpr uint32_t kX32 = 0x40000000;

Seccomp profile(std::string default_action, std::vector<SeccompSyscall> syscalls = {}) {
  Seccomp made;
  made.default_action = std::move(default_action);
  made.syscalls = std::move(syscalls);
  return made;
}

SeccompSyscall rule(std::vector<std::string> names, std::string action, std::vector<SeccompArg> args = {}) {
  return {.names = std::move(names), .action = std::move(action), .errno_ret = {}, .args = std::move(args)};
}

SeccompArg arg(uint32_t index, std::string op, uint64_t value, uint64_t value_two = 0) {
  return {.index = index, .value = value, .value_two = value_two, .op = std::move(op)};
}

class Filter {
 public:
  explicit Filter(const Seccomp& from) {
    Result<SeccompFilter> compiled = compile_seccomp(from);
    EXPECT_TRUE(compiled) << compiled.error().message();
    if (compiled) filter_ = std::move(*compiled);
  }
  uint32_t on(uint32_t arch, uint32_t number, std::array<uint64_t, 6> args = {}) const {
    seccomp_data data{.nr = static_cast<int>(number), .arch = arch, .instruction_pointer = 0, .args = {}};
    std::copy(args.begin(), args.end(), data.args);
    return interpret(filter_.program, data);
  }
  uint32_t operator()(long number, std::array<uint64_t, 6> args = {}) const {
    return on(AUDIT_ARCH_X86_64, static_cast<uint32_t>(number), args);
  }
  const SeccompFilter& get() const { return filter_; }

 private:
  SeccompFilter filter_;
};

std::string error_of(const Seccomp& from) {
  const Result<SeccompFilter> compiled = compile_seccomp(from);
  return compiled ? "no error" : compiled.error().message();
}

TEST(Seccomp, EveryActionIsWhatTheKernelCallsIt) {
  const std::pair<const char*, uint32_t> actions[] = {
      {"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
      {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
      {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
      {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP},
      {"SCMP_ACT_ERRNO", kEperm},
      {"SCMP_ACT_TRACE", SECCOMP_RET_TRACE | EPERM},
      {"SCMP_ACT_LOG", SECCOMP_RET_LOG},
      {"SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF},
  };
  for (const auto& [name, expected] : actions) {
    Seccomp allowing = profile("SCMP_ACT_ALLOW", {rule({"chmod"}, name)});
    allowing.listener_path = "/run/agent.sock";
    const Filter filter(allowing);
    EXPECT_EQ(filter(SYS_chmod), expected) << name;
    EXPECT_EQ(filter(SYS_chown), SECCOMP_RET_ALLOW);
    EXPECT_EQ(filter.get().needs_listener, expected == SECCOMP_RET_USER_NOTIF);
  }
  EXPECT_EQ(Filter(profile("SCMP_ACT_KILL_PROCESS", {rule({"chmod"}, "SCMP_ACT_ALLOW")}))(SYS_read),
            SECCOMP_RET_KILL_PROCESS);
}

TEST(Seccomp, ErrnoIsTheOneGiven) {
  Seccomp from = profile("SCMP_ACT_ERRNO", {rule({"chmod"}, "SCMP_ACT_ERRNO"), rule({"chown"}, "SCMP_ACT_TRACE")});
  from.default_errno_ret = 38;
  from.syscalls[0].errno_ret = 22;
  from.syscalls[1].errno_ret = 4242;
  const Filter filter(from);
  EXPECT_EQ(filter(SYS_chmod), SECCOMP_RET_ERRNO | 22u);
  EXPECT_EQ(filter(SYS_chown), SECCOMP_RET_TRACE | 4242u);
  EXPECT_EQ(filter(SYS_read), kEnosys);
}

TEST(Seccomp, OperatorsCompareSixtyFourBits) {
  const uint64_t value = 0x1'0000'0005;
  // Below, at and above the value; with the two halves pulling different ways.
  const uint64_t probes[] = {
      0, 5, 0xffff'ffff, 0x1'0000'0004, value, 0x1'0000'0006, 0x2'0000'0000, 0x2'0000'0005, ~uint64_t{0}};
  const std::pair<const char*, bool (*)(uint64_t, uint64_t)> operators[] = {
      {"SCMP_CMP_NE", [](uint64_t a, uint64_t b) { return a != b; }},
      {"SCMP_CMP_LT", [](uint64_t a, uint64_t b) { return a < b; }},
      {"SCMP_CMP_LE", [](uint64_t a, uint64_t b) { return a <= b; }},
      {"SCMP_CMP_EQ", [](uint64_t a, uint64_t b) { return a == b; }},
      {"SCMP_CMP_GE", [](uint64_t a, uint64_t b) { return a >= b; }},
      {"SCMP_CMP_GT", [](uint64_t a, uint64_t b) { return a > b; }},
  };
  for (const auto& [name, holds] : operators) {
    const Filter filter(profile("SCMP_ACT_ALLOW", {rule({"chmod"}, "SCMP_ACT_ERRNO", {arg(2, name, value)})}));
    for (const uint64_t probe : probes)
      EXPECT_EQ(filter(SYS_chmod, {0, 0, probe}), holds(probe, value) ? kEperm : SECCOMP_RET_ALLOW)
          << name << " " << probe;
  }
}

TEST(Seccomp, MaskedEqualLooksAtTheMaskedBits) {
  const uint64_t mask = 0xff'0000'00f0;
  const Filter filter(profile(
      "SCMP_ACT_ALLOW", {rule({"clone"}, "SCMP_ACT_ERRNO", {arg(0, "SCMP_CMP_MASKED_EQ", mask, 0x1'0000'0010)})}));
  EXPECT_EQ(filter(SYS_clone, {0x1'0000'0010}), kEperm);
  EXPECT_EQ(filter(SYS_clone, {0xf01'ffff'ff1f & ~uint64_t{0xfe'0000'0000}}), kEperm);
  EXPECT_EQ(filter(SYS_clone, {0x10}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(filter(SYS_clone, {0x1'0000'0030}), SECCOMP_RET_ALLOW);
}

TEST(Seccomp, AllConditionsOfARuleMustHold) {
  const Filter filter(profile(
      "SCMP_ACT_ALLOW", {rule({"socket"}, "SCMP_ACT_ERRNO", {arg(0, "SCMP_CMP_EQ", 16), arg(2, "SCMP_CMP_EQ", 9)})}));
  EXPECT_EQ(filter(SYS_socket, {16, 0, 9}), kEperm);
  EXPECT_EQ(filter(SYS_socket, {16, 0, 8}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(filter(SYS_socket, {15, 0, 9}), SECCOMP_RET_ALLOW);
}

TEST(Seccomp, ConditionsOnOneArgumentAreAlternatives) {
  const Filter filter(profile("SCMP_ACT_ERRNO", {rule({"personality"}, "SCMP_ACT_ALLOW",
                                                      {arg(0, "SCMP_CMP_EQ", 0), arg(0, "SCMP_CMP_EQ", 8)})}));
  EXPECT_EQ(filter(SYS_personality, {0}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(filter(SYS_personality, {8}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(filter(SYS_personality, {1}), kEperm);
}

TEST(Seccomp, RulesForOneCallAreTriedInOrder) {
  const Filter filter(profile("SCMP_ACT_ERRNO", {rule({"socket"}, "SCMP_ACT_LOG", {arg(0, "SCMP_CMP_EQ", 1)}),
                                                 rule({"socket"}, "SCMP_ACT_ALLOW", {arg(0, "SCMP_CMP_LE", 2)})}));
  EXPECT_EQ(filter(SYS_socket, {1}), SECCOMP_RET_LOG);
  EXPECT_EQ(filter(SYS_socket, {2}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(filter(SYS_socket, {3}), kEperm);
}

TEST(Seccomp, RuleWithoutArgumentsDecides) {
  const SeccompSyscall conditional = rule({"chmod"}, "SCMP_ACT_TRAP", {arg(0, "SCMP_CMP_EQ", 1)});
  const SeccompSyscall plain = rule({"chmod"}, "SCMP_ACT_ALLOW");
  const SeccompSyscall later = rule({"chmod"}, "SCMP_ACT_LOG");
  EXPECT_EQ(Filter(profile("SCMP_ACT_ERRNO", {conditional, plain, later}))(SYS_chmod, {1}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Filter(profile("SCMP_ACT_ERRNO", {plain, conditional}))(SYS_chmod, {1}), SECCOMP_RET_ALLOW);
}

TEST(Seccomp, RuleThatSaysWhatTheDefaultSaysIsLeftOut) {
  const Filter filter(
      profile("SCMP_ACT_ERRNO", {rule({"chmod"}, "SCMP_ACT_ERRNO"), rule({"chmod"}, "SCMP_ACT_ALLOW")}));
  EXPECT_EQ(filter(SYS_chmod), SECCOMP_RET_ALLOW);
}

TEST(Seccomp, NewerCallsThanTheProfileKnowsAreENOSYS) {
  const auto allowed = [](std::string default_action) {
    return profile(std::move(default_action), {rule({"read", "openat2"}, "SCMP_ACT_ALLOW")});
  };
  for (const char* refusing : {"SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"}) {
    const Filter filter(allowed(refusing));
    EXPECT_EQ(filter(SYS_openat2), SECCOMP_RET_ALLOW);
    EXPECT_NE(filter(SYS_openat2 - 1), kEnosys);
    EXPECT_EQ(filter(SYS_openat2 + 1), kEnosys);
    EXPECT_EQ(filter(100000), kEnosys);
  }
  for (const char* allowing : {"SCMP_ACT_LOG", "SCMP_ACT_TRACE"})
    EXPECT_NE(Filter(allowed(allowing))(SYS_openat2 + 1), kEnosys);
  // One that only repeats the default is known too.
  EXPECT_EQ(Filter(profile("SCMP_ACT_ERRNO", {rule({"openat2"}, "SCMP_ACT_ERRNO")}))(SYS_openat2), kEperm);
}

TEST(Seccomp, OnlyTheProfilesArchitecturesGetIn) {
  Seccomp from = profile("SCMP_ACT_ERRNO", {rule({"chmod", "ioctl"}, "SCMP_ACT_ALLOW")});
  const Filter native(from);
  EXPECT_EQ(native(SYS_chmod), SECCOMP_RET_ALLOW);
  EXPECT_EQ(native.on(AUDIT_ARCH_I386, 15), SECCOMP_RET_KILL_THREAD);
  EXPECT_EQ(native.on(AUDIT_ARCH_AARCH64, SYS_chmod), SECCOMP_RET_KILL_THREAD);
  EXPECT_EQ(native(SYS_chmod | kX32), SECCOMP_RET_KILL_THREAD);
  EXPECT_EQ(native(0xffffffff), kEperm);  // a call that a tracer skips is no x32 call

  from.architectures = {"SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"};
  const Filter all(from);
  EXPECT_EQ(all(SYS_chmod), SECCOMP_RET_ALLOW);
  EXPECT_EQ(all(SYS_chmod | kX32), SECCOMP_RET_ALLOW);
  EXPECT_EQ(all(514 | kX32), SECCOMP_RET_ALLOW);  // x32 has its own ioctl
  EXPECT_EQ(all(SYS_ioctl | kX32), kEperm);
  EXPECT_EQ(all.on(AUDIT_ARCH_I386, 15), SECCOMP_RET_ALLOW);
  EXPECT_EQ(all.on(AUDIT_ARCH_I386, SYS_chmod), kEnosys);
  EXPECT_EQ(all.on(AUDIT_ARCH_AARCH64, 1), SECCOMP_RET_KILL_THREAD);  // none of its programs run here
}

TEST(Seccomp, NarrowArgumentsAreComparedAsThirtyTwoBits) {
  Seccomp from =
      profile("SCMP_ACT_ERRNO", {rule({"personality"}, "SCMP_ACT_ALLOW", {arg(0, "SCMP_CMP_EQ", ~uint64_t{0})})});
  from.architectures = {"SCMP_ARCH_X86"};
  const Filter filter(from);
  EXPECT_EQ(filter.on(AUDIT_ARCH_I386, 136, {0xffffffff}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(filter(SYS_personality, {0xffffffff}), kEperm);
  EXPECT_EQ(filter(SYS_personality, {~uint64_t{0}}), SECCOMP_RET_ALLOW);
}

TEST(Seccomp, MultiplexedCallsFollowTheirOwn) {
  Seccomp from = profile("SCMP_ACT_ALLOW", {rule({"socket", "shmget"}, "SCMP_ACT_ERRNO")});
  from.architectures = {"SCMP_ARCH_X86"};
  const Filter denied(from);
  EXPECT_EQ(denied.on(AUDIT_ARCH_I386, 359), kEperm);
  EXPECT_EQ(denied.on(AUDIT_ARCH_I386, 102, {1}), kEperm);
  EXPECT_EQ(denied.on(AUDIT_ARCH_I386, 102, {2}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(denied.on(AUDIT_ARCH_I386, 117, {23}), kEperm);
  EXPECT_EQ(denied.on(AUDIT_ARCH_I386, 117, {0x10000 | 23}), kEperm);
  EXPECT_EQ(denied.on(AUDIT_ARCH_I386, 117, {24}), SECCOMP_RET_ALLOW);

  // Arguments out of sight: forbidden in doubt.
  from.syscalls = {rule({"socket"}, "SCMP_ACT_ERRNO", {arg(0, "SCMP_CMP_EQ", 38)})};
  EXPECT_EQ(Filter(from).on(AUDIT_ARCH_I386, 102, {1}), kEperm);
  from = profile("SCMP_ACT_ERRNO", {rule({"socket"}, "SCMP_ACT_ALLOW", {arg(0, "SCMP_CMP_NE", 38)})});
  from.architectures = {"SCMP_ARCH_X86"};
  EXPECT_EQ(Filter(from).on(AUDIT_ARCH_I386, 102, {1}), kEperm);
}

TEST(Seccomp, UnknownCallsAreReportedAndSkipped) {
  std::vector<std::string> skipped;
  ASSERT_TRUE(compile_seccomp(
      profile("SCMP_ACT_ERRNO", {rule({"read", "warp_drive", "arm_sync_file_range"}, "SCMP_ACT_ALLOW")}), &skipped));
  EXPECT_THAT(skipped, ElementsAre("warp_drive", "arm_sync_file_range"));
}

TEST(Seccomp, FlagsAreThoseOfTheProfile) {
  Seccomp from = profile("SCMP_ACT_ALLOW");
  EXPECT_EQ(Filter(from).get().flags, SECCOMP_FILTER_FLAG_SPEC_ALLOW);
  from.flags.emplace();
  EXPECT_EQ(Filter(from).get().flags, 0u);
  from.flags = {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  EXPECT_EQ(Filter(from).get().flags, SECCOMP_FILTER_FLAG_LOG);
  from.syscalls = {rule({"chmod"}, "SCMP_ACT_NOTIFY")};
  from.listener_path = "/run/agent.sock";
  EXPECT_EQ(Filter(from).get().flags, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
}

TEST(SeccompErrors, NameTheField) {
  EXPECT_EQ(error_of(profile("ALLOW")), "defaultAction: \"ALLOW\" is not known");
  EXPECT_EQ(error_of(profile("SCMP_ACT_ERRNO", {rule({"read"}, "SCMP_ACT_ALLOW"), rule({"read"}, "NO")})),
            "syscalls[1].action: \"NO\" is not known");
  EXPECT_EQ(error_of(profile("SCMP_ACT_ERRNO", {rule({}, "SCMP_ACT_ALLOW")})), "syscalls[0].names: must not be empty");
  EXPECT_EQ(error_of(profile("SCMP_ACT_ERRNO", {rule({"read", ""}, "SCMP_ACT_ALLOW")})),
            "syscalls[0].names[1]: must not be empty");
  EXPECT_EQ(error_of(profile("SCMP_ACT_ERRNO", {rule({"read"}, "SCMP_ACT_ALLOW", {arg(0, "==", 1)})})),
            "syscalls[0].args[0].op: \"==\" is not known");
  EXPECT_EQ(error_of(profile("SCMP_ACT_ERRNO", {rule({"read"}, "SCMP_ACT_ALLOW", {arg(6, "SCMP_CMP_EQ", 1)})})),
            "syscalls[0].args[0].index: 6 is over 5");
  Seccomp from = profile("SCMP_ACT_ALLOW");
  from.architectures = {"SCMP_ARCH_X86_64", "x86"};
  EXPECT_EQ(error_of(from), "architectures[1]: \"x86\" is not known");
  from.architectures.clear();
  from.flags = {"SECCOMP_FILTER_FLAG_NEW_LISTENER"};
  EXPECT_EQ(error_of(from), "flags[0]: \"SECCOMP_FILTER_FLAG_NEW_LISTENER\" is not known");
}

TEST(SeccompErrors, ErrnoIsForActionsThatHaveOne) {
  Seccomp from = profile("SCMP_ACT_ALLOW", {rule({"chmod"}, "SCMP_ACT_TRAP")});
  from.syscalls[0].errno_ret = 1;
  EXPECT_EQ(error_of(from), "syscalls[0].errnoRet: SCMP_ACT_TRAP takes none");
  from.syscalls[0].action = "SCMP_ACT_ERRNO";
  from.syscalls[0].errno_ret = 5000;
  EXPECT_EQ(error_of(from), "syscalls[0].errnoRet: 5000 is over 4095");
  from.syscalls.clear();
  from.default_errno_ret = 1;
  EXPECT_EQ(error_of(from), "defaultErrnoRet: SCMP_ACT_ALLOW takes none");
}

TEST(SeccompErrors, NotifyHasItsRules) {
  EXPECT_THAT(error_of(profile("SCMP_ACT_NOTIFY")), StartsWith("defaultAction: SCMP_ACT_NOTIFY cannot be the default"));
  Seccomp from = profile("SCMP_ACT_ALLOW", {rule({"chmod"}, "SCMP_ACT_NOTIFY")});
  EXPECT_EQ(error_of(from), "listenerPath: is required with SCMP_ACT_NOTIFY");
  from.listener_path = "/run/agent.sock";
  EXPECT_EQ(error_of(from), "no error");
  from.syscalls[0].names.emplace_back("write");
  EXPECT_THAT(error_of(from), StartsWith("syscalls[0].names[1]: SCMP_ACT_NOTIFY cannot be used for write"));
  from = profile("SCMP_ACT_ALLOW");
  from.listener_metadata = "x";
  EXPECT_EQ(error_of(from), "listenerMetadata: needs listenerPath");
}

TEST(SeccompErrors, ProgramThatTheKernelWouldNotTakeIsRefused) {
  Seccomp from = profile("SCMP_ACT_ERRNO");
  for (uint64_t i = 0; i < 1100; ++i)
    from.syscalls.push_back(rule({"ioctl"}, "SCMP_ACT_ALLOW", {arg(1, "SCMP_CMP_EQ", i)}));
  EXPECT_THAT(error_of(from), HasSubstr("the kernel takes 4096"));
}

TEST(SeccompNames, AreTheSpecifications) {
  EXPECT_EQ(seccomp_action_names().size(), 9u);
  EXPECT_EQ(seccomp_operator_names().size(), 7u);
  EXPECT_EQ(seccomp_architecture_names().size(), 23u);
  EXPECT_EQ(seccomp_flag_names().size(), 4u);
  // This kernel's answer; those of Linux 4.14 are always there.
  EXPECT_THAT(supported_seccomp_flags(),
              ::testing::IsSupersetOf({"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"}));
}

// libseccomp's view of the same things.
namespace peer {

constexpr uint32_t kTokens[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32};

uint32_t action(const std::string& name, std::optional<uint32_t> errno_ret) {
  const auto known = static_cast<uint32_t>(*number_of(seccomp_action_names(), name));
  const uint32_t data = known == SECCOMP_RET_ERRNO || known == SECCOMP_RET_TRACE ? errno_ret.value_or(EPERM) : 0;
  return known | data;
}

std::vector<sock_filter> compile(const Seccomp& from) {
  const std::map<std::string, scmp_compare> operators = {{"SCMP_CMP_NE", SCMP_CMP_NE},
                                                         {"SCMP_CMP_LT", SCMP_CMP_LT},
                                                         {"SCMP_CMP_LE", SCMP_CMP_LE},
                                                         {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                                         {"SCMP_CMP_GE", SCMP_CMP_GE},
                                                         {"SCMP_CMP_GT", SCMP_CMP_GT},
                                                         {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  const uint32_t default_action = action(from.default_action, from.default_errno_ret);
  scmp_filter_ctx context = seccomp_init(default_action);
  for (size_t i = 1; i < 3; ++i)
    for (const std::string& name : from.architectures)
      if (name == syscall_abis()[i].name) seccomp_arch_add(context, kTokens[i]);
  for (const SeccompSyscall& entry : from.syscalls) {
    const uint32_t entry_action = action(entry.action, entry.errno_ret);
    if (entry_action == default_action) continue;
    std::vector<scmp_arg_cmp> args;
    args.reserve(entry.args.size());
    for (const SeccompArg& a : entry.args) args.push_back({a.index, operators.at(a.op), a.value, a.value_two});
    for (const std::string& name : entry.names) {
      const int number = seccomp_syscall_resolve_name(name.c_str());
      if (number != __NR_SCMP_ERROR)
        seccomp_rule_add_array(context, entry_action, number, static_cast<unsigned>(args.size()), args.data());
    }
  }
  const Fd file(memfd_create("filter", 0));
  EXPECT_EQ(seccomp_export_bpf(context, file.get()), 0);
  seccomp_release(context);
  lseek(file.get(), 0, SEEK_SET);
  const std::string bytes = read_all(file.get()).value();
  std::vector<sock_filter> program(bytes.size() / sizeof(sock_filter));
  std::memcpy(program.data(), bytes.data(), bytes.size());
  return program;
}

}  // namespace peer

TEST(SyscallNames, AgreeWithLibseccomp) {
  for (size_t abi = 0; abi < syscall_abis().size(); ++abi) {
    for (int number = 0; number < 460; ++number) {
      const int full = number | static_cast<int>(syscall_abis()[abi].marker);
      char* name = seccomp_syscall_resolve_num_arch(peer::kTokens[abi], full);
      if (name == nullptr) continue;
      const std::optional<Syscall> ours = find_syscall(name);
      ASSERT_TRUE(ours) << name;
      EXPECT_EQ(ours->numbers[abi], full) << name << " on " << syscall_abis()[abi].name;
      free(name);
    }
  }
}

TEST(SyscallNames, EveryOneIsFoundAndMultiplexedOnesAreKnown) {
  EXPECT_EQ(find_syscall("read")->numbers[0], SYS_read);
  EXPECT_EQ(find_syscall("write")->numbers[1], 4);
  EXPECT_EQ(find_syscall("file_setattr")->numbers[2], 469 | kX32);
  EXPECT_EQ(find_syscall("accept")->numbers[1], -1);
  EXPECT_EQ(find_syscall("accept")->multiplexer.selector, 5u);
  EXPECT_EQ(find_syscall("rseq")->multiplexer.audit_arch, 0u);
  EXPECT_FALSE(find_syscall("nosuch"));
  EXPECT_FALSE(find_syscall(""));
}

std::string describe(const Seccomp& from) {
  std::string text = cat("default ", from.default_action, "\n");
  for (const SeccompSyscall& entry : from.syscalls) {
    text += cat(entry.names[0], " ", entry.action);
    for (const SeccompArg& a : entry.args) text += cat(" a", a.index, " ", a.op, " ", a.value, "/", a.value_two);
    text += "\n";
  }
  return text;
}

class RandomProfile : public ::testing::TestWithParam<unsigned> {
 protected:
  Seccomp random_profile(unsigned most_rules) {
    static constexpr const char* kNames[] = {"read",        "openat", "clone",  "mount", "chmod",     "ioctl",
                                             "personality", "futex",  "socket", "semop", "ptrace",    "bpf",
                                             "openat2",     "keyctl", "accept", "prctl", "kexec_load"};
    static constexpr const char* kDefaults[] = {"SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"};
    static constexpr const char* kActions[] = {"SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_TRAP",
                                               "SCMP_ACT_KILL_PROCESS"};
    static constexpr const char* kOperators[] = {"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",       "SCMP_CMP_EQ",
                                                 "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"};
    Seccomp made = profile(pick(kDefaults));
    if (coin()) made.architectures.emplace_back("SCMP_ARCH_X86");
    if (coin()) made.architectures.emplace_back("SCMP_ARCH_X32");
    for (const char* name : kNames) {
      if (coin()) continue;
      SeccompSyscall entry = rule({name}, pick(kActions));
      if (coin()) made.syscalls.push_back(entry);
      const bool multiplexed = find_syscall(name)->multiplexer.audit_arch != 0;
      const unsigned rules = multiplexed ? 0 : random_() % (most_rules + 1);
      for (unsigned i = 0; i < rules; ++i) {
        entry.args.clear();
        for (uint32_t index = random_() % 3; index < 6; index += 1 + random_() % 4)
          entry.args.push_back(arg(index, pick(kOperators), value(), value()));
        made.syscalls.push_back(entry);
      }
    }
    return made;
  }
  uint64_t value() {
    static constexpr uint64_t kValues[] = {0,          1,          2,           0x7e020000,  0x7fffffff,
                                           0x80000000, 0xffffffff, 0x100000000, 0x100000001, ~uint64_t{0}};
    return kValues[random_() % std::size(kValues)];
  }
  template <size_t N>
  const char* pick(const char* const (&choices)[N]) {
    return choices[random_() % N];
  }
  bool coin() { return random_() % 2 == 0; }

  std::mt19937 random_{GetParam()};
};

// What the header says about rules, said once more without any program.
uint32_t model(const Seccomp& from, size_t abi, int64_t number, const seccomp_data& data) {
  const auto holds = [&](const SeccompArg& a) {
    const uint64_t bits = syscall_abis()[abi].wide ? ~uint64_t{0} : 0xffffffff;
    const uint64_t is = data.args[a.index] & bits, value = a.value & bits;
    if (a.op == "SCMP_CMP_NE") return is != value;
    if (a.op == "SCMP_CMP_LT") return is < value;
    if (a.op == "SCMP_CMP_LE") return is <= value;
    if (a.op == "SCMP_CMP_EQ") return is == value;
    if (a.op == "SCMP_CMP_GE") return is >= value;
    if (a.op == "SCMP_CMP_GT") return is > value;
    return (is & value) == (a.value_two & value);
  };
  std::optional<uint32_t> plain, matching;
  for (const SeccompSyscall& entry : from.syscalls) {
    if (find_syscall(entry.names[0])->numbers[abi] != number) continue;
    if (entry.args.empty() && !plain) plain = peer::action(entry.action, {});
    if (!matching && std::ranges::all_of(entry.args, holds)) matching = peer::action(entry.action, {});
  }
  return plain ? *plain : matching.value_or(peer::action(from.default_action, {}));
}

TEST_P(RandomProfile, ProgramDoesWhatTheRulesSay) {
  Seccomp from = random_profile(4);
  from.architectures = {"SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  std::erase_if(from.syscalls,
                [](const auto& entry) { return find_syscall(entry.names[0])->multiplexer.audit_arch != 0; });
  const Filter ours(from);
  const uint32_t archs[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_X86_64};
  for (const SeccompSyscall& entry : from.syscalls) {
    for (size_t abi = 0; abi < 3; ++abi) {
      const int64_t number = find_syscall(entry.names[0])->numbers[abi];
      if (number < 0) continue;
      for (int i = 0; i < 500; ++i) {
        seccomp_data data{.nr = static_cast<int>(number), .arch = archs[abi], .instruction_pointer = 0, .args = {}};
        for (auto& argument : data.args) argument = archs[abi] == AUDIT_ARCH_I386 ? value() & 0xffffffff : value();
        ASSERT_EQ(interpret(ours.get().program, data), model(from, abi, number, data)) << describe(from) << data.nr;
      }
    }
  }
}

// With one rule with args for a call at most: libseccomp's tree of several forgets the later ones where
// an earlier one begins to match and then does not.
TEST_P(RandomProfile, LibseccompGivesTheSameAnswers) {
  const Seccomp from = random_profile(1);
  const Filter ours(from);
  const std::vector<sock_filter> theirs = peer::compile(from);
  ASSERT_FALSE(theirs.empty());
  const uint32_t archs[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386};
  for (int i = 0; i < 20000; ++i) {
    seccomp_data data{};
    data.arch = archs[random_() % 2];
    data.nr = static_cast<int>(random_() % 480) |
              (data.arch == AUDIT_ARCH_X86_64 && random_() % 4 == 0 ? static_cast<int>(kX32) : 0);
    // Half of the time one that has rules.
    if (!from.syscalls.empty() && coin())
      if (const int64_t known =
              find_syscall(from.syscalls[random_() % from.syscalls.size()].names[0])->numbers[random_() % 3];
          known >= 0)
        data.nr = static_cast<int>(known);
    for (auto& argument : data.args) argument = data.arch == AUDIT_ARCH_I386 ? value() & 0xffffffff : value();
    ASSERT_EQ(interpret(ours.get().program, data), interpret(theirs, data))
        << describe(from) << "nr " << data.nr << " arch " << data.arch << " args " << data.args[0] << " "
        << data.args[1] << " " << data.args[2];
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomProfile, ::testing::Range(1u, 41u));

// Nothing but the one call: a sanitizer's _exit makes others, which the filter may not allow.
void leave(int code) { syscall(SYS_exit_group, code); }

// For real: the filter is taken by this kernel, in a child.
int status_under(const Seccomp& from, void (*body)()) {
  const Filter filter(from);
  const pid_t child = fork();
  if (child == 0) {
    sock_fprog program{.len = static_cast<unsigned short>(filter.get().program.size()),
                       .filter = const_cast<sock_filter*>(filter.get().program.data())};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(200);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter.get().flags, &program) != 0) _exit(201);
    body();
    leave(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST(SeccompForReal, KernelTakesAndObeysTheFilter) {
  Seccomp from = profile("SCMP_ACT_ALLOW", {rule({"mkdirat", "mkdir"}, "SCMP_ACT_ERRNO"),
                                            rule({"kill"}, "SCMP_ACT_ERRNO", {arg(1, "SCMP_CMP_EQ", 0)})});
  from.syscalls[0].errno_ret = ENETDOWN;
  EXPECT_EQ(status_under(from,
                         [] {
                           if (mkdir("/tmp/proa-seccomp-test", 0700) == 0 || errno != ENETDOWN) leave(1);
                           if (kill(getpid(), 0) == 0 || errno != EPERM) leave(2);
                           if (kill(getpid(), SIGCONT) != 0) leave(3);
                         }),
            0);
}

TEST(SeccompForReal, KilledProcessDiesOfSIGSYS) {
  const Seccomp from = profile("SCMP_ACT_ALLOW", {rule({"getppid"}, "SCMP_ACT_KILL_PROCESS")});
  const int status = status_under(from, [] { getppid(); });
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(WTERMSIG(status), SIGSYS);
}

TEST(SeccompForReal, AllowListLetsAProgramRun) {
  EXPECT_EQ(status_under(profile("SCMP_ACT_ERRNO", {rule({"exit_group", "getpid"}, "SCMP_ACT_ALLOW")}),
                         [] {
                           if (getpid() <= 0 || syscall(SYS_getppid) != -1 || errno != EPERM) leave(1);
                           if (syscall(1000) != -1 || errno != ENOSYS) leave(2);
                         }),
            0);
}

}  // namespace
}  // namespace proa::kernel
