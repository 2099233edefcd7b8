#include "oci/runtime/copy_tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/file.h"
#include "kernel/temp_folder_test.h"

namespace proa::oci::runtime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class CopyTree : public testing::Test {
 protected:
  explicit CopyTree(const std::string& parent = testing::TempDir()) : folder(parent) {
    fs::create_directory(folder / "from");
    fs::create_directory(folder / "to");
  }
  Result<> copy() const {
    const Fd from = kernel::open((folder / "from").c_str(), O_RDONLY | O_DIRECTORY).value();
    const Fd to = kernel::open((folder / "to").c_str(), O_RDONLY | O_DIRECTORY).value();
    return copy_tree(from.get(), to.get());
  }
  struct stat stat_of(std::string_view path) const {
    struct stat info{};
    EXPECT_EQ(::lstat((folder / path).c_str(), &info), 0) << path;
    return info;
  }
  // Sets what it should carry over; false where the file system takes no such attribute.
  bool set_attribute(std::string_view path, const std::string& name, std::string_view value) const {
    return ::setxattr((folder / path).c_str(), name.c_str(), value.data(), value.size(), 0) == 0;
  }
  std::string attribute(std::string_view path, const std::string& name) const {
    char value[256];
    const ssize_t size = ::getxattr((folder / path).c_str(), name.c_str(), value, sizeof value);
    return size < 0 ? "none" : std::string(value, static_cast<size_t>(size));
  }

  TempFolder folder;
};

