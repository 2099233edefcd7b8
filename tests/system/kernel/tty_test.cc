#include "kernel/tty.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <csignal>

#include "in_child.h"
#include "kernel/file.h"

namespace proa::kernel {
namespace {

using ::testing::HasSubstr;

// In a mount namespace of its own: a tmpfs as the container's /dev with a new devpts in it.
class Dev {
 public:
  Dev() {
    EXPECT_EQ(unshare(CLONE_NEWNS), 0);
    EXPECT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    EXPECT_EQ(mount("tmpfs", "/mnt", "tmpfs", 0, nullptr), 0);
    EXPECT_EQ(mkdir("/mnt/pts", 0755), 0);
    EXPECT_EQ(mount("devpts", "/mnt/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620"), 0);
    dev = open("/mnt", O_PATH | O_DIRECTORY).value();
    pts = open("/mnt/pts", O_PATH | O_DIRECTORY).value();
  }
  Fd dev, pts;
};

struct stat info_of(int fd) {
  struct stat info{};
  EXPECT_EQ(fstat(fd, &info), 0);
  return info;
}

TEST(TtySystem, PairBelongsToTheGivenInstance) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Dev container;
    const PtyPair first = open_pty(container.pts.get()).value();
    const PtyPair second = open_pty(container.pts.get()).value();
    struct stat listed{};
    ASSERT_EQ(stat("/mnt/pts/0", &listed), 0);
    EXPECT_EQ(info_of(first.slave.get()).st_dev, listed.st_dev);
    EXPECT_EQ(info_of(first.slave.get()).st_ino, listed.st_ino);
    EXPECT_EQ(major(info_of(first.slave.get()).st_rdev), 136u);
    ASSERT_EQ(stat("/mnt/pts/1", &listed), 0);
    EXPECT_EQ(info_of(second.slave.get()).st_ino, listed.st_ino);
    EXPECT_EQ(fcntl(first.slave.get(), F_GETFD), FD_CLOEXEC);
    ASSERT_EQ(write(first.slave.get(), "x", 1), 1);
    char byte = 0;
    EXPECT_EQ(read(first.master.get(), &byte, 1), 1);
  });
}

TEST(TtySystem, OnlyTheRootOfADevptsIsTaken) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Dev container;
    EXPECT_THAT(open_pty(container.dev.get()).error().message(), HasSubstr("not on a devpts"));
    const Fd ptmx = open("/mnt/pts/ptmx", O_PATH).value();
    EXPECT_THAT(open_pty(ptmx.get()).error().message(), HasSubstr("not the root"));
  });
}

// CVE-2025-52565: something else stands where the device should be.
TEST(TtySystem, MountOverPtmxIsNotFollowed) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Dev container;
    ASSERT_EQ(mount("/dev/null", "/mnt/pts/ptmx", nullptr, MS_BIND, nullptr), 0);
    EXPECT_EQ(open_pty(container.pts.get()).error().code(), EXDEV);
  });
}

TEST(TtySystem, ConsoleIsThePty) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Dev container;
    const PtyPair pty = open_pty(container.pts.get()).value();
    const Result<> mounted = mount_console(pty.slave.get(), container.dev.get());
    ASSERT_TRUE(mounted) << mounted.error().message();
    struct stat console{};
    ASSERT_EQ(stat("/mnt/console", &console), 0);
    EXPECT_EQ(console.st_rdev, info_of(pty.slave.get()).st_rdev);
    EXPECT_EQ(console.st_ino, info_of(pty.slave.get()).st_ino);
  });
}

TEST(TtySystem, ConsoleThatIsALinkOrAFolderIsRefused) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Dev container;
    const PtyPair pty = open_pty(container.pts.get()).value();
    ASSERT_EQ(mkdir("/mnt/target", 0755), 0);
    ASSERT_EQ(symlink("/mnt/target", "/mnt/console"), 0);
    EXPECT_FALSE(mount_console(pty.slave.get(), container.dev.get()));
    ASSERT_EQ(unlink("/mnt/console"), 0);
    ASSERT_EQ(mkdir("/mnt/console", 0755), 0);
    EXPECT_THAT(mount_console(pty.slave.get(), container.dev.get()).error().message(), HasSubstr("in the way"));
  });
}

TEST(TtySystem, OnlyAPtyIsMounted) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Dev container;
    const Fd procfile = open("/proc/sys/kernel/core_pattern", O_RDONLY).value();
    EXPECT_THAT(mount_console(procfile.get(), container.dev.get()).error().message(), HasSubstr("not on a devpts"));
    EXPECT_FALSE(path_exists("/mnt/console"));
  });
}

TEST(TtySystem, BecomesTheControllingTerminal) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Dev container;
    const PtyPair pty = open_pty(container.pts.get()).value();
    signal(SIGHUP, SIG_IGN);  // sent when the pair is closed
    ASSERT_GE(setsid(), 0);
    EXPECT_FALSE(path_exists("/dev/tty") && open("/dev/tty", O_RDWR));
    const Result<> set = set_controlling_terminal(pty.slave.get());
    ASSERT_TRUE(set) << set.error().message();
    EXPECT_EQ(tcgetsid(pty.slave.get()), getpid());
  });
}

}  // namespace
}  // namespace proa::kernel
