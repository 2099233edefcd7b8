#include "kernel/tty.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "kernel/file.h"
#include "kernel/sys.h"

namespace proa::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Pair {
  Fd read, write;
};

Pair make_pipe() {
  int fds[2];
  EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

PtyPair make_pty() {
  int master = -1, slave = -1;
  EXPECT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  return {Fd(master), Fd(slave)};
}

termios settings(int tty) {
  termios now{};
  EXPECT_EQ(tcgetattr(tty, &now), 0);
  return now;
}

std::string read_some(int fd) {
  char buffer[4096];
  const ssize_t got = read(fd, buffer, sizeof buffer);
  return got < 0 ? cat("errno ", errno) : std::string(buffer, static_cast<size_t>(got));
}

void write_text(int fd, std::string_view text) { ASSERT_TRUE(write_all(fd, text)); }

// A container's terminal, relayed to two pipes; `bell` stands for the caller's other events.
struct Rig {
  Rig() : container(make_pty()), in(make_pipe()), out(make_pipe()), bell(make_pipe()) { signal(SIGPIPE, SIG_IGN); }
  TerminalRelay start() {
    return TerminalRelay::start(std::move(container.master), {in.read.get(), out.write.get(), -1}).value();
  }
  // Copies until what is under way has gone through: the bell is rung by a child that waits for `condition`.
  void copy_for(TerminalRelay& relay, auto ring_when) {
    const pid_t child = fork();
    if (child == 0) {
      ring_when();
      _exit(write(bell.write.get(), "!", 1) == 1 ? 0 : 1);
    }
    const int wake[] = {bell.read.get()};
    EXPECT_EQ(relay.copy_until(wake).value(), 0u);
    EXPECT_EQ(read_some(bell.read.get()), "!");
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }

  PtyPair container;
  Pair in, out, bell;
};

TEST(TerminalRelay, PassesOutputWithPlainNewlines) {
  Rig rig;
  TerminalRelay relay = rig.start();
  rig.copy_for(relay, [&] {
    if (write(rig.container.slave.get(), "one\ntwo\n", 8) != 8 || read_some(rig.out.read.get()) != "one\ntwo\n")
      _exit(1);
  });
}

TEST(TerminalRelay, PassesInputAndItsEnd) {
  Rig rig;
  TerminalRelay relay = rig.start();
  write_text(rig.in.write.get(), "line\nrest");
  rig.in.write.reset();
  rig.copy_for(relay, [&] {
    if (read_some(rig.container.slave.get()) != "line\n") _exit(1);
    if (read_some(rig.container.slave.get()) != "rest") _exit(2);
    if (!read_some(rig.container.slave.get()).empty()) _exit(3);
  });
}

// A shell that edits lines leaves canonical mode for each, which makes a NUL of an end typed ahead.
TEST(TerminalRelay, EndOfInputReachesAReaderThatChangesModes) {
  Rig rig;
  TerminalRelay relay = rig.start();
  write_text(rig.in.write.get(), "line\n");
  rig.in.write.reset();
  rig.copy_for(relay, [&] {
    const int tty = rig.container.slave.get();
    if (read_some(tty) != "line\n") _exit(1);
    usleep(100'000);
    termios raw = settings(tty);
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    tcsetattr(tty, TCSADRAIN, &raw);
    std::string read;
    while (!read.ends_with('\x04')) read += read_some(tty);
  });
}

TEST(TerminalRelay, WakesForItsCallersDescriptors) {
  Rig rig;
  TerminalRelay relay = rig.start();
  const Pair other = make_pipe();
  write_text(other.write.get(), "x");
  const int wake[] = {rig.bell.read.get(), other.read.get()};
  EXPECT_EQ(relay.copy_until(wake).value(), 1u);
}

TEST(TerminalRelay, EndOfTheTerminalDoesNotEndTheWait) {
  Rig rig;
  TerminalRelay relay = rig.start();
  write_text(rig.container.slave.get(), "bye\n");
  rig.container.slave.reset();
  rig.copy_for(relay, [&] {
    if (read_some(rig.out.read.get()) != "bye\n") _exit(1);
  });
  relay.resize();
  relay.finish();
}

TEST(TerminalRelay, FinishWritesWhatIsLeft) {
  Rig rig;
  TerminalRelay relay = rig.start();
  write_text(rig.container.slave.get(), "last words\n");
  rig.container.slave.reset();
  relay.finish();
  EXPECT_EQ(read_some(rig.out.read.get()), "last words\n");
}

TEST(TerminalRelay, ContainerIsNotHeldUpByAReaderThatLeft) {
  Rig rig;
  rig.out.read.reset();
  TerminalRelay relay = rig.start();
  rig.copy_for(relay, [&] {
    // Far more than a terminal holds.
    const std::string line(1023, 'x');
    for (int i = 0; i < 200; ++i)
      if (!write_all(rig.container.slave.get(), line + "\n")) _exit(1);
  });
}

TEST(TerminalRelay, LargeTrafficBothWaysArrivesWhole) {
  Rig rig;
  termios raw = settings(rig.container.slave.get());
  cfmakeraw(&raw);
  tcsetattr(rig.container.slave.get(), TCSANOW, &raw);
  TerminalRelay relay = rig.start();
  constexpr size_t kTotal = 1u << 20;
  const auto byte_at = [](size_t i) { return static_cast<char>('a' + i * 31 % 26); };
  const pid_t echo = fork();
  if (echo == 0) {
    for (;;)
      if (!write_all(rig.container.slave.get(), read_some(rig.container.slave.get()))) _exit(0);
  }
  const pid_t typist = fork();
  if (typist == 0) {
    std::string text(kTotal, 0);
    for (size_t i = 0; i < kTotal; ++i) text[i] = byte_at(i);
    _exit(write_all(rig.in.write.get(), text) ? 0 : 1);
  }
  rig.copy_for(relay, [&] {
    for (size_t seen = 0; seen < kTotal;)
      for (const char c : read_some(rig.out.read.get()))
        if (c != byte_at(seen++)) _exit(1);
  });
  kill(echo, SIGKILL);
  waitpid(echo, nullptr, 0);
  waitpid(typist, nullptr, 0);
}

TEST(TerminalRelay, HostTerminalIsRawMeanwhileAndGivesTheSize) {
  const PtyPair host = make_pty();
  PtyPair container = make_pty();
  ASSERT_TRUE(set_window_size(host.master.get(), {.rows = 30, .columns = 100}));
  const termios before = settings(host.slave.get());
  const int slave = host.slave.get();
  {
    TerminalRelay relay = TerminalRelay::start(std::move(container.master), {slave, slave, slave}).value();
    EXPECT_EQ(settings(slave).c_lflag & (ICANON | ECHO | ISIG), 0u);
    EXPECT_EQ(settings(slave).c_oflag & OPOST, 0u);
    EXPECT_NE(settings(container.slave.get()).c_oflag & ONLCR, 0u);
    WindowSize size = window_size(container.slave.get()).value();
    EXPECT_EQ(size.rows, 30);
    EXPECT_EQ(size.columns, 100);
    ASSERT_TRUE(set_window_size(host.master.get(), {.rows = 31, .columns = 101}));
    relay.resize();
    size = window_size(container.slave.get()).value();
    EXPECT_EQ(size.rows, 31);
    EXPECT_EQ(size.columns, 101);
  }
  EXPECT_EQ(settings(slave).c_lflag, before.c_lflag);
  EXPECT_EQ(settings(slave).c_oflag, before.c_oflag);
}

TEST(RawMode, RestoresOnce) {
  const PtyPair pty = make_pty();
  const termios before = settings(pty.slave.get());
  RawMode raw = RawMode::enter(pty.slave.get()).value();
  RawMode moved = std::move(raw);
  raw.restore();  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move): what it does then is the question
  EXPECT_EQ(settings(pty.slave.get()).c_lflag & ICANON, 0u);
  moved.restore();
  EXPECT_EQ(settings(pty.slave.get()).c_lflag, before.c_lflag);
  EXPECT_FALSE(RawMode::enter(make_pipe().read.get()));
}

TEST(PtySlave, IsToldFromOtherFiles) {
  const PtyPair pty = make_pty();
  EXPECT_TRUE(check_pty_slave(pty.slave.get()));
  // The master of an instance is on the devpts too, or in /dev: a slave it is not.
  EXPECT_FALSE(check_pty_slave(pty.master.get()));
  const Fd null = open("/dev/null", O_RDWR).value();
  EXPECT_THAT(check_pty_slave(null.get()).error().message(), HasSubstr("not on a devpts"));
}

TEST(OpenPty, RefusesAFolderThatIsNoDevpts) {
  const Fd folder = open("/tmp", O_PATH | O_DIRECTORY).value();
  const Result<PtyPair> pair = open_pty(folder.get());
  ASSERT_FALSE(pair);
  EXPECT_EQ(pair.error().message(), "pts folder: not on a devpts");
}

TEST(StandardStreams, AreReplacedInOrder) {
  RecordingGate gate;
  ScopedGate scope(gate);
  ASSERT_TRUE(use_as_standard_streams(7));
  EXPECT_THAT(gate.calls(), ElementsAre("dup3(7, 0, 0x0)", "dup3(7, 1, 0x0)", "dup3(7, 2, 0x0)"));
}

}  // namespace
}  // namespace proa::kernel
