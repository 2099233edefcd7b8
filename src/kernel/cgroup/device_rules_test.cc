#include "kernel/cgroup/device_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "kernel/cgroup/device_program.h"
#include "kernel/cgroup/fake_cgroupfs_test.h"

namespace proa::kernel::cgroup {
namespace {

DeviceRule rule(bool allow, char type, std::optional<int64_t> major, std::optional<int64_t> minor,
                std::string access = "rwm") {
  return {.allow = allow, .type = type, .major = major, .minor = minor, .access = std::move(access)};
}

DevicePolicy policy_of(const std::vector<DeviceRule>& rules) {
  DevicePolicy policy;
  for (const DeviceRule& one : rules) {
    const auto done = policy.apply(one);
    EXPECT_TRUE(done.has_value()) << done.error().message();
  }
  return policy;
}

std::vector<std::string> lines(const std::vector<DevicePolicy::Step>& steps) {
  std::vector<std::string> out;
  out.reserve(steps.size());
  for (const auto& step : steps) out.push_back((step.allow ? "allow " : "deny ") + step.line);
  return out;
}

// As the kernel runs a program of ours: enough of eBPF for what device_program() may emit.
uint64_t run(const std::vector<bpf_insn>& program, const bpf_cgroup_dev_ctx& context) {
  uint64_t r[11] = {};
  bool set[11] = {};
  set[1] = true;  // r1 is the context until it is overwritten
  bool context_gone = false;
  for (size_t pc = 0, steps = 0; pc < program.size() && steps < 100000; ++pc, ++steps) {
    const bpf_insn& in = program[pc];
    const auto want = [&](int reg) { EXPECT_TRUE(set[reg]) << "r" << reg << " read before written at " << pc; };
    switch (in.code) {
      case BPF_LDX | BPF_MEM | BPF_W: {
        EXPECT_EQ(in.src_reg, 1);
        EXPECT_FALSE(context_gone);
        uint32_t value = 0;
        std::memcpy(&value, reinterpret_cast<const char*>(&context) + in.off, sizeof value);
        r[in.dst_reg] = value;
        set[in.dst_reg] = true;
        break;
      }
      case BPF_ALU | BPF_MOV | BPF_K:
        r[in.dst_reg] = static_cast<uint32_t>(in.imm);
        set[in.dst_reg] = true;
        break;
      case BPF_ALU | BPF_MOV | BPF_X:
        want(in.src_reg);
        context_gone |= in.dst_reg == 1;
        r[in.dst_reg] = static_cast<uint32_t>(r[in.src_reg]);
        set[in.dst_reg] = true;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        want(in.dst_reg);
        r[in.dst_reg] &= static_cast<uint32_t>(in.imm);
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        want(in.dst_reg);
        r[in.dst_reg] = static_cast<uint32_t>(r[in.dst_reg]) >> in.imm;
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        if (static_cast<uint32_t>(r[in.dst_reg]) != static_cast<uint32_t>(in.imm)) pc += static_cast<size_t>(in.off);
        break;
      case BPF_JMP32 | BPF_JEQ | BPF_K:
        if (static_cast<uint32_t>(r[in.dst_reg]) == static_cast<uint32_t>(in.imm)) pc += static_cast<size_t>(in.off);
        break;
      case BPF_JMP32 | BPF_JNE | BPF_X:
        if (static_cast<uint32_t>(r[in.dst_reg]) != static_cast<uint32_t>(r[in.src_reg]))
          pc += static_cast<size_t>(in.off);
        break;
      case BPF_JMP | BPF_EXIT: want(0); return r[0];
      default: ADD_FAILURE() << "unknown instruction " << static_cast<int>(in.code); return 99;
    }
  }
  ADD_FAILURE() << "ran off the end";
  return 99;
}

bool allowed(const DevicePolicy& policy, char type, uint32_t major, uint32_t minor, unsigned access) {
  const uint32_t kind = type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
  return run(device_program(policy), {.access_type = access << 16 | kind, .major = major, .minor = minor}) == 1;
}

TEST(DevicePolicy, StartsByDenyingAndTakesRulesInOrder) {
  EXPECT_FALSE(policy_of({}).allows_by_default());
  EXPECT_TRUE(policy_of({rule(true, 'a', {}, {})}).allows_all());
  // The last "all" rule forgets what came before.
  const DevicePolicy policy = policy_of({rule(true, 'c', 1, 3), rule(false, 'a', {}, {}), rule(true, 'b', 8, 0, "r")});
  EXPECT_FALSE(policy.allows_by_default());
  ASSERT_EQ(policy.exceptions().size(), 1u);
  EXPECT_EQ(policy.exceptions().begin()->second, kRead);
}

TEST(DevicePolicy, MergesAndSubtractsAccess) {
  const DevicePolicy policy =
      policy_of({rule(true, 'c', 1, 3, "r"), rule(true, 'c', 1, 3, "w"), rule(false, 'c', 1, 3, "r")});
  ASSERT_EQ(policy.exceptions().size(), 1u);
  EXPECT_EQ(policy.exceptions().begin()->second, kWrite);
  EXPECT_TRUE(policy_of({rule(true, 'c', 1, 3), rule(false, 'c', 1, 3)}).exceptions().empty());
}

TEST(DevicePolicy, RefusesHolesInWildcards) {
  DevicePolicy policy = policy_of({rule(true, 'c', 1, {}, "rw")});
  const auto hole = policy.apply(rule(false, 'c', 1, 3, "r"));
  ASSERT_FALSE(hole.has_value());
  EXPECT_EQ(hole.error().message(), "\"c 1:3 r\" cannot be taken out of the earlier rule \"c 1:* rw\"");
  EXPECT_TRUE(policy.apply(rule(false, 'c', 1, 3, "m")).has_value());
}

TEST(DevicePolicy, RefusesBadRules) {
  DevicePolicy policy;
  EXPECT_FALSE(policy.apply(rule(true, 'c', -2, 0)).has_value());
  EXPECT_FALSE(policy.apply(rule(true, 'c', 0, int64_t{1} << 32)).has_value());
  EXPECT_FALSE(policy.apply(rule(true, 'c', 0, 0, "rx")).has_value());
  EXPECT_FALSE(policy.apply(rule(true, 'p', 0, 0)).has_value());
  const auto named = device_policy({rule(false, 'a', {}, {}), rule(true, 'c', 0, 0, "q")});
  ASSERT_FALSE(named.has_value());
  EXPECT_TRUE(named.error().message().starts_with("linux.resources.devices[1]: access")) << named.error().message();
}

TEST(DevicePolicy, DefaultDevicesComeLast) {
  const auto policy = device_policy({rule(false, 'a', {}, {})});
  ASSERT_TRUE(policy.has_value());
  for (const auto& [major, minor] :
       {std::pair{1u, 3u}, {1u, 5u}, {1u, 7u}, {1u, 8u}, {1u, 9u}, {5u, 0u}, {5u, 2u}, {136u, 9u}, {10u, 200u}})
    EXPECT_TRUE(allowed(*policy, 'c', major, minor, kAnyAccess)) << major << ":" << minor;
  EXPECT_FALSE(allowed(*policy, 'c', 1, 1, kRead));  // /dev/mem
  EXPECT_TRUE(allowed(*policy, 'c', 1, 1, kMknod));
  EXPECT_FALSE(allowed(*policy, 'b', 8, 0, kRead));
  EXPECT_TRUE(allowed(*policy, 'b', 8, 0, kMknod));
}

TEST(DevicePolicy, StepsAreTheDifference) {
  const DevicePolicy all = policy_of({rule(true, 'a', {}, {})});
  const DevicePolicy some = policy_of({rule(true, 'c', 1, 3), rule(true, 'b', 8, {}, "r")});
  EXPECT_EQ(lines(some.steps_from(all)), (std::vector<std::string>{"deny a", "allow c 1:3 rwm", "allow b 8:* r"}));
  const DevicePolicy next = policy_of({rule(true, 'c', 1, 3, "r"), rule(true, 'c', 1, 5)});
  EXPECT_EQ(lines(next.steps_from(some)),
            (std::vector<std::string>{"deny c 1:3 wm", "deny b 8:* r", "allow c 1:5 rwm"}));
  EXPECT_TRUE(some.steps_from(some).empty());
  EXPECT_EQ(lines(all.steps_from(some)), (std::vector<std::string>{"allow a"}));
  const DevicePolicy but = policy_of({rule(true, 'a', {}, {}), rule(false, 'c', 10, 1, "w")});
  EXPECT_EQ(lines(but.steps_from(all)), (std::vector<std::string>{"allow a", "deny c 10:1 w"}));
}

TEST(DevicePolicy, ReadsTheKernelsList) {
  const auto all = DevicePolicy::from_list("a *:* rwm\n");
  ASSERT_TRUE(all.has_value());
  EXPECT_TRUE(all->allows_all());
  const auto some = DevicePolicy::from_list("c *:* m\nb 8:0 rw\n");
  ASSERT_TRUE(some.has_value());
  EXPECT_EQ(*some, policy_of({rule(true, 'c', {}, {}, "m"), rule(true, 'b', 8, 0, "rw")}));
  EXPECT_TRUE(DevicePolicy::from_list("")->exceptions().empty());
  EXPECT_FALSE(DevicePolicy::from_list("c 1:3").has_value());
  EXPECT_FALSE(DevicePolicy::from_list("c x:3 rwm").has_value());
}

TEST(DeviceProgram, AllowListNeedsOneExceptionToCoverTheAccess) {
  const DevicePolicy policy =
      policy_of({rule(true, 'c', 10, 229, "rw"), rule(true, 'b', {}, 7, "r"), rule(true, 'c', 136, {})});
  EXPECT_TRUE(allowed(policy, 'c', 10, 229, kRead));
  EXPECT_TRUE(allowed(policy, 'c', 10, 229, kRead | kWrite));
  EXPECT_FALSE(allowed(policy, 'c', 10, 229, kRead | kMknod));
  EXPECT_FALSE(allowed(policy, 'c', 10, 228, kRead));
  EXPECT_FALSE(allowed(policy, 'b', 10, 229, kRead));
  EXPECT_TRUE(allowed(policy, 'b', 4000000000u, 7, kRead));
  EXPECT_FALSE(allowed(policy, 'b', 1, 7, kWrite));
  EXPECT_TRUE(allowed(policy, 'c', 136, 4000000000u, kAnyAccess));
}

TEST(DeviceProgram, DenyListDeniesAnyPartOfTheAccess) {
  const DevicePolicy policy =
      policy_of({rule(true, 'a', {}, {}), rule(false, 'c', 10, 229, "w"), rule(false, 'b', 8, {})});
  EXPECT_TRUE(allowed(policy, 'c', 10, 229, kRead));
  EXPECT_FALSE(allowed(policy, 'c', 10, 229, kWrite));
  EXPECT_FALSE(allowed(policy, 'c', 10, 229, kRead | kWrite));
  EXPECT_FALSE(allowed(policy, 'b', 8, 1, kMknod));
  EXPECT_TRUE(allowed(policy, 'b', 9, 1, kAnyAccess));
}

TEST(DeviceProgram, NumbersAboveTwoToTheThirtyOneMatch) {
  const DevicePolicy policy = policy_of({rule(true, 'c', 4294967295, 2147483648)});
  EXPECT_TRUE(allowed(policy, 'c', 4294967295u, 2147483648u, kRead));
  EXPECT_FALSE(allowed(policy, 'c', 4294967295u, 2147483647u, kRead));
}

TEST(DeviceProgram, NewCgroupLoadsAndAttaches) {
  FakeCgroupfs fs;
  ASSERT_TRUE(attach_device_program(3, device_program({}), true).has_value());
  EXPECT_EQ(fs.bpf_calls(), (std::vector<std::string>{"load", "attach"}));
}

TEST(DeviceProgram, UpdateReplacesTheOneProgram) {
  FakeCgroupfs fs;
  fs.attach_programs({7});
  ASSERT_TRUE(attach_device_program(3, device_program({}), false).has_value());
  EXPECT_EQ(fs.bpf_calls(), (std::vector<std::string>{"load", "query", "attach replace"}));
}

TEST(DeviceProgram, UpdateWithoutReplaceAttachesBeforeItDetaches) {
  FakeCgroupfs fs;
  fs.attach_programs({7});
  fs.fail_replace(EINVAL);
  ASSERT_TRUE(attach_device_program(3, device_program({}), false).has_value());
  EXPECT_EQ(fs.bpf_calls(), (std::vector<std::string>{"load", "query", "attach replace", "attach", "detach"}));
}

TEST(DeviceProgram, UpdateRemovesSeveralOldOnes) {
  FakeCgroupfs fs;
  fs.attach_programs({7, 8});
  ASSERT_TRUE(attach_device_program(3, device_program({}), false).has_value());
  EXPECT_EQ(fs.bpf_calls(), (std::vector<std::string>{"load", "query", "attach", "detach", "detach"}));
}

}  // namespace
}  // namespace proa::kernel::cgroup
