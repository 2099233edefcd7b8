#include "oci/runtime/process_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "kernel/capability.h"
#include "oci/runtime/decoded_plan_test.h"

namespace proa::oci::runtime {
namespace {

using stage::Step;
using testing::ElementsAre;

// sched_setattr(2); the kernel's header and the library's cannot be had together.
struct SchedAttr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

constexpr uint64_t bit(int number) { return uint64_t{1} << number; }

class ProcessPlanTest : public testing::Test {
 protected:
  ProcessPlanTest() {
    process.args = {"sh", "-c", "true"};
    process.env = {"PATH=/bin::/usr/bin", "HOME=/root"};
    process.cwd = "/";
    process.user = {.uid = 1000, .gid = 100, .umask = 027, .additional_gids = {5, 6}};
    plan.process = &process;
    filter.program = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
    filter.flags = SECCOMP_FILTER_FLAG_LOG;
  }
  DecodedPlan decoded() const {
    PlanBuilder builder;
    plan_process(builder, plan);
    return DecodedPlan(builder.seal(3).value());
  }

  Process process;
  Linux linux_;
  kernel::SeccompFilter filter;
  ProcessPlan plan;
};

TEST_F(ProcessPlanTest, DescriptorsAreClosedFirstOfAll) {
  plan.preserve_fds = 2;
  const DecodedPlan done = decoded();
  EXPECT_EQ(done.find(SYS_close_range, {5, UINT32_MAX, CLOSE_RANGE_CLOEXEC}), 0);
  EXPECT_EQ(done.find(SYS_prctl, {PR_SET_PDEATHSIG, 0}), 1);
  EXPECT_EQ(done.steps().back().nr, static_cast<int64_t>(Step::kExecute));
}

TEST_F(ProcessPlanTest, User) {
  const DecodedPlan done = decoded();
  const int keep = done.find(SYS_prctl, {PR_SET_KEEPCAPS, 1});
  const int groups = done.find(SYS_setgroups, {2});
  const int gid = done.find(SYS_setresgid, {100, 100, 100});
  const int uid = done.find(SYS_setresuid, {1000, 1000, 1000});
  const int drop = done.find(SYS_prctl, {PR_SET_KEEPCAPS, 0});
  ASSERT_GE(keep, 0);
  EXPECT_LT(keep, groups);
  EXPECT_LT(groups, gid);
  EXPECT_LT(gid, uid) << "the user's rights would not do for the groups";
  EXPECT_LT(uid, drop);
  EXPECT_GE(done.find(SYS_umask, {027}), 0);
  const uint64_t list = done.steps()[static_cast<size_t>(groups)].args[1];
  EXPECT_EQ(done.at<uint32_t>(list), 5u);
  EXPECT_EQ(done.at<uint32_t>(list + 4), 6u);
  EXPECT_EQ(done.steps()[static_cast<size_t>(groups)].flags, stage::kFatal);
  EXPECT_EQ(done.find(SYS_chdir), -1);
}

TEST_F(ProcessPlanTest, NoUmaskUnlessAskedFor) {
  process.user.umask.reset();
  EXPECT_EQ(decoded().find(SYS_umask), -1);
}

TEST_F(ProcessPlanTest, GroupsInAUserNamespace) {
  plan.user_namespace = true;
  const auto flags = [&] {
    const DecodedPlan done = decoded();
    return done.steps()[static_cast<size_t>(done.find(SYS_setgroups))].flags;
  };
  EXPECT_EQ(flags(), stage::kFatal) << "groups that are asked for must be had";
  process.user.additional_gids.clear();
  EXPECT_EQ(flags(), stage::kMayFail);
}

TEST_F(ProcessPlanTest, WorkingFolderThatOnlyTheUserMayEnter) {
  plan.cwd_as_user = true;
  process.cwd = "/home/me";
  const DecodedPlan done = decoded();
  const int at = done.find(SYS_chdir);
  ASSERT_GT(at, done.find(SYS_setresuid));
  EXPECT_EQ(done.text(done.steps()[static_cast<size_t>(at)].args[0]), "/home/me");
  EXPECT_EQ(done.label(static_cast<size_t>(at)), "process.cwd /home/me");
  EXPECT_LT(at, done.find(SYS_capset)) << "with capabilities it could be entered though the user may not";
}

TEST_F(ProcessPlanTest, CapabilitySets) {
  plan.user_namespace = true;  // every capability is there to be had
  const uint64_t both = bit(CAP_NET_RAW) | bit(CAP_BPF);
  process.capabilities = {.bounding = both | bit(CAP_KILL),
                          .effective = bit(CAP_NET_RAW),
                          .inheritable = bit(CAP_BPF),
                          .permitted = both,
                          .ambient = bit(CAP_BPF),
                          .unknown = {}};
  const DecodedPlan done = decoded();
  EXPECT_EQ(done.find(SYS_prctl, {PR_CAPBSET_DROP, CAP_NET_RAW}), -1);
  EXPECT_EQ(done.find(SYS_prctl, {PR_CAPBSET_DROP, CAP_KILL}), -1);
  const int drop = done.find(SYS_prctl, {PR_CAPBSET_DROP, CAP_CHOWN});
  const int set = done.find(SYS_capset);
  ASSERT_GE(drop, 0);
  EXPECT_LT(drop, done.find(SYS_setresuid));
  EXPECT_LT(done.find(SYS_setresuid), set);
  const auto& args = done.steps()[static_cast<size_t>(set)].args;
  EXPECT_EQ(done.at<uint32_t>(args[0]), static_cast<uint32_t>(_LINUX_CAPABILITY_VERSION_3));
  const auto low = done.at<__user_cap_data_struct>(args[1]);
  const auto high = done.at<__user_cap_data_struct>(args[1] + sizeof low);
  EXPECT_EQ(low.effective, static_cast<uint32_t>(bit(CAP_NET_RAW)));
  EXPECT_EQ(high.permitted, static_cast<uint32_t>(bit(CAP_BPF) >> 32));
  EXPECT_EQ(high.inheritable, static_cast<uint32_t>(bit(CAP_BPF) >> 32));
  EXPECT_EQ(high.effective, 0u);
  const int clear = done.find(SYS_prctl, {PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL});
  const int raise = done.find(SYS_prctl, {PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_BPF});
  EXPECT_LT(set, clear);
  EXPECT_LT(clear, raise);
  EXPECT_EQ(done.find(SYS_prctl, {PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW}), -1);
}

TEST_F(ProcessPlanTest, NoCapabilitiesMeansNone) {
  plan.user_namespace = true;
  const DecodedPlan done = decoded();
  for (int number = 0; number <= kernel::last_capability(); ++number)
    EXPECT_GE(done.find(SYS_prctl, {PR_CAPBSET_DROP, static_cast<uint64_t>(number)}), 0) << number;
  const auto& args = done.steps()[static_cast<size_t>(done.find(SYS_capset))].args;
  EXPECT_EQ(done.at<__user_cap_data_struct>(args[1]).permitted, 0u);
}

TEST_F(ProcessPlanTest, FilterWithNoNewPrivilegesGoesOnLastOfAll) {
  process.no_new_privileges = true;
  plan.seccomp = &filter;
  plan.listener = 8;
  process.rlimits = {{RLIMIT_NOFILE, 10, 10}};
  const DecodedPlan done = decoded();
  const int last = static_cast<int>(done.steps().size()) - 1;
  EXPECT_EQ(done.find(Step::kExecute), last);
  EXPECT_EQ(done.find(SYS_seccomp, {SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG}), last - 1);
  EXPECT_LT(done.find(SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1}), done.find(SYS_setresuid));
  EXPECT_EQ(done.count(SYS_seccomp), 1);
  const uint64_t program = done.steps()[static_cast<size_t>(last - 1)].args[2];
  EXPECT_EQ(done.at<uint16_t>(program), 1u);
  const auto first = done.at<sock_filter>(done.at<uint64_t>(program + offsetof(sock_fprog, filter)));
  EXPECT_EQ(first.k, static_cast<uint32_t>(SECCOMP_RET_ALLOW));
}

TEST_F(ProcessPlanTest, FilterWithoutNoNewPrivilegesGoesOnWhileCapabilitiesLast) {
  plan.seccomp = &filter;
  const DecodedPlan done = decoded();
  EXPECT_EQ(done.find(SYS_prctl, {PR_SET_NO_NEW_PRIVS}), -1);
  const int at = done.find(SYS_seccomp);
  ASSERT_GE(at, 0);
  EXPECT_LT(at, done.find(SYS_setresuid));
  EXPECT_LT(at, done.find(SYS_capset));
  EXPECT_EQ(done.count(SYS_seccomp), 1);
}

TEST_F(ProcessPlanTest, ListenerIsHandedOverBeforeReady) {
  filter.needs_listener = true;
  process.no_new_privileges = true;
  plan.seccomp = &filter;
  plan.listener = 8;
  const DecodedPlan done = decoded();
  const int at = done.find(SYS_seccomp);
  EXPECT_EQ(done.steps()[static_cast<size_t>(at)].args[1],
            uint64_t{SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_NEW_LISTENER});
  EXPECT_EQ(done.find(Step::kNotifyFd), at + 1);
  EXPECT_LT(done.find(SYS_capset), at);
  EXPECT_LT(at, done.find(Step::kReady));
  EXPECT_EQ(done.count(SYS_seccomp), 1);
}

TEST_F(ProcessPlanTest, ReadyThenAwaitStart) {
  plan.listener = 8;
  const DecodedPlan done = decoded();
  const int ready = done.find(Step::kReady);
  ASSERT_GT(ready, done.find(SYS_capset)) << "ready means that all that can fail is done";
  EXPECT_EQ(done.find(static_cast<int64_t>(Step::kAwaitStart), {8}), ready + 1);
  plan.listener = -1;
  EXPECT_EQ(decoded().find(Step::kReady), -1);
}

TEST_F(ProcessPlanTest, ContainerWithoutAProcessOnlyWaits) {
  plan.process = nullptr;
  plan.listener = 8;
  const DecodedPlan done = decoded();
  ASSERT_EQ(done.steps().size(), 4u);
  EXPECT_EQ(done.find(Step::kReady), 2);
  EXPECT_EQ(done.find(Step::kAwaitStart), 3);
}

TEST_F(ProcessPlanTest, LabelsAreWrittenAfterTheStart) {
  plan.listener = 8;
  plan.proc = 12;
  plan.labels = {{.path = "thread-self/attr/exec", .text = "label"}};
  const DecodedPlan done = decoded();
  const int at = done.find(static_cast<int64_t>(Step::kWriteLabel), {12});
  ASSERT_GT(at, done.find(Step::kAwaitStart));
  const auto& args = done.steps()[static_cast<size_t>(at)].args;
  EXPECT_EQ(done.text(args[1]), "thread-self/attr/exec");
  EXPECT_EQ(done.text(args[2]), "label");
  EXPECT_EQ(args[3], 5u);
}

TEST_F(ProcessPlanTest, FewDescriptorsAreLimitedLate) {
  plan.listener = 8;
  process.rlimits = {{RLIMIT_NOFILE, 4, 4}, {RLIMIT_CORE, 0, 0}};
  const DecodedPlan done = decoded();
  const int files = done.find(SYS_prlimit64, {0, RLIMIT_NOFILE});
  const int core = done.find(SYS_prlimit64, {0, RLIMIT_CORE});
  EXPECT_GT(files, done.find(Step::kAwaitStart)) << "the start order needs a descriptor";
  EXPECT_LT(core, done.find(SYS_setresuid)) << "raising a limit needs the rights";
  const auto limit = done.at<rlimit64>(done.steps()[static_cast<size_t>(files)].args[2]);
  EXPECT_EQ(limit.rlim_cur, 4u);
  EXPECT_EQ(limit.rlim_max, 4u);
  EXPECT_EQ(done.label(static_cast<size_t>(files)), "process.rlimits[0]");
}

TEST_F(ProcessPlanTest, Scheduling) {
  process.io_priority = {.io_class = IOPRIO_CLASS_BE, .priority = 3};
  process.scheduler = Scheduler{.policy = 3, .nice = -2, .priority = 0, .flags = 1, .runtime = 7};
  const DecodedPlan done = decoded();
  EXPECT_GE(done.find(SYS_ioprio_set, {1, 0, uint64_t{IOPRIO_CLASS_BE} << IOPRIO_CLASS_SHIFT | 3}), 0);
  const int at = done.find(SYS_sched_setattr, {0});
  ASSERT_GE(at, 0);
  const auto attr = done.at<SchedAttr>(done.steps()[static_cast<size_t>(at)].args[1]);
  EXPECT_GE(attr.size, sizeof attr);
  EXPECT_EQ(attr.policy, 3u);
  EXPECT_EQ(attr.nice, -2);
  EXPECT_EQ(attr.flags, 1u);
  EXPECT_EQ(attr.runtime, 7u);
}

TEST_F(ProcessPlanTest, PersonalityAndMemoryPolicy) {
  linux_.personality = Personality{.domain = "LINUX32", .flags = {"ADDR_NO_RANDOMIZE"}};
  linux_.memory_policy = MemoryPolicy{.mode = "MPOL_BIND", .nodes = "0,2", .flags = {"MPOL_F_STATIC_NODES"}};
  plan.linux_ = &linux_;
  const DecodedPlan done = decoded();
  EXPECT_GE(done.find(SYS_personality, {0x0040008}), 0);
  const int at = done.find(SYS_set_mempolicy, {MPOL_BIND | MPOL_F_STATIC_NODES});
  ASSERT_GE(at, 0);
  const auto& args = done.steps()[static_cast<size_t>(at)].args;
  EXPECT_EQ(done.at<uint64_t>(args[1]), 5u);
  EXPECT_EQ(args[2], 65u);
  linux_.memory_policy = MemoryPolicy{.mode = "MPOL_DEFAULT", .nodes = "", .flags = {}};
  EXPECT_GE(decoded().find(SYS_set_mempolicy, {MPOL_DEFAULT, 0, 0}), 0);
}

// --- the execution

struct Execution {
  std::vector<std::string> paths, argv, env;
  std::string label;
};

Execution execution_of(const DecodedPlan& plan) {
  const auto at = static_cast<size_t>(plan.find(Step::kExecute));
  const auto& args = plan.steps().at(at).args;
  return {plan.texts(args[0]), plan.texts(args[1]), plan.texts(args[2]), plan.label(at)};
}

TEST_F(ProcessPlanTest, ProgramIsLookedForAlongPath) {
  const Execution done = execution_of(decoded());
  EXPECT_THAT(done.paths, ElementsAre("/bin/sh", "sh", "/usr/bin/sh"));
  EXPECT_THAT(done.argv, ElementsAre("sh", "-c", "true"));
  EXPECT_THAT(done.env, ElementsAre("PATH=/bin::/usr/bin", "HOME=/root"));
  EXPECT_EQ(done.label, "exec: \"sh\"");
}

TEST_F(ProcessPlanTest, ProgramWithASlashIsTakenAsItIs) {
  process.args = {"./run"};
  EXPECT_THAT(execution_of(decoded()).paths, ElementsAre("./run"));
}

TEST_F(ProcessPlanTest, LastPathDecidesAndThereIsADefault) {
  process.env = {"PATH=/a", "PATHS=/b", "PATH=/c"};
  EXPECT_THAT(execution_of(decoded()).paths, ElementsAre("/c/sh"));
  process.env = {"PATHS=/b"};
  EXPECT_THAT(execution_of(decoded()).paths, ElementsAre("/usr/local/sbin/sh", "/usr/local/bin/sh", "/usr/sbin/sh",
                                                         "/usr/bin/sh", "/sbin/sh", "/bin/sh"));
}

TEST_F(ProcessPlanTest, HookHasAProgramOfItsOwn) {
  plan.program = "/hook";
  process.args = {"name", "x"};
  const Execution done = execution_of(decoded());
  EXPECT_THAT(done.paths, ElementsAre("/hook"));
  EXPECT_THAT(done.argv, ElementsAre("name", "x"));
}

TEST_F(ProcessPlanTest, HomeWhenTheConfigurationGivesNone) {
  plan.home = "/home/me";
  EXPECT_THAT(execution_of(decoded()).env, ElementsAre("PATH=/bin::/usr/bin", "HOME=/root"));
  process.env = {"HOME="};
  EXPECT_THAT(execution_of(decoded()).env, ElementsAre("HOME=/home/me"));
}

// getenv(3) would take the first; what comes later was meant to replace it (`exec --env`).
TEST_F(ProcessPlanTest, LastValueOfAVariableCounts) {
  process.env = {"A=1", "HOME=/", "B=", "A=2", "AB=3", "HOME=/root", "A="};
  EXPECT_THAT(execution_of(decoded()).env, ElementsAre("B=", "AB=3", "HOME=/root", "A="));
}

TEST(NeedsHome, WhenThereIsNoneOrAnEmptyOne) {
  EXPECT_TRUE(needs_home({}));
  EXPECT_TRUE(needs_home({"HOMES=/x", "HOME="}));
  EXPECT_TRUE(needs_home({"HOME=/x", "HOME="}));
  EXPECT_FALSE(needs_home({"HOME=", "HOME=/x"}));
}

TEST_F(ProcessPlanTest, SocketActivation) {
  plan.listen_fds = 2;
  process.env = {"LISTEN_FDS=9", "HOME=/"};
  EXPECT_THAT(execution_of(decoded()).env, ElementsAre("HOME=/", "LISTEN_FDS=2", "LISTEN_PID=1"));
}

// --- what the host lets us have

TEST(PermittedCapabilities, AreThoseOfTheHost) {
  const Capabilities wanted{
      .bounding = 7, .effective = 6, .inheritable = 4, .permitted = 7, .ambient = 4, .unknown = {}};
  const Capabilities all = permitted_capabilities(wanted, 0xff);
  EXPECT_EQ(all.bounding, 7u);
  EXPECT_EQ(all.ambient, 4u);
  const Capabilities some = permitted_capabilities(wanted, 3);
  EXPECT_EQ(some.bounding, 3u);
  EXPECT_EQ(some.effective, 2u);
  EXPECT_EQ(some.inheritable, 0u);
  EXPECT_EQ(some.permitted, 3u);
  EXPECT_EQ(some.ambient, 0u);
}

TEST(PermittedRlimits, AreClampedWithoutTheRightToRaiseThem) {
  rlimit own{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &own), 0);
  const auto within = permitted_rlimits({{RLIMIT_NOFILE, 1, own.rlim_max}});
  EXPECT_EQ(within.at(0).hard, own.rlim_max);
  EXPECT_EQ(within.at(0).soft, 1u);
  if (own.rlim_max == RLIM_INFINITY) GTEST_SKIP() << "nothing is over this host's limit";
  const bool may_raise = (kernel::get_capabilities().value().effective & bit(CAP_SYS_RESOURCE)) != 0;
  const uint64_t over = own.rlim_max + 1;
  const auto raised = permitted_rlimits({{RLIMIT_NOFILE, over, over}});
  EXPECT_EQ(raised.at(0).hard, may_raise ? over : own.rlim_max);
  EXPECT_EQ(raised.at(0).soft, may_raise ? over : own.rlim_max);
}

}  // namespace
}  // namespace proa::oci::runtime
