#include "kernel/lsm.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/fd.h"
#include "kernel/file.h"

namespace proa::kernel {
namespace {

using ::testing::HasSubstr;

// A folder tree in place of the host's /sys and /proc.
class LsmTest : public ::testing::Test {
 protected:
  LsmTest() : root_((std::filesystem::temp_directory_path() / cat("proa-lsm-", getpid())).string()) {
    std::filesystem::create_directories(root_ + "/proc");
  }
  ~LsmTest() override { std::filesystem::remove_all(root_); }

  void put(const std::string& path, const std::string& text) {
    const std::filesystem::path whole = root_ + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
  }
  Result<std::vector<LabelWrite>> writes(std::string_view profile, std::string_view label) {
    const Fd proc = open((root_ + "/proc").c_str(), O_PATH | O_DIRECTORY).value();
    return exec_label_writes(profile, label, proc.get(), root_);
  }

  std::string root_;
};

TEST_F(LsmTest, NothingAskedForNothingDone) { EXPECT_TRUE(writes("", "").value().empty()); }

TEST_F(LsmTest, ProfileGoesToApparmorsOwnFile) {
  put("/sys/module/apparmor/parameters/enabled", "Y\n");
  std::vector<LabelWrite> found = writes("web-default", "").value();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, "thread-self/attr/exec");  // a kernel before 5.8
  EXPECT_EQ(found[0].text, "exec web-default");
  put("/proc/thread-self/attr/apparmor/exec", "");
  found = writes("web-default", "").value();
  EXPECT_EQ(found[0].path, "thread-self/attr/apparmor/exec");
}

TEST_F(LsmTest, ProfileWithoutApparmorIsRefused) {
  EXPECT_EQ(writes("web", "").error().message(),
            "process.apparmorProfile: web: AppArmor is not enabled on this kernel");
  EXPECT_TRUE(writes("unconfined", "").value().empty());
  put("/sys/module/apparmor/parameters/enabled", "N\n");
  EXPECT_FALSE(writes("web", ""));
}

TEST_F(LsmTest, LabelNeedsSelinux) {
  const char* label = "system_u:system_r:container_t:s0:c1,c2";
  EXPECT_THAT(writes("", label).error().message(), HasSubstr("process.selinuxLabel: "));
  put("/sys/fs/selinux/enforce", "1");
  const std::vector<LabelWrite> found = writes("", label).value();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, "thread-self/attr/exec");
  EXPECT_EQ(found[0].text, label);
}

TEST_F(LsmTest, LabelsAreOneLine) {
  put("/sys/module/apparmor/parameters/enabled", "Y\n");
  EXPECT_FALSE(writes("web\nexec unconfined", ""));
  EXPECT_FALSE(writes(std::string_view("a\0b", 3), ""));
  EXPECT_FALSE(writes("", "label\n"));
}

TEST_F(LsmTest, MountLabelIsQuotedAfterTheOptions) {
  EXPECT_EQ(with_mount_label("mode=755", "", root_).value(), "mode=755");
  EXPECT_THAT(with_mount_label("", "x", root_).error().message(),
              HasSubstr("linux.mountLabel: x: SELinux is not enabled"));
  put("/sys/fs/selinux/enforce", "0");
  EXPECT_EQ(with_mount_label("mode=755", "u:r:t:s0:c1,c2", root_).value(), "mode=755,context=\"u:r:t:s0:c1,c2\"");
  EXPECT_EQ(with_mount_label("", "u:r:t:s0", root_).value(), "context=\"u:r:t:s0\"");
  EXPECT_FALSE(with_mount_label("", "u\",suid,x=\"", root_));
}

TEST_F(LsmTest, OnlyAProcfsIsWrittenTo) {
  put("/proc/thread-self/attr/exec", "");
  const Fd fake = open((root_ + "/proc").c_str(), O_PATH | O_DIRECTORY).value();
  EXPECT_THAT(write_label(fake.get(), {"thread-self/attr/exec", "x"}).error().message(), HasSubstr("not on a procfs"));
  EXPECT_EQ(std::filesystem::file_size(root_ + "/proc/thread-self/attr/exec"), 0u);
}

TEST_F(LsmTest, WriteReachesTheKernel) {
  const Fd proc = open("/proc", O_PATH | O_DIRECTORY).value();
  // Any thread may write its own comm; attr files need a module that most test hosts lack.
  ASSERT_TRUE(write_label(proc.get(), {"thread-self/comm", "labelled"}));
  EXPECT_EQ(read_file("/proc/thread-self/comm").value(), "labelled\n");
}

}  // namespace
}  // namespace proa::kernel
