#include "oci/runtime/init.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "kernel/file.h"
#include "kernel/sys.h"
#include "kernel/temp_folder_test.h"

namespace proa::oci::runtime {
namespace {

TEST(SetupMessage, RoundTrip) {
  const SetupDone done{.cwd_as_user = true, .sync = 5, .listener = -1, .proc = 12, .home = "/home/a b"};
  const SetupDone read = decode_setup(encode(done));
  EXPECT_TRUE(read.cwd_as_user);
  EXPECT_EQ(read.sync, 5);
  EXPECT_EQ(read.listener, -1);
  EXPECT_EQ(read.proc, 12);
  EXPECT_EQ(read.home, "/home/a b");
  EXPECT_EQ(decode_setup(encode({})).home, "");
  EXPECT_EQ(decode_setup(encode({})).sync, -1);
}

class HomeOf : public testing::Test {
 protected:
  HomeOf() {
    std::filesystem::create_directory(folder / "etc");
    root = kernel::open(folder.path().c_str(), O_PATH | O_DIRECTORY).value();
  }
  std::string home(uint32_t uid) const { return home_of(root.get(), uid); }

  TempFolder folder;
  Fd root;
};

TEST_F(HomeOf, IsTheFirstEntryOfTheUser) {
  folder.write("etc/passwd",
               "root:x:0:0:root:/root:/bin/sh\n"
               "me:x:1000:100:Me,,,:/home/me:/bin/sh\n"
               "again:x:1000:100::/home/again:/bin/sh\n"
               "last:x:7:7::/var/last:");
  EXPECT_EQ(home(0), "/root");
  EXPECT_EQ(home(1000), "/home/me");
  EXPECT_EQ(home(7), "/var/last");
  EXPECT_EQ(home(8), "/");
}

TEST_F(HomeOf, OddEntriesAreSkipped) {
  folder.write("etc/passwd", cat("\n:::\n1\nx:x:1\nx:x:1x:1::/a:\nx:x:-1:1::/b:\nx:x:1:1::relative:\nx:x:1:1::/",
                                 std::string(2000, 'l'), ":\nx:x:4294967297:1::/c:\nx:x:1:1::/good:\n"));
  EXPECT_EQ(home(1), "/good");
}

TEST_F(HomeOf, HostileFiles) {
  EXPECT_EQ(home(0), "/") << "none";
  ASSERT_EQ(::mkfifo((folder / "etc/passwd").c_str(), 0600), 0);
  EXPECT_EQ(home(0), "/") << "a pipe nobody writes to";
  std::filesystem::remove(folder / "etc/passwd");
  std::filesystem::create_symlink("/etc/passwd", folder / "etc/passwd");
  EXPECT_EQ(home(0), "/") << "a link to itself, as seen from inside";
  std::filesystem::remove(folder / "etc/passwd");
  folder.write("etc/passwd", cat(std::string(2 << 20, '\n'), "root:x:0:0::/root:\n"));
  EXPECT_EQ(home(0), "/") << "larger than any such file";
}

TEST(EnterCwd, FolderThatRootMayNotEnterIsLeftToTheUser) {
  kernel::RecordingGate gate;
  const kernel::ScopedGate installed(gate);
  gate.answer_next("chdir", -EACCES);
  EXPECT_TRUE(enter_cwd("/home/me").value());
  gate.answer_next("chdir", -ENOENT);
  const auto missing = enter_cwd("/none");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message(), "process.cwd /none: no such file or directory");
  EXPECT_FALSE(enter_cwd("/").value());
}

TEST(EncodeHierarchies, ForTheChild) {
  kernel::cgroup::Location location;
  location.hierarchies = {{.controllers = "cpu,cpuacct", .path = "/a"}, {.controllers = "", .path = "/b"}};
  EXPECT_EQ(encode_hierarchies(location), "cpu,cpuacct\n/a\n\n/b\n");
}

}  // namespace
}  // namespace proa::oci::runtime
