#include "oci/runtime/idmap.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/file.h"
#include "kernel/process.h"

namespace proa::oci {

// For ElementsAre.
static bool operator==(const IdMapping& a, const IdMapping& b) {
  return a.container_id == b.container_id && a.host_id == b.host_id && a.size == b.size;
}

namespace runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(MappingText, IsWhatTheKernelTakes) {
  const std::vector<IdMapping> mappings{{0, 100000, 1000}, {1000, 5, 1}, {4294967294, 0, 1}};
  EXPECT_EQ(mapping_text(mappings), "0 100000 1000\n1000 5 1\n4294967294 0 1\n");
  EXPECT_EQ(mapping_text({}), "");
}

TEST(MappingText, IsReadAsTheKernelShowsIt) {
  EXPECT_THAT(parse_mapping_text("         0     100000       1000\n      1000          5          1\n"),
              ElementsAre(IdMapping{0, 100000, 1000}, IdMapping{1000, 5, 1}));
  EXPECT_THAT(parse_mapping_text("0 0 4294967295"), ElementsAre(IdMapping{0, 0, 4294967295}));
}

TEST(MappingText, ReadingEndsAtWhatIsNoMapping) {
  EXPECT_THAT(parse_mapping_text(""), IsEmpty());
  EXPECT_THAT(parse_mapping_text("0 0"), IsEmpty());
  EXPECT_THAT(parse_mapping_text("0 0 1\nx 0 1"), ElementsAre(IdMapping{0, 0, 1}));
  EXPECT_THAT(parse_mapping_text("0 0 4294967296"), IsEmpty());
  EXPECT_THAT(parse_mapping_text("-1 0 1"), IsEmpty());
}

// A process in a user namespace of its own, until the test ends.
class IdMap : public testing::Test {
 protected:
  void SetUp() override {
    auto made = kernel::clone_process(CLONE_NEWUSER);
    if (!made) GTEST_SKIP() << "no user namespaces here: " << made.error().message();
    if (made->pid == 0)
      for (;;) ::pause();
    child = *std::move(made);
  }
  void TearDown() override {
    if (child.pid <= 0) return;
    (void)kernel::send_signal(child.pidfd.get(), SIGKILL);
    (void)kernel::wait_child(child.pid);
  }
  std::string proc(std::string_view file) const { return cat("/proc/", child.pid, "/", file); }
  std::vector<IdMapping> map(std::string_view file) const {
    return parse_mapping_text(kernel::read_file(proc(file).c_str()).value());
  }
  Linux own() const {
    Linux linux_;
    linux_.uid_mappings = {{0, ::geteuid(), 1}};
    linux_.gid_mappings = {{0, ::getegid(), 1}};
    return linux_;
  }

  kernel::Child child;
};

TEST_F(IdMap, OwnIdNeedsNoHelper) {
  const auto done = write_mappings(child.pid, own());
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_THAT(map("uid_map"), ElementsAre(IdMapping{0, ::geteuid(), 1}));
  EXPECT_THAT(map("gid_map"), ElementsAre(IdMapping{0, ::getegid(), 1}));
  // user_namespaces(7): whoever may not give up groups on the host may not do it here.
  EXPECT_EQ(kernel::read_file(proc("setgroups").c_str()).value(), ::geteuid() == 0 ? "allow\n" : "deny\n");
}

TEST_F(IdMap, NoMappingsWriteNothing) {
  ASSERT_TRUE(write_mappings(child.pid, {}));
  EXPECT_THAT(map("uid_map"), IsEmpty());
}

TEST_F(IdMap, RefusedMappingIsNamed) {
  if (::geteuid() != 0) GTEST_SKIP() << "without root's rights newgidmap would be asked";
  Linux wrong = own();
  wrong.gid_mappings = {{0, 0, 5}, {3, 100, 5}};
  const auto done = write_mappings(child.pid, wrong);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("linux.gidMappings"));
  EXPECT_EQ(done.error().code(), EINVAL);
}

TEST_F(IdMap, JoinedNamespaceMustHaveTheSameMappings) {
  Linux wanted = own();
  ASSERT_TRUE(write_mappings(child.pid, wanted));
  const Fd joined = kernel::open(proc("ns/user").c_str(), O_RDONLY).value();
  auto same = check_joined_mappings(joined.get(), wanted);
  EXPECT_TRUE(same) << same.error().message();
  EXPECT_TRUE(check_joined_mappings(joined.get(), {})) << "without mappings there is nothing to compare";
  wanted.gid_mappings[0].size = 2;
  auto different = check_joined_mappings(joined.get(), wanted);
  ASSERT_FALSE(different);
  EXPECT_THAT(different.error().message(), HasSubstr("linux.gidMappings: differs"));
}

TEST_F(IdMap, WhatIsNoUserNamespaceIsNotJoined) {
  const Fd uts = kernel::open(proc("ns/uts").c_str(), O_RDONLY).value();
  EXPECT_EQ(check_joined_mappings(uts.get(), own()).error().code(), EINVAL);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), 0) << "the process that looked is still there";
}

TEST_F(IdMap, NamespaceForMappingsOutlivesItsMaker) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root's rights over the host's ids";
  auto made = make_mapping_namespace({{0, 5, 10}}, {{0, 7, 10}});
  ASSERT_TRUE(made) << made.error().message();
  Linux linux_;
  linux_.uid_mappings = {{0, 5, 10}};
  linux_.gid_mappings = {{0, 7, 10}};
  auto same = check_joined_mappings(made->get(), linux_);
  EXPECT_TRUE(same) << same.error().message();
  const auto overlapping = make_mapping_namespace({{0, 5, 10}, {5, 20, 10}}, {{0, 7, 10}});
  ASSERT_FALSE(overlapping);
  EXPECT_THAT(overlapping.error().message(), HasSubstr("uidMappings"));
}

}  // namespace
}  // namespace runtime
}  // namespace proa::oci
