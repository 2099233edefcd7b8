#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace proa {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
Fd some_fd() { return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

TEST(Fd, ClosesAtScopeExit) {
  int number = -1;
  {
    const Fd fd = some_fd();
    number = fd.get();
    ASSERT_TRUE(fd);
    ASSERT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, MoveLeavesOneOwner) {
  Fd first = some_fd();
  const int number = first.get();
  Fd second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): that state is what is tested
  EXPECT_EQ(second.get(), number);
  Fd third = some_fd();
  const int replaced = third.get();
  third = std::move(second);
  EXPECT_FALSE(is_open(replaced));
  EXPECT_EQ(third.get(), number);
  EXPECT_TRUE(is_open(number));
}

TEST(Fd, ReleaseAndReset) {
  Fd fd = some_fd();
  const int number = fd.release();
  EXPECT_FALSE(fd);
  EXPECT_TRUE(is_open(number));
  fd = Fd(number);
  fd.reset();
  EXPECT_FALSE(is_open(number));
  fd.reset();
  EXPECT_EQ(fd.get(), -1);
}

TEST(Defer, RunsUnlessDismissed) {
  int runs = 0;
  {
    const Defer undo([&] { ++runs; });
  }
  EXPECT_EQ(runs, 1);
  {
    Defer undo([&] { ++runs; });
    undo.dismiss();
  }
  EXPECT_EQ(runs, 1);
}

}  // namespace
}  // namespace proa
