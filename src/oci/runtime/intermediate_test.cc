#include "oci/runtime/intermediate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "kernel/file.h"

namespace proa::oci::runtime {
namespace {

using testing::HasSubstr;

// What a process that ended left to wait for.
bool has_children() { return ::waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD; }

TEST(Intermediate, ProcessIsOursThoughAnotherMadeIt) {
  const pid_t us = ::getpid();
  auto child = clone_through_intermediate(
      -1, [] { return kernel::clone_process(CLONE_PARENT); }, [us] { ::_exit(::getppid() == us ? 5 : 6); });
  ASSERT_TRUE(child) << child.error().message();
  EXPECT_TRUE(child->pidfd);
  EXPECT_EQ(kernel::wait_child(child->pid).value(), 5);
  EXPECT_FALSE(has_children()) << "the process in between is still there";
}

TEST(Intermediate, WhatIsDoneInBetweenIsInherited) {
  auto child = clone_through_intermediate(
      -1,
      []() -> Result<kernel::Child> {
        if (::chdir("/proc") != 0) return fail_errno(errno, "/proc");
        return kernel::clone_process(CLONE_PARENT);
      },
      [] { ::_exit(kernel::path_exists("self/status") ? 5 : 6); });
  ASSERT_TRUE(child) << child.error().message();
  EXPECT_EQ(kernel::wait_child(child->pid).value(), 5);
  EXPECT_FALSE(kernel::path_exists("self/status")) << "nothing changes for us";
}

TEST(Intermediate, ErrorInBetween) {
  auto child = clone_through_intermediate(
      -1, []() -> Result<kernel::Child> { return fail_errno(EPERM, "join network namespace").hint("ask root"); },
      [] { ::_exit(0); });
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().message(), "join network namespace: operation not permitted");
  EXPECT_EQ(child.error().code(), EPERM);
  EXPECT_EQ(child.error().hint(), "ask root");
  EXPECT_FALSE(has_children());
}

TEST(Intermediate, DeathInBetween) {
  auto child = clone_through_intermediate(-1, []() -> Result<kernel::Child> { ::_exit(3); }, [] { ::_exit(0); });
  ASSERT_FALSE(child);
  EXPECT_THAT(child.error().message(), HasSubstr("ended before it was set up"));
  EXPECT_FALSE(has_children());
}

}  // namespace
}  // namespace proa::oci::runtime
