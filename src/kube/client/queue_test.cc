#include "kube/client/queue.h"

#include <gtest/gtest.h>

namespace proa::kube::api {
namespace {

using std::chrono::milliseconds;

class Queue : public testing::Test {
 protected:
  std::string taken() { return queue_.take().value_or("nothing"); }
  FakeClock clock_;
  WorkQueue queue_{clock_, [] { return uint64_t{0}; }};
};

TEST_F(Queue, HasAKeyOnce) {
  queue_.add("a");
  queue_.add("b");
  queue_.add("a");
  EXPECT_EQ(taken(), "a");
  EXPECT_EQ(taken(), "b");
  EXPECT_EQ(taken(), "nothing");
}

TEST_F(Queue, GivesAKeyToOneWorkerAtATime) {
  queue_.add("a");
  EXPECT_EQ(taken(), "a");
  queue_.add("a");
  queue_.add("a");
  EXPECT_EQ(taken(), "nothing") << "still worked on";
  queue_.done("a", true);
  EXPECT_EQ(taken(), "a");
  queue_.done("a", true);
  EXPECT_EQ(taken(), "nothing");
}

TEST_F(Queue, WaitsForDelays) {
  queue_.add_after("a", milliseconds(20));
  queue_.add_after("a", milliseconds(10));
  queue_.add_after("a", milliseconds(30));
  EXPECT_EQ(taken(), "nothing");
  EXPECT_EQ(queue_.next_time(), clock_.monotonic() + milliseconds(10));
  clock_.advance(milliseconds(10));
  EXPECT_EQ(taken(), "a");
  queue_.done("a", true);
  clock_.advance(milliseconds(100));
  EXPECT_EQ(taken(), "nothing") << "the later times are forgotten";
}

TEST_F(Queue, ComesBackLaterWithEachFailure) {
  for (const int wait : {5, 10, 20}) {
    queue_.add("a");
    EXPECT_EQ(taken(), "a");
    queue_.done("a", false);
    queue_.add_failed("a");
    clock_.advance(milliseconds(wait) - std::chrono::nanoseconds(1));
    EXPECT_EQ(taken(), "nothing");
    clock_.advance(std::chrono::nanoseconds(1));
    EXPECT_EQ(taken(), "a");
    queue_.done("a", false);
  }
  queue_.add("a");
  taken();
  queue_.done("a", true);
  EXPECT_EQ(queue_.failures("a"), 0);
  for (int i = 0; i < 100; ++i) queue_.add_failed("b");
  clock_.advance(std::chrono::seconds(1000));
  EXPECT_EQ(taken(), "b") << "never later than that";
}

}  // namespace
}  // namespace proa::kube::api
