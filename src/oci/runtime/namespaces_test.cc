#include "oci/runtime/namespaces.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <unistd.h>

#include <array>

#include "kernel/sys.h"
#include "kernel/temp_folder_test.h"
#include "oci/spec/namespaces.h"

namespace proa::oci::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Type = NamespaceType;

constexpr std::array kAll = {Type::kPid, Type::kNetwork, Type::kMount,  Type::kIpc,
                             Type::kUts, Type::kUser,    Type::kCgroup, Type::kTime};

std::string own(Type type) { return cat("/proc/self/ns/", info(type).proc_name); }

Linux with(std::vector<Namespace> namespaces) {
  Linux linux_;
  linux_.namespaces = std::move(namespaces);
  return linux_;
}

std::string error_of(const Linux& linux_) {
  const auto plan = plan_namespaces(linux_);
  return plan ? "no error" : plan.error().message();
}

TEST(PlanNamespaces, SharesAllUnlessTold) {
  const NamespacePlan plan = plan_namespaces({}).value();
  EXPECT_EQ(plan.at_clone, 0u);
  EXPECT_EQ(plan.all(), 0u);
  EXPECT_FALSE(plan.new_cgroup || plan.new_time || plan.intermediate);
  EXPECT_THAT(plan.join, IsEmpty());
}

TEST(PlanNamespaces, NewOnes) {
  Linux linux_;
  for (const Type type : kAll) linux_.namespaces.push_back({type, {}});
  const NamespacePlan plan = plan_namespaces(linux_).value();
  EXPECT_EQ(plan.at_clone,
            uint64_t{CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWUSER})
      << "the cgroup namespace is made in the cgroup, and clone3 makes no time namespace for the child itself";
  EXPECT_TRUE(plan.new_cgroup);
  EXPECT_TRUE(plan.new_time);
  EXPECT_FALSE(plan.intermediate);
  EXPECT_EQ(plan.all(), plan.at_clone | CLONE_NEWCGROUP | CLONE_NEWTIME);
  for (const Type type : kAll) EXPECT_TRUE(plan.has_new(type)) << info(type).name;
}

// The child makes it while the runtime works on, unless somebody needs it before.
TEST(PlanNamespaces, NetworkIsMadeByTheChildWhenItCan) {
  Linux linux_ = with({{Type::kNetwork, {}}, {Type::kUts, {}}});
  const NamespacePlan late = plan_namespaces(linux_).value();
  EXPECT_TRUE(late.new_network);
  EXPECT_EQ(late.at_clone, uint64_t{CLONE_NEWUTS});
  linux_.net_devices = {{.host_name = "eth0", .name = "eth0"}};
  EXPECT_FALSE(plan_namespaces(linux_).value().new_network);
  linux_.net_devices.clear();
  linux_.namespaces.push_back({Type::kUser, {}});
  EXPECT_FALSE(plan_namespaces(linux_).value().new_network) << "the user namespace is to own it";
}

TEST(PlanNamespaces, EachOneAlone) {
  for (const Type type : kAll) {
    const NamespacePlan plan = plan_namespaces(with({{type, {}}})).value();
    EXPECT_EQ(plan.all(), info(type).clone_flag) << info(type).name;
    for (const Type other : kAll) EXPECT_EQ(plan.has_new(other), other == type) << info(type).name;
  }
}

TEST(PlanNamespaces, ByPath) {
  const NamespacePlan plan =
      plan_namespaces(with({{Type::kNetwork, own(Type::kNetwork)}, {Type::kUts, {}}, {Type::kIpc, own(Type::kIpc)}}))
          .value();
  EXPECT_EQ(plan.at_clone, uint64_t{CLONE_NEWUTS});
  EXPECT_EQ(plan.all(), uint64_t{CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC});
  ASSERT_EQ(plan.join.size(), 2u);
  EXPECT_TRUE(plan.join[0].fd);
  EXPECT_FALSE(plan.has_new(Type::kNetwork));
  EXPECT_FALSE(plan.intermediate);
}

TEST(PlanNamespaces, UserNamespaceIsJoinedFirst) {
  const NamespacePlan plan =
      plan_namespaces(
          with({{Type::kNetwork, own(Type::kNetwork)}, {Type::kUts, own(Type::kUts)}, {Type::kUser, own(Type::kUser)}}))
          .value();
  ASSERT_EQ(plan.join.size(), 3u);
  EXPECT_EQ(plan.join[0].type, Type::kUser);
}

