#include "kernel/file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "kernel/sys.h"
#include "kernel/temp_folder_test.h"

namespace proa::kernel {
namespace {

namespace fs = std::filesystem;

class File : public testing::Test {
 protected:
  Fd root() const { return open(folder.path().c_str(), O_PATH | O_DIRECTORY).value(); }
  TempFolder folder;
};

TEST_F(File, ReadsWhole) {
  const std::string text(100'000, 'x');
  folder.write("f", text);
  EXPECT_EQ(read_file((folder / "f").c_str()).value(), text);
  EXPECT_EQ(read_file_at(root().get(), "f").value(), text);
}

TEST_F(File, ReadsUpToTheLimitOnly) {
  folder.write("f", "12345");
  EXPECT_EQ(read_file((folder / "f").c_str(), 5).value(), "12345");
  EXPECT_EQ(read_file((folder / "f").c_str(), 4).error().code(), EFBIG);
}

TEST_F(File, ReadsKernelFilesThatHaveNoSize) {
  EXPECT_NE(read_file("/proc/self/status").value().find("Name:"), std::string::npos);
  EXPECT_EQ(read_file("/proc/self/status", 10).error().code(), EFBIG);
}

TEST_F(File, ErrorsNameThePath) {
  const auto read = read_file((folder / "none").c_str());
  EXPECT_EQ(read.error().code(), ENOENT);
  EXPECT_NE(read.error().message().find(folder / "none"), std::string::npos);
}

TEST_F(File, WritesIntoExistingFilesOnly) {
  EXPECT_EQ(write_file((folder / "f").c_str(), "1").error().code(), ENOENT);
  EXPECT_FALSE(fs::exists(folder / "f"));
  folder.write("f", "");
  EXPECT_TRUE(write_file_at(root().get(), "f", "2"));
  EXPECT_EQ(folder.read("f"), "2");
}

TEST_F(File, ReplacesAndLeavesNothingBeside) {
  folder.write("f", "a long old text");
  EXPECT_TRUE(replace_file(folder / "f", "new", 0640, true));
  EXPECT_EQ(folder.read("f"), "new");
  EXPECT_EQ(fs::status(folder / "f").permissions(), fs::perms(0640));
  fs::create_directory(folder / "taken");
  EXPECT_FALSE(replace_file(folder / "taken", "x", 0600));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 2);
}

TEST_F(File, InRootEveryPathStaysInside) {
  folder.write("inside", "yes");
  fs::create_symlink("/inside", folder / "absolute");
  fs::create_symlink("../../../../inside", folder / "up");
  fs::create_symlink("/etc/hostname", folder / "host");
  for (const char* path : {"/inside", "inside", "../../inside", "/absolute", "/up"}) {
    auto file = open_in_root(root().get(), path, O_RDONLY);
    ASSERT_TRUE(file) << path;
    EXPECT_EQ(read_all(file->get()).value(), "yes") << path;
  }
  EXPECT_EQ(open_in_root(root().get(), "/host", O_RDONLY).error().code(), ENOENT);
}

TEST_F(File, InRootMagicLinksAreRefused) {
  Fd top = open("/", O_PATH | O_DIRECTORY).value();
  EXPECT_EQ(open_in_root(top.get(), "/proc/self/exe", O_PATH).error().code(), ELOOP);
  EXPECT_EQ(open_in_root(top.get(), "/proc/self/cwd/x", O_PATH).error().code(), ELOOP);
}

TEST_F(File, BeneathNoLinks) {
  fs::create_directory(folder / "d");
  folder.write("d/f", "");
  fs::create_symlink("d", folder / "link");
  EXPECT_TRUE(open_beneath_no_links(root().get(), "d/f", O_PATH));
  EXPECT_EQ(open_beneath_no_links(root().get(), "link/f", O_PATH).error().code(), ELOOP);
  EXPECT_EQ(open_beneath_no_links(root().get(), "../x", O_PATH).error().code(), EXDEV);
  EXPECT_EQ(open_beneath_no_links(root().get(), "/d", O_PATH).error().code(), EXDEV);
}

TEST_F(File, RacesInTheKernelAreTriedAgain) {
  RecordingGate gate;
  ScopedGate installed(gate);
  gate.answer_next("openat2", -EAGAIN);
  gate.answer_next("openat2", -EAGAIN);
  EXPECT_TRUE(open_in_root(3, "/a", O_PATH));
  EXPECT_EQ(gate.calls().size(), 3u);
  gate.answer_always("openat2", -EAGAIN);
  EXPECT_EQ(open_in_root(3, "/a", O_PATH).error().code(), EAGAIN);
}

TEST_F(File, DescriptorsAreNotInherited) {
  folder.write("f", "");
  EXPECT_NE(::fcntl(open((folder / "f").c_str(), O_RDONLY)->get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(open_in_root(root().get(), "f", O_RDONLY)->get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(File, MakesFolders) {
  EXPECT_TRUE(make_dirs(folder / "a/b/c", 0700));
  EXPECT_TRUE(make_dirs(folder / "a/b/c", 0700));
  EXPECT_TRUE(fs::is_directory(folder / "a/b/c"));
  folder.write("file", "");
  EXPECT_EQ(make_dirs(folder / "file/x", 0700).error().code(), ENOTDIR);
}

TEST_F(File, RemovesATreeAndFollowsNoLink) {
  fs::create_directories(folder / "tree/deep/er");
  fs::create_directory(folder / "outside");
  folder.write("outside/kept", "");
  folder.write("tree/deep/f", "");
  fs::create_directory_symlink(folder / "outside", folder / "tree/link");
  EXPECT_TRUE(remove_tree(folder / "tree"));
  EXPECT_FALSE(fs::exists(folder / "tree"));
  EXPECT_TRUE(fs::exists(folder / "outside/kept"));
  EXPECT_TRUE(remove_tree(folder / "tree"));
  fs::create_directory_symlink(folder / "outside", folder / "top");
  EXPECT_FALSE(remove_tree(folder / "top"));
  EXPECT_TRUE(fs::exists(folder / "outside/kept"));
}

}  // namespace
}  // namespace proa::kernel
