#include "engine/users.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/fd.h"

namespace proa::engine {
namespace {

class UsersTest : public testing::Test {
 protected:
  UsersTest() {
    char path[] = "/tmp/proa-users-test-XXXXXX";
    folder_ = ::mkdtemp(path);
    std::filesystem::create_directory(folder_ + "/etc");
    std::ofstream(folder_ + "/etc/passwd")
        << "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:100:Ann:/home/ann:/bin/sh\n";
    std::ofstream(folder_ + "/etc/group") << "root:x:0:\nusers:x:100:\nwheel:x:10:root,ann\nvideo:x:44:bob\n";
    root_ = Fd(::open(folder_.c_str(), O_PATH | O_DIRECTORY));
  }
  ~UsersTest() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
  Fd root_;
};

TEST_F(UsersTest, NamesAndNumbers) {
  auto ann = resolve_user(root_.get(), "ann", {"video", "7"});
  ASSERT_TRUE(ann);
  EXPECT_EQ(ann->uid, 1000U);
  EXPECT_EQ(ann->gid, 100U);
  EXPECT_EQ(ann->home, "/home/ann");
  EXPECT_EQ(ann->groups, (std::vector<uint32_t>{7, 10, 44}));
  EXPECT_EQ(resolve_user(root_.get(), "1000", {})->home, "/home/ann");
  EXPECT_EQ(resolve_user(root_.get(), "", {})->home, "/root");
  EXPECT_EQ(resolve_user(root_.get(), "5000", {})->home, "/");
  EXPECT_EQ(resolve_user(root_.get(), "ann:video", {})->gid, 44U);
  EXPECT_TRUE(resolve_user(root_.get(), "ann:video", {})->groups.empty());
}

TEST_F(UsersTest, Unknown) {
  EXPECT_EQ(resolve_user(root_.get(), "eve", {}).error().message(),
            "unable to find user eve: no matching entries in passwd file");
  EXPECT_FALSE(resolve_user(root_.get(), "ann:nobody", {}));
  EXPECT_FALSE(resolve_user(root_.get(), "99999999999", {}));
}

TEST_F(UsersTest, LinksDoNotLeadOut) {
  std::filesystem::remove(folder_ + "/etc/passwd");
  std::filesystem::create_symlink("/proc/self/environ", folder_ + "/etc/passwd");
  EXPECT_FALSE(resolve_user(root_.get(), "root", {}));
}

}  // namespace
}  // namespace proa::engine