TEST_F(CopyTree, ContentAtEveryDepth) {
  fs::create_directories(folder / "from/a/b/c");
  fs::create_directory(folder / "from/empty");
  folder.write("from/top", "1");
  folder.write("from/a/b/c/deep", "2");
  folder.write("from/nothing", "");
  const std::string large(300'000, 'x');
  folder.write("from/large", large);
  const auto done = copy();
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(folder.read("to/top"), "1");
  EXPECT_EQ(folder.read("to/a/b/c/deep"), "2");
  EXPECT_EQ(folder.read("to/large"), large);
  EXPECT_EQ(fs::file_size(folder / "to/nothing"), 0u);
  EXPECT_TRUE(fs::is_directory(folder / "to/empty"));
}

TEST_F(CopyTree, ModesAndTimes) {
  fs::create_directory(folder / "from/closed");
  folder.write("from/closed/inner", "");
  folder.write("from/program", "");
  ASSERT_EQ(::chmod((folder / "from/program").c_str(), 06755), 0);
  ASSERT_EQ(::chmod((folder / "from/closed").c_str(), 01555), 0);
  const timespec times[2] = {{100, 1}, {200, 2}};
  for (const char* path : {"from/program", "from/closed", "from/closed/inner"})
    ASSERT_EQ(::utimensat(AT_FDCWD, (folder / path).c_str(), times, 0), 0);
  const auto done = copy();
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(stat_of("to/program").st_mode, S_IFREG | 06755u);
  EXPECT_EQ(stat_of("to/closed").st_mode, S_IFDIR | 01555u);
  for (const char* path : {"to/program", "to/closed", "to/closed/inner"}) {
    EXPECT_EQ(stat_of(path).st_mtim.tv_sec, 200) << path;
    EXPECT_EQ(stat_of(path).st_mtim.tv_nsec, 2) << path;
  }
  for (const char* path : {"from/closed", "to/closed"}) ::chmod((folder / path).c_str(), 0755);
}

TEST_F(CopyTree, LinksStayLinks) {
  folder.write("secret", "host");
  fs::create_symlink(folder / "secret", folder / "from/file");
  fs::create_symlink("..", folder / "from/up");
  fs::create_symlink("nowhere", folder / "from/dangling");
  const auto done = copy();
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(fs::read_symlink(folder / "to/file"), folder / "secret");
  EXPECT_EQ(fs::read_symlink(folder / "to/up"), "..");
  EXPECT_EQ(fs::read_symlink(folder / "to/dangling"), "nowhere");
}

TEST_F(CopyTree, OtherKinds) {
  ASSERT_EQ(::mkfifo((folder / "from/pipe").c_str(), 0640), 0);
  ASSERT_EQ(::mknod((folder / "from/socket").c_str(), S_IFSOCK | 0600, 0), 0);
  const auto done = copy();
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(stat_of("to/pipe").st_mode, S_IFIFO | 0640u);
  EXPECT_EQ(stat_of("to/socket").st_mode, S_IFSOCK | 0600u);
}

TEST_F(CopyTree, ExtendedAttributes) {
  fs::create_directory(folder / "from/folder");
  folder.write("from/file", "");
  if (!set_attribute("from", "user.top", "a")) GTEST_SKIP() << "the temporary folder takes no user.* attributes";
  set_attribute("from/folder", "user.folder", "b");
  set_attribute("from/file", "user.file", "c");
  const auto done = copy();
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(attribute("to", "user.top"), "a");
  EXPECT_EQ(attribute("to/folder", "user.folder"), "b");
  EXPECT_EQ(attribute("to/file", "user.file"), "c");
}

// Other file systems have room for a few only.
class CopyTreeInMemory : public CopyTree {
 protected:
  CopyTreeInMemory() : CopyTree("/dev/shm") {}
};

TEST_F(CopyTreeInMemory, ManyExtendedAttributes) {
  folder.write("from/file", "");
  // Their names together are more than a page.
  const auto name = [](int i) { return cat("user.", i, std::string(200, 'x')); };
  for (int i = 0; i < 30; ++i)
    if (!set_attribute("from/file", name(i), "v")) GTEST_SKIP() << "/dev/shm takes no user.* attributes (Linux 6.6)";
  const auto done = copy();
  ASSERT_TRUE(done) << done.error().message();
  for (const int i : {0, 15, 29}) EXPECT_EQ(attribute("to/file", name(i)), "v") << i;
}

// A change of owner takes them away (capabilities(7)), so they are to be set after it.
TEST_F(CopyTree, FileCapabilities) {
  folder.write("from/program", "");
  vfs_cap_data data{};
  data.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
  data.data[0].permitted = 1u << CAP_NET_RAW;
  const std::string value(reinterpret_cast<const char*>(&data), sizeof data);
  if (!set_attribute("from/program", "security.capability", value))
    GTEST_SKIP() << "may not set security.capability here";
  ASSERT_EQ(::chmod((folder / "from/program").c_str(), 04755), 0);
  const auto done = copy();
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(attribute("to/program", "security.capability"), value);
  EXPECT_EQ(stat_of("to/program").st_mode, S_IFREG | 04755u);
}

TEST_F(CopyTree, Owner) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  folder.write("from/file", "");
  fs::create_symlink("x", folder / "from/link");
  ASSERT_EQ(::lchown((folder / "from/file").c_str(), 7, 8), 0);
  ASSERT_EQ(::lchown((folder / "from/link").c_str(), 9, 10), 0);
  const auto done = copy();
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(stat_of("to/file").st_uid, 7u);
  EXPECT_EQ(stat_of("to/file").st_gid, 8u);
  EXPECT_EQ(stat_of("to/link").st_uid, 9u);
}

TEST_F(CopyTree, DepthIsBounded) {
  Fd at = kernel::open((folder / "from").c_str(), O_RDONLY | O_DIRECTORY).value();
  for (int i = 0; i < 260; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0755), 0);
    at = kernel::open_at(at.get(), "d", O_RDONLY | O_DIRECTORY).value();
  }
  const auto done = copy();
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("more than 256 folders deep"));
}

TEST_F(CopyTree, CopyThatWasCutShortIsRepeated) {
  fs::create_directory(folder / "from/sub");
  fs::create_directory(folder / "to/sub");
  folder.write("from/sub/x", "whole");
  folder.write("to/sub/x", "who");
  ASSERT_TRUE(copy());
  EXPECT_EQ(kernel::read_file((folder / "to/sub/x").c_str()).value(), "whole");
}

TEST_F(CopyTree, FolderDoesNotTakeThePlaceOfAFile) {
  fs::create_directory(folder / "from/sub");
  folder.write("to/sub", "a file");
  const auto into = copy();
  ASSERT_FALSE(into);
  EXPECT_THAT(into.error().message(), HasSubstr("sub"));
}

}  // namespace
}  // namespace proa::oci::runtime
