#include "oci/runtime/plan.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/process.h"
#include "oci/runtime/decoded_plan_test.h"

namespace proa::oci::runtime {
namespace {

using stage::Step;
using testing::ElementsAre;
using testing::HasSubstr;

DecodedPlan decoded(const PlanBuilder& builder, int sync = -1) { return DecodedPlan(builder.seal(sync).value()); }

TEST(PlanBuilder, StepsInOrderWithTheirArguments) {
  PlanBuilder builder;
  builder.step(SYS_umask, {022}, "process.user.umask");
  builder.step(SYS_setpriority, {1, 2, -5}, "priority", stage::kMayFail);
  builder.step(Step::kAwaitStart, {7}, "await start");
  const DecodedPlan plan = decoded(builder, 9);
  EXPECT_EQ(plan.header().magic, stage::kPlanMagic);
  EXPECT_EQ(plan.header().sync, 9);
  EXPECT_EQ(plan.header().size, plan.image().size());
  ASSERT_EQ(plan.steps().size(), 3u);
  EXPECT_EQ(plan.steps()[0].nr, SYS_umask);
  EXPECT_EQ(plan.steps()[0].args[0], 022u);
  EXPECT_EQ(plan.steps()[0].args[1], 0u);
  EXPECT_EQ(plan.steps()[0].flags, stage::kFatal);
  EXPECT_EQ(static_cast<int64_t>(plan.steps()[1].args[2]), -5);
  EXPECT_EQ(plan.steps()[1].flags, stage::kMayFail);
  EXPECT_EQ(plan.steps()[2].nr, static_cast<int64_t>(Step::kAwaitStart));
  EXPECT_EQ(plan.label(0), "process.user.umask");
  EXPECT_EQ(plan.label(2), "await start");
}

TEST(PlanBuilder, DataIsPointedTo) {
  PlanBuilder builder;
  const uint64_t numbers[] = {1, 2, 3};
  const auto text = builder.text("odd");  // leaves what follows unaligned
  const auto bytes = builder.bytes(numbers, sizeof numbers);
  const std::vector<std::string> words{"one", "", "three"};
  builder.step(SYS_write, {text, bytes, builder.texts(words)}, "x");
  builder.step(SYS_write, {builder.texts({})}, "y");
  const DecodedPlan plan = decoded(builder);
  const auto& step = plan.steps()[0];
  EXPECT_EQ(plan.text(step.args[0]), "odd");
  EXPECT_EQ(step.args[1] % 8, 0u);
  EXPECT_EQ(plan.at<uint64_t>(step.args[1] + 16), 3u);
  EXPECT_THAT(plan.texts(step.args[2]), ElementsAre("one", "", "three"));
  EXPECT_THAT(plan.texts(plan.steps()[1].args[0]), ElementsAre());
}

TEST(PlanBuilder, PointersInsideOfData) {
  PlanBuilder builder;
  struct {
    uint64_t length, pointer;
  } record{4, 0};
  builder.step(SYS_write, {builder.bytes_with_pointer(&record, sizeof record, 8, builder.text("here"))}, "x");
  const DecodedPlan plan = decoded(builder);
  const uint64_t at = plan.steps()[0].args[0];
  EXPECT_EQ(plan.at<uint64_t>(at), 4u);
  EXPECT_EQ(plan.text(plan.at<uint64_t>(at + 8)), "here");
}

TEST(PlanBuilder, LongLabelsAreCut) {
  PlanBuilder builder;
  builder.step(SYS_umask, {0}, std::string(1000, 'l'));
  EXPECT_EQ(decoded(builder).label(0), std::string(stage::kMaxLabel, 'l'));
}

TEST(PlanBuilder, NobodyChangesAPlan) {
  PlanBuilder builder;
  builder.step(SYS_umask, {0}, "x");
  const Fd plan = builder.seal(-1).value();
  EXPECT_EQ(::pwrite(plan.get(), "x", 1, 0), -1);
  EXPECT_EQ(::ftruncate(plan.get(), 0), -1);
  EXPECT_EQ(::fcntl(plan.get(), F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  EXPECT_EQ(::fcntl(plan.get(), F_GETFD), FD_CLOEXEC);
  const Fd program = stage_program().value();
  EXPECT_EQ(::pwrite(program.get(), "x", 1, 0), -1);
}

TEST(StageReport, SaysWhatFailedAndWhy) {
  const auto body = [](int32_t code, std::string_view label) {
    return cat(std::string(3, '\0'), std::string(reinterpret_cast<const char*>(&code), 4), label);
  };
  const Error denied = decode_report(body(EPERM, "process.user.gid"));
  EXPECT_EQ(denied.message(), "process.user.gid: operation not permitted");
  EXPECT_EQ(denied.code(), EPERM);
  EXPECT_EQ(decode_report(body(ENOENT, "exec: \"sh\"")).message(), "exec: \"sh\": executable file not found in $PATH");
  EXPECT_EQ(decode_report(body(ENOENT, "exec: \"/bin/sh\"")).message(), "exec: \"/bin/sh\": no such file or directory");
  EXPECT_THAT(decode_report("123").message(), HasSubstr("half a report"));
}

// The stage itself, on this kernel and without privileges.
class Stage : public testing::Test {
 protected:
  Stage() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    ours = Fd(fds[0]);
    theirs = Fd(fds[1]);
  }
  // Executes the plan in a child, which inherits `theirs`.
  void perform(const PlanBuilder& builder) {
    const Fd program = stage_program().value();
    const Fd plan = builder.seal(theirs.get()).value();
    child = kernel::clone_process(0).value();
    if (child.pid == 0) {
      ::fcntl(theirs.get(), F_SETFD, 0);
      (void)execute_stage(program.get(), plan.get());
      ::_exit(99);
    }
    theirs.reset();
  }
  std::string receive() const {
    char buffer[512];
    const ssize_t got = ::recv(ours.get(), buffer, sizeof buffer, 0);
    return got < 0 ? "error" : std::string(buffer, static_cast<size_t>(got));
  }
  int status() const { return kernel::wait_child(child.pid).value(); }

  Fd ours, theirs;
  kernel::Child child;
};

TEST_F(Stage, PerformsStepsAndExecutes) {
  PlanBuilder builder;
  builder.step(SYS_write, {theirs.get(), builder.text("hello"), 5}, "write");
  builder.step(SYS_chdir, {builder.text("/no/such/folder")}, "may fail", stage::kMayFail);
  const std::vector<std::string> candidates{"/no/such/sh", "/bin/sh"};
  const std::vector<std::string> argv{"sh", "-c", cat("echo $A >&", theirs.get(), "; exit 7")};
  const std::vector<std::string> env{"A=b"};
  builder.step(Step::kExecute, {builder.texts(candidates), builder.texts(argv), builder.texts(env)}, "exec");
  perform(builder);
  EXPECT_EQ(receive(), "hello");
  EXPECT_EQ(receive(), "b\n");
  EXPECT_EQ(receive(), "") << "the plan and the stage are gone, and so is the socket";
  EXPECT_EQ(status(), 7);
}

TEST_F(Stage, FailureEndsItAndIsReported) {
  PlanBuilder builder;
  builder.step(SYS_chdir, {builder.text("/no/such/folder")}, "process.cwd /no/such/folder");
  builder.step(SYS_write, {theirs.get(), builder.text("later"), 5}, "write");
  perform(builder);
  const std::string report = receive();
  ASSERT_THAT(report, testing::StartsWith("S"));
  EXPECT_EQ(decode_report(report.substr(1)).message(), "process.cwd /no/such/folder: no such file or directory");
  EXPECT_EQ(receive(), "");
  EXPECT_EQ(status(), 127);
}

TEST_F(Stage, ReadyNeedsAnAnswer) {
  PlanBuilder builder;
  builder.step(Step::kReady, {}, "ready");
  builder.step(SYS_exit_group, {5}, "end");
  perform(builder);
  EXPECT_EQ(receive(), "R");
  ASSERT_EQ(::send(ours.get(), "k", 1, 0), 1);
  EXPECT_EQ(status(), 5);
}

TEST_F(Stage, EndsWithItsCreatorBeforeItIsRecorded) {
  PlanBuilder builder;
  builder.step(Step::kReady, {}, "ready");
  builder.step(SYS_exit_group, {5}, "end");
  perform(builder);
  EXPECT_EQ(receive(), "R");
  ours.reset();
  EXPECT_EQ(status(), 1);
}

TEST_F(Stage, WhatIsNoPlanIsRefused) {
  const Fd program = stage_program().value();
  const Fd other(::memfd_create("other", MFD_CLOEXEC));
  child = kernel::clone_process(0).value();
  if (child.pid == 0) {
    (void)execute_stage(program.get(), other.get());
    ::_exit(99);
  }
  EXPECT_EQ(status(), 125);
}

}  // namespace
}  // namespace proa::oci::runtime
