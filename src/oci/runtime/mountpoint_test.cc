#include "oci/runtime/mountpoint.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/file.h"
#include "kernel/temp_folder_test.h"

namespace proa::oci::runtime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A root file system, and beside it what belongs to the host.
class MountPoint : public testing::Test {
 protected:
  MountPoint() {
    fs::create_directory(folder / "root");
    fs::create_directory(folder / "host");
    fd = kernel::open((folder / "root").c_str(), O_PATH | O_DIRECTORY).value();
  }
  std::string in_root(std::string_view path) const { return folder / cat("root/", path); }
  void link(std::string_view target, std::string_view path) const { fs::create_symlink(target, in_root(path)); }
  int root() const { return fd.get(); }
  // Whether the descriptor is what stands at `path` of the root.
  void expect_is(const Result<Fd>& opened, std::string_view path) const {
    ASSERT_TRUE(opened) << opened.error().message();
    struct stat found{}, wanted{};
    ASSERT_EQ(::fstat(opened->get(), &found), 0);
    ASSERT_EQ(::stat(in_root(path).c_str(), &wanted), 0) << path << " is not there";
    EXPECT_EQ(found.st_ino, wanted.st_ino) << "not " << path;
  }
  void expect_host_untouched() const { EXPECT_TRUE(fs::is_empty(folder / "host")); }

  TempFolder folder;
  Fd fd;
};

TEST(PlaceInRoot, IsCleanAndNeverAboveTheRoot) {
  EXPECT_EQ(place_in_root("/a//b/./c/"), "/a/b/c");
  EXPECT_EQ(place_in_root("a/../../b"), "/b");
  EXPECT_EQ(place_in_root("../.."), "/");
  EXPECT_EQ(place_in_root(""), "/");
  EXPECT_EQ(place_in_root("/"), "/");
}

TEST_F(MountPoint, FolderIsMadeWithItsParents) {
  const mode_t before = ::umask(022);
  expect_is(make_folder_in_root(root(), "/a/b/c"), "a/b/c");
  ::umask(before);
  struct stat info{};
  ASSERT_EQ(::stat(in_root("a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u);
  expect_is(make_folder_in_root(root(), "/a/b/c"), "a/b/c");
  expect_is(make_folder_in_root(root(), "/"), ".");
}

TEST_F(MountPoint, LinksAreTakenInsideTheRoot) {
  fs::create_directories(in_root("real/inner"));
  link("/real", "absolute");
  link("../../../../real/inner", "relative");
  expect_is(make_folder_in_root(root(), "/absolute/inner"), "real/inner");
  expect_is(make_folder_in_root(root(), "/absolute/new/deep"), "real/new/deep");
  expect_is(make_folder_in_root(root(), "/relative"), "real/inner");
  link(folder / "host", "out");
  expect_is(make_folder_in_root(root(), "/out/new"), cat(folder.path().substr(1), "/host/new"));
  expect_host_untouched();
}

TEST_F(MountPoint, DanglingLinksAreFollowedInsideTheRoot) {
  link("/made/here", "folder");
  expect_is(make_folder_in_root(root(), "/folder"), "made/here");
  fs::create_directory(in_root("sub"));
  link("../made/file", "sub/file");
  expect_is(make_file_in_root(root(), "/sub/file"), "made/file");
  link(folder / "host/file", "away");
  expect_is(make_file_in_root(root(), "/away"), cat(folder.path().substr(1), "/host/file"));
  expect_host_untouched();
}

TEST_F(MountPoint, ChainsOfDanglingLinks) {
  for (int i = 0; i < 8; ++i) link(cat("l", i + 1), cat("l", i));
  expect_is(make_file_in_root(root(), "/l0"), "l8");
  link("loop-b", "loop-a");
  link("loop-a", "loop-b");
  EXPECT_EQ(make_file_in_root(root(), "/loop-a").error().code(), ELOOP);
  EXPECT_EQ(make_folder_in_root(root(), "/loop-a/x").error().code(), ELOOP);
}

TEST_F(MountPoint, MagicLinksAreRefused) {
  const Fd proc = kernel::open("/proc", O_PATH | O_DIRECTORY).value();
  for (const char* path : {"/self/root/tmp", "/self/cwd", "/thread-self/fd/0"})
    EXPECT_FALSE(make_folder_in_root(proc.get(), path)) << path;
  EXPECT_FALSE(make_file_in_root(proc.get(), "/self/exe"));
}

TEST_F(MountPoint, FileInTheWay) {
  folder.write("root/file", "x");
  EXPECT_EQ(make_folder_in_root(root(), "/file").error().code(), ENOTDIR);
  EXPECT_EQ(make_folder_in_root(root(), "/file/below").error().code(), ENOTDIR);
  EXPECT_EQ(make_file_in_root(root(), "/file/below").error().code(), ENOTDIR);
  EXPECT_EQ(folder.read("root/file"), "x");
}

TEST_F(MountPoint, FileIsMadeEmptyAndAnyKindIsTaken) {
  expect_is(make_file_in_root(root(), "/etc/new"), "etc/new");
  EXPECT_EQ(fs::file_size(in_root("etc/new")), 0u);
  folder.write("root/etc/old", "kept");
  expect_is(make_file_in_root(root(), "/etc/old"), "etc/old");
  EXPECT_EQ(folder.read("root/etc/old"), "kept");
  ASSERT_EQ(::mkfifo(in_root("pipe").c_str(), 0600), 0);
  expect_is(make_file_in_root(root(), "/pipe"), "pipe");
  expect_is(make_file_in_root(root(), "/etc"), "etc");
}

TEST_F(MountPoint, ParentAndName) {
  auto place = make_parent_in_root(root(), "/a/b/../name");
  ASSERT_TRUE(place) << place.error().message();
  EXPECT_EQ(place->name, "name");
  expect_is(std::move(place->parent), "a");
  EXPECT_FALSE(fs::exists(in_root("a/name")));
  EXPECT_EQ(make_parent_in_root(root(), "/x/..").error().code(), EINVAL);
}

TEST_F(MountPoint, PlainFolderIsReachedWithoutAnyLink) {
  expect_is(make_plain_folder(root(), "/sub/proc"), "sub/proc");
  expect_is(make_plain_folder(root(), "/sub/proc"), "sub/proc");
  link("/sub", "link");
  link("/sub/proc", "proc");
  folder.write("root/file", "");
  for (const char* path : {"/proc", "/link/proc", "/link/new", "/file"}) {
    const auto made = make_plain_folder(root(), path);
    ASSERT_FALSE(made) << path;
    EXPECT_THAT(made.error().message(), HasSubstr("must be an ordinary folder, not a link")) << path;
  }
  EXPECT_FALSE(fs::exists(in_root("sub/new")));
}

}  // namespace
}  // namespace proa::oci::runtime