TEST(PlanNamespaces, WhatNeedsAProcessInBetween) {
  const auto intermediate = [](std::vector<Namespace> list) {
    return plan_namespaces(with(std::move(list))).value().intermediate;
  };
  EXPECT_TRUE(intermediate({{Type::kPid, own(Type::kPid)}})) << "it counts for children only";
  EXPECT_TRUE(intermediate({{Type::kUser, own(Type::kUser)}})) << "it changes who we are";
  EXPECT_TRUE(intermediate({{Type::kUser, {}}, {Type::kNetwork, own(Type::kNetwork)}}))
      << "in the new user namespace we could not join it any more";
  EXPECT_FALSE(intermediate({{Type::kPid, {}}, {Type::kMount, own(Type::kMount)}}));
}

TEST(PlanNamespaces, PathsAreChecked) {
  EXPECT_EQ(error_of(with({{Type::kUts, {}}, {Type::kNetwork, own(Type::kIpc)}})),
            "linux.namespaces[1].path: /proc/self/ns/ipc: not a network namespace");
  EXPECT_EQ(error_of(with({{Type::kMount, "/dev/null"}})), "linux.namespaces[0].path: /dev/null: not a namespace");
  EXPECT_THAT(error_of(with({{Type::kMount, "/no/such"}})),
              testing::AllOf(HasSubstr("linux.namespaces[0].path"), HasSubstr("no such file")));
}

TEST(PlanNamespaces, PathThatIsAFifoDoesNotBlock) {
  const TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of(with({{Type::kMount, folder / "pipe"}})), HasSubstr("not a namespace"));
}

TEST(PlanNamespaces, ParametersOfTheHostAreNotSet) {
  Linux linux_ = with({{Type::kNetwork, own(Type::kNetwork)}});
  linux_.sysctl = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_EQ(error_of(linux_), "linux.sysctl.net.ipv4.ip_forward: not allowed in the host's network namespace");
  linux_.namespaces[0].path.clear();
  EXPECT_EQ(error_of(linux_), "no error");
}

// --- joining, on a recorded kernel

class JoinNamespaces : public testing::Test {
 protected:
  void add(Type type, int fd) { plan.join.push_back({type, cat("/ns/", info(type).proc_name), Fd(fd)}); }
  std::vector<std::string_view> left() const {
    std::vector<std::string_view> names;
    names.reserve(plan.join.size());
    for (const NamespaceToJoin& each : plan.join) names.push_back(info(each.type).name);
    return names;
  }

  kernel::RecordingGate gate;
  kernel::ScopedGate installed{gate};
  NamespacePlan plan;
};

TEST_F(JoinNamespaces, WithTheRightsOfTheHostBeforeTheUserNamespace) {
  for (const Type type : {Type::kUser, Type::kMount, Type::kNetwork, Type::kPid})
    add(type, 2000 + static_cast<int>(type));
  ASSERT_TRUE(join_first(plan));
  EXPECT_THAT(gate.calls(),
              ElementsAre("setns(2001, 0x40000000)", "setns(2000, 0x20000000)", "setns(2005, 0x10000000)"));
  EXPECT_THAT(left(), ElementsAre("mount"));
  ASSERT_TRUE(join_rest(plan));
  EXPECT_EQ(gate.calls().back(), "setns(2002, 0x20000)");
}

TEST_F(JoinNamespaces, OfTheUserNamespaceOnlyInIt) {
  for (const Type type : {Type::kUser, Type::kNetwork, Type::kPid}) add(type, 2000 + static_cast<int>(type));
  gate.answer_next("setns", -EPERM, "2001");
  gate.answer_next("setns", -EPERM, "2000");
  ASSERT_TRUE(join_first(plan));
  EXPECT_THAT(gate.calls(), ElementsAre("setns(2001, 0x40000000)", "setns(2000, 0x20000000)", "setns(2005, 0x10000000)",
                                        "setns(2000, 0x20000000)"))
      << "the pid namespace must be joined before the clone";
  EXPECT_THAT(left(), ElementsAre("network"));
}

TEST_F(JoinNamespaces, MountNamespaceComesLast) {
  for (const Type type : {Type::kMount, Type::kUts, Type::kIpc}) add(type, 2000 + static_cast<int>(type));
  ASSERT_TRUE(join_rest(plan));
  ASSERT_EQ(gate.calls().size(), 3u);
  EXPECT_EQ(gate.calls().back(), "setns(2002, 0x20000)");
}

TEST_F(JoinNamespaces, RefusalIsNamed) {
  add(Type::kNetwork, 2001);
  gate.answer_always("setns", -EPERM);
  ASSERT_TRUE(join_first(plan)) << "it may belong to a user namespace that comes";
  EXPECT_THAT(join_rest(plan).error().message(),
              testing::AllOf(HasSubstr("join network namespace /ns/net"), HasSubstr("operation not permitted")));
}

}  // namespace
}  // namespace proa::oci::runtime
