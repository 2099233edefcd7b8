#include "kernel/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "kernel/runs_programs_test.h"
#include "kernel/temp_folder_test.h"

namespace proa::kernel {
namespace {

using RunCommand = RunsPrograms;

CommandResult shell(const std::string& script, std::string_view input = {}) {
  auto result = run_command(
      {.path = "/bin/sh", .argv = {"sh", "-c", script}, .env = {"A=1"}, .input = input, .timeout_ms = {}, .cwd = {}});
  EXPECT_TRUE(result);
  return result ? *result : CommandResult{};
}

TEST_F(RunCommand, OutputOfBothStreamsAndStatus) {
  const CommandResult done = shell("echo out; echo err >&2; exit 3");
  EXPECT_EQ(done.status, 3);
  EXPECT_FALSE(done.timed_out);
  EXPECT_EQ(done.output, "out\nerr\n");
}

TEST_F(RunCommand, EndBySignal) { EXPECT_EQ(shell("kill -TERM $$").status, 128 + SIGTERM); }

TEST_F(RunCommand, InputOfAnySize) {
  const std::string input(300'000, 'x');
  EXPECT_EQ(shell("wc -c", input).output, "300000\n");
  EXPECT_EQ(shell("wc -c").output, "0\n");
}

TEST_F(RunCommand, InputThatIsNotRead) {
  const std::string input(300'000, 'x');
  EXPECT_EQ(shell("exit 4", input).status, 4);
  EXPECT_EQ(shell("exec <&-; echo on; exit 5", input).output, "on\n");
}

TEST_F(RunCommand, EnvironmentIsTheGivenOne) {
  ::setenv("LEAKED", "1", 1);
  EXPECT_EQ(shell("echo $A$LEAKED").output, "1\n");
  ::unsetenv("LEAKED");
}

TEST_F(RunCommand, WorkingFolder) {
  const TempFolder folder;
  const auto done = run_command(
      {.path = "/bin/pwd", .argv = {"pwd"}, .env = {}, .input = {}, .timeout_ms = {}, .cwd = folder.path()});
  EXPECT_EQ(done.value().output, folder.path() + "\n");
  const auto nowhere = run_command(
      {.path = "/bin/pwd", .argv = {"pwd"}, .env = {}, .input = {}, .timeout_ms = {}, .cwd = folder / "none"});
  EXPECT_EQ(nowhere.error().code(), ENOENT);
}

TEST_F(RunCommand, ProgramThatIsNotThere) {
  const auto done =
      run_command({.path = "/no/such", .argv = {"x"}, .env = {}, .input = {}, .timeout_ms = {}, .cwd = {}});
  EXPECT_EQ(done.error().code(), ENOENT);
  EXPECT_NE(done.error().message().find("/no/such"), std::string::npos);
}

TEST_F(RunCommand, NoOtherDescriptorIsInherited) {
  const int open_one = ::open("/dev/null", O_RDONLY);  // not close-on-exec
  const int high = ::fcntl(open_one, F_DUPFD, 200);
  EXPECT_EQ(shell("for f in /proc/$$/fd/*; do n=${f##*/}; [ $n -gt 2 ] && [ -e $f ] && echo $n; done; :").output, "");
  ::close(open_one);
  ::close(high);
}

TEST_F(RunCommand, KeepsOneDescriptorOnRequest) {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const auto done = run_command({.path = "/bin/sh",
                                 .argv = {"sh", "-c", cat("readlink /proc/$$/fd/", fd)},
                                 .env = {"PATH=/bin:/usr/bin"},
                                 .input = {},
                                 .timeout_ms = {},
                                 .cwd = {},
                                 .kept_fd = fd});
  EXPECT_EQ(done.value().output, "/dev/null\n");
  ::close(fd);
}

TEST_F(RunCommand, TimeoutKills) {
  const auto done = run_command({.path = "/bin/sh",
                                 .argv = {"sh", "-c", "echo begun; exec sleep 1000"},
                                 .env = {"PATH=/bin:/usr/bin"},
                                 .input = {},
                                 .timeout_ms = 100,
                                 .cwd = {}});
  EXPECT_TRUE(done.value().timed_out);
  EXPECT_EQ(done.value().status, 128 + SIGKILL);
  EXPECT_EQ(done.value().output, "begun\n");
}

TEST_F(RunCommand, DescendantThatHoldsThePipeIsNotWaitedFor) {
  const CommandResult done = shell("sleep 1000 & echo $!");
  EXPECT_EQ(done.status, 0);
  const pid_t left = static_cast<pid_t>(std::stol(done.output));
  EXPECT_EQ(::kill(left, SIGKILL), 0);
}

TEST_F(RunCommand, KeepsOutputUpToTheLimit) {
  const auto done = run_command({.path = "/bin/sh",
                                 .argv = {"sh", "-c", "head -c 100000 /dev/zero; echo end >&2"},
                                 .env = {"PATH=/bin:/usr/bin"},
                                 .input = {},
                                 .timeout_ms = {},
                                 .cwd = {},
                                 .output_limit = 1000});
  EXPECT_EQ(done.value().status, 0);
  EXPECT_EQ(done.value().output.size(), 1000u);
}

TEST_F(RunCommand, SignalsAreAsANewProgramExpectsThem) {
  sigset_t blocked, before;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &blocked, &before);
  ::signal(SIGHUP, SIG_IGN);
  const std::string seen = shell("grep -E 'Sig(Blk|Ign)' /proc/$$/status | cut -f2").output;
  ::signal(SIGHUP, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(seen, "0000000000000000\n0000000000000000\n");
}

TEST(Process, ChildItsStatusAndItsEnd) {
  Child child = clone_process(0).value();
  if (child.pid == 0) {
    ::pause();
    ::_exit(0);
  }
  EXPECT_FALSE(wait_gone(child.pidfd.get(), 0).value());
  EXPECT_TRUE(process_start_time(child.pid));
  EXPECT_TRUE(send_signal(child.pidfd.get(), SIGKILL));
  EXPECT_TRUE(wait_gone(child.pidfd.get(), -1).value());
  EXPECT_EQ(process_start_time(child.pid).error().code(), ESRCH);  // a zombie is gone
  EXPECT_EQ(wait_child(child.pid).value(), 128 + SIGKILL);
  EXPECT_EQ(wait_child(child.pid).error().code(), ECHILD);
}

TEST(Process, StartTimeNamesAProcess) {
  EXPECT_EQ(process_start_time(::getpid()).value(), process_start_time(::getpid()).value());
  EXPECT_EQ(process_start_time(0x3fffff).error().code(), ESRCH);
}

TEST(Process, StartTimeWhateverTheNameIs) {
  Child child = clone_process(0).value();
  if (child.pid == 0) {
    std::ofstream("/proc/self/comm") << "a) R 1 (b";
    ::pause();
    ::_exit(0);
  }
  const std::string comm = "/proc/" + std::to_string(child.pid) + "/comm";
  for (std::string name; name != "a) R 1 (b";) std::getline(std::ifstream(comm), name);
  EXPECT_GE(process_start_time(child.pid).value(), process_start_time(::getpid()).value());
  EXPECT_TRUE(send_signal(child.pidfd.get(), SIGKILL));
  EXPECT_TRUE(wait_child(child.pid));
}

}  // namespace
}  // namespace proa::kernel
