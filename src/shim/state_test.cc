#include "shim/state.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "shim/sys.h"

namespace proa::shim {
namespace {

namespace fs = std::filesystem;

class StateTest : public testing::Test {
 protected:
  StateTest() : before_(fs::current_path()) {
    char name[] = "/tmp/proa-state-test-XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ / "state";
  }
  ~StateTest() override {
    fs::current_path(before_);
    fs::remove_all(folder_);
  }
  static std::string read(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string prepare_error() {
    StateDir state;
    const Result<> done = state.prepare(path_.c_str());
    return done ? "" : std::string(done.error().text.view());
  }

  fs::path before_, folder_, path_;
};

TEST_F(StateTest, MakesAndDiscardsItsFolder) {
  StateDir state;
  ASSERT_TRUE(state.prepare(path_.c_str()));
  EXPECT_EQ(0700, static_cast<int>(fs::status(path_).permissions()));
  ASSERT_TRUE(state.write_shim_pid());
  EXPECT_EQ(std::to_string(getpid()) + " " + std::to_string(start_time(getpid())) + "\n", read(path_ / "shim.pid"));
  state.discard();
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(StateTest, LeavesAFolderItFound) {
  fs::create_directory(path_);
  std::ofstream(path_ / "mine") << "text";
  StateDir state;
  ASSERT_TRUE(state.prepare(path_.c_str()));
  state.discard();
  EXPECT_EQ(1, std::distance(fs::directory_iterator(path_), fs::directory_iterator()));
}

TEST_F(StateTest, RefusesAFolderThatIsHeld) {
  StateDir state;
  ASSERT_TRUE(state.prepare(path_.c_str()));
  ASSERT_TRUE(state.write_shim_pid());
  const std::string held = "held by the shim with process id " + std::to_string(getpid());
  EXPECT_NE(std::string::npos, prepare_error().find(held));
  const Result<> cleaned = clean_up(path_.c_str(), nullptr);
  ASSERT_FALSE(cleaned);
  EXPECT_NE(std::string_view::npos, cleaned.error().text.view().find(held));
  EXPECT_TRUE(fs::exists(path_ / "shim.pid"));
  state.discard();
}

TEST_F(StateTest, RefusesRemainsUntilTheyAreRemoved) {
  fs::create_directory(path_);
  for (const char* name : {"shim.pid", "attach.sock", "ctl.sock", "pid", "console.sock"})
    std::ofstream(path_ / name) << "1 2\n";
  EXPECT_NE(std::string::npos, prepare_error().find("a shim that was killed"));
  ASSERT_TRUE(clean_up(path_.c_str(), nullptr));
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_TRUE(clean_up(path_.c_str(), nullptr));
}

TEST_F(StateTest, RefusesTheRecordOfAnEnd) {
  fs::create_directory(path_);
  std::ofstream(path_ / "exit") << "{}\n";
  EXPECT_NE(std::string::npos, prepare_error().find("the record of a container that has ended"));
  EXPECT_FALSE(fs::exists(path_ / "shim.pid"));
}

TEST_F(StateTest, RetiredLeavesTheRecord) {
  StateDir state;
  ASSERT_TRUE(state.prepare(path_.c_str()));
  ASSERT_TRUE(write_file(state.fd(), kExitName, "{}\n", true));
  state.retire(true);
  EXPECT_EQ("{}\n", read(path_ / "exit"));
  EXPECT_EQ(1, std::distance(fs::directory_iterator(path_), fs::directory_iterator()));
}

TEST_F(StateTest, WithoutARecordItReadsAsKilled) {
  StateDir state;
  ASSERT_TRUE(state.prepare(path_.c_str()));
  state.retire(false);
  EXPECT_NE(std::string::npos, prepare_error().find("a shim that was killed"));
}

TEST_F(StateTest, ErrorsNameThePath) {
  path_ = folder_ / "no" / "such";
  EXPECT_EQ("--state " + path_.string() + ": no such file or directory", prepare_error());
}

TEST_F(StateTest, WriteFileLeavesNoTemporary) {
  const int dir = sys::open(AT_FDCWD, folder_.c_str(), O_RDONLY | O_DIRECTORY);
  fs::create_directory(folder_ / "taken");
  std::ofstream(folder_ / "taken" / "x") << "x";
  EXPECT_FALSE(write_file(dir, "taken", "text", false));
  EXPECT_FALSE(fs::exists(folder_ / "taken.tmp"));
  EXPECT_TRUE(write_file(dir, "fresh", "text", false));
  EXPECT_EQ("text", read(folder_ / "fresh"));
  sys::close(dir);
}

TEST(StartTime, IsZeroForNobody) { EXPECT_EQ(0u, start_time(-1)); }

}  // namespace
}  // namespace proa::shim
