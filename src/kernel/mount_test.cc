#include "kernel/mount.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "kernel/sys.h"

namespace proa::kernel {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Mount : public testing::Test {
 protected:
  int count(std::string_view name) const {
    int found = 0;
    for (const std::string& each : gate.calls()) found += each.starts_with(name) ? 1 : 0;
    return found;
  }
  RecordingGate gate;
  ScopedGate installed{gate};
  MountTarget target{.fd = 7, .root = 5, .path = "/data"};
};

constexpr Filesystem kTmpfs{.type = "tmpfs",
                            .source = "tmpfs",
                            .options = "size=1k,huge,label=\"a,b\"",
                            .superblock = MS_RDONLY,
                            .attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME};

TEST_F(Mount, FilesystemIsCompleteBeforeItIsAttached) {
  ASSERT_TRUE(mount_filesystem(kTmpfs, target));
  EXPECT_THAT(gate.calls(),
              ElementsAre(R"(fsopen("tmpfs", 0x1))", R"(fsconfig(1000, 1, "source", "tmpfs", 0))",
                          R"(fsconfig(1000, 0, "ro", null, 0))", R"(fsconfig(1000, 1, "size", "1k", 0))",
                          R"(fsconfig(1000, 0, "huge", null, 0))", R"(fsconfig(1000, 1, "label", "a,b", 0))",
                          R"(fsconfig(1000, 6, null, null, 0))", R"(fsmount(1000, 0x1, 0x12))",
                          R"(move_mount(1001, "", 7, "", 0x44))"));
}

TEST_F(Mount, FilesystemByPathOnOldKernels) {
  gate.answer_always("fsopen", -ENOSYS);
  ASSERT_TRUE(mount_filesystem(kTmpfs, target));
  EXPECT_THAT(gate.calls(),
              ElementsAre(R"(fsopen("tmpfs", 0x1))",
                          R"x(mount("tmpfs", "/proc/self/fd/7", "tmpfs", 0x403, "size=1k,huge,label="a,b""))x"));
}

TEST_F(Mount, RefusedOptionIsNamed) {
  gate.answer_next("fsconfig", -EINVAL, "\"huge\"");
  const auto done = mount_filesystem(kTmpfs, target);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), EINVAL);
  EXPECT_THAT(done.error().message(), HasSubstr("tmpfs: option huge"));
  EXPECT_EQ(count("mount("), 0);
  EXPECT_EQ(count("move_mount("), 0);
}

TEST_F(Mount, OtherFailuresAreNoReasonForTheOldWay) {
  gate.answer_always("fsopen", -EPERM);
  gate.answer_always("open_tree", -EACCES);
  EXPECT_EQ(mount_filesystem(kTmpfs, target).error().code(), EPERM);
  EXPECT_EQ(mount_bind({.source = "/srv"}, target).error().code(), EACCES);
  EXPECT_EQ(count("mount("), 0);
}

TEST_F(Mount, BindWithAttributesOfBothKinds) {
  const Bind bind{.source = "/srv",
                  .recursive = true,
                  .own = {.set = MOUNT_ATTR_RDONLY},
                  .all = {.set = MOUNT_ATTR_NOEXEC, .propagation = MS_SLAVE}};
  ASSERT_TRUE(mount_bind(bind, target));
  EXPECT_THAT(gate.calls(),
              ElementsAre(R"(open_tree(-100, "/srv", 0x88001))", R"(mount_setattr(1000, "", 0x1000, ptr, 32))",
                          R"(mount_setattr(1000, "", 0x9000, ptr, 32))", R"(move_mount(1000, "", 7, "", 0x44))"));
}

TEST_F(Mount, PlainBindTakesTwoCalls) {
  ASSERT_TRUE(mount_bind({.source = "/srv"}, target));
  EXPECT_THAT(gate.calls(), ElementsAre(R"(open_tree(-100, "/srv", 0x80001))", R"(move_mount(1000, "", 7, "", 0x44))"));
}

TEST_F(Mount, BindOfALinkItself) {
  ASSERT_TRUE(mount_bind({.source = "/link", .nofollow = true}, target));
  EXPECT_EQ(gate.calls().front(), R"(open_tree(-100, "/link", 0x80101))");
}

TEST_F(Mount, BindByPathOnOldKernels) {
  gate.answer_always("open_tree", -ENOSYS);
  const Bind bind{.source = "/srv", .recursive = true, .own = {.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV}};
  ASSERT_TRUE(mount_bind(bind, target));
  // Only a new look-up reaches what was just mounted.
  EXPECT_THAT(
      gate.calls(),
      ElementsAre(R"(open_tree(-100, "/srv", 0x88001))", R"(mount("/srv", "/proc/self/fd/7", null, 0x5000, null))",
                  R"(openat2(5, "/data", ptr, 24))", R"(mount(null, "/proc/self/fd/1000", null, 0x1025, null))"));
}

TEST_F(Mount, PropagationByPathOnOldKernels) {
  gate.answer_always("open_tree", -ENOSYS);
  ASSERT_TRUE(mount_bind({.source = "/srv", .own = {.propagation = MS_SLAVE}}, target));
  EXPECT_GE(gate.find(R"(mount(null, "/proc/self/fd/1000", null, 0x80000, null))"), 0);
  ASSERT_TRUE(mount_bind({.source = "/srv", .recursive = true, .all = {.propagation = MS_SLAVE}}, target));
  EXPECT_GE(gate.find(R"(mount(null, "/proc/self/fd/1001", null, 0x84000, null))"), 0);
}

TEST_F(Mount, WhatOldKernelsCannotDoIsRefusedBeforeAnythingIsMounted) {
  gate.answer_always("open_tree", -ENOSYS);
  for (const Bind& bind :
       {Bind{.source = "/srv", .all = {.set = MOUNT_ATTR_RDONLY}},
        Bind{.source = "/srv", .all = {.clear = MOUNT_ATTR_RDONLY}},
        Bind{.source = "/srv", .own = {.set = MOUNT_ATTR_IDMAP}}, Bind{.source = "/srv", .nofollow = true}}) {
    const auto done = mount_bind(bind, target);
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().hint(), HasSubstr("5.12"));
  }
  EXPECT_EQ(count("mount("), 0);
}

TEST_F(Mount, PivotLetsTheOldRootGo) {
  ASSERT_TRUE(pivot_to(9));
  EXPECT_THAT(gate.calls(),
              ElementsAre(HasSubstr(R"(openat(-100, "/")"), "fchdir(9)", R"(pivot_root(".", "."))", "fchdir(1000)",
                          R"(mount(null, ".", null, 0x84000, null))", R"(umount2(".", 0x2))", R"(chdir("/"))"));
}

TEST_F(Mount, PivotStopsAtTheFirstFailure) {
  gate.answer_always("pivot_root", -EINVAL);
  EXPECT_EQ(pivot_to(9).error().code(), EINVAL);
  EXPECT_EQ(count("umount2("), 0);
}

TEST_F(Mount, MoveRoot) {
  ASSERT_TRUE(move_root(9));
  EXPECT_THAT(gate.calls(),
              ElementsAre("fchdir(9)", R"(mount(".", "/", null, 0x2000, null))", R"(chroot("."))", R"(chdir("/"))"));
}

}  // namespace
}  // namespace proa::kernel
