#include "net/loop.h"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <thread>

namespace proa::net {

namespace {

TEST(Loops, WaitGivesTheResultOrThrows) {
  const auto loops = *Loops::start({.threads = 2});
  EXPECT_EQ(7, loops->wait([]() -> Task<int> { co_return 7; }()));
  EXPECT_THROW(loops->wait([]() -> Task<int> {
    throw std::runtime_error("x");
    co_return 7;
  }()),
               std::runtime_error);
}

TEST(Loops, CoroutinesMoveOnlyWhereTheyAsk) {
  const auto loops = *Loops::start({.threads = 2});
  const bool right = Loops::wait(loops->at(0), [](Loops& all) -> Task<bool> {
    bool good = all.at(0).is_current();
    co_await all.at(1).enter();
    good = good && all.at(1).is_current();
    const auto elsewhere = co_await blocking([]() -> Result<bool> { return Loop::current() == nullptr; });
    co_return good&& elsewhere && *elsewhere&& all.at(1).is_current();
  }(*loops));
  EXPECT_TRUE(right);
}

TEST(Loops, SleepersWakeInOrder) {
  const auto loops = *Loops::start({.threads = 1});
  const std::string order = loops->wait([]() -> Task<std::string> {
    std::string woken;
    Event done;
    const auto sleeper = [](std::string& to, Event& last, int delay, char name) -> Task<> {
      co_await sleep(Duration(delay));
      to += name;
      if (to.size() == 4) last.notify();
    };
    Loop::start(sleeper(woken, done, 30, 'c'));
    Loop::start(sleeper(woken, done, 5, 'a'));
    Loop::start(sleeper(woken, done, 60, 'd'));
    Loop::start(sleeper(woken, done, 15, 'b'));
    co_await done.wait();
    co_return woken;
  }());
  EXPECT_EQ("abcd", order);
}

TEST(Timer, MovesAndClears) {
  const auto loops = *Loops::start({.threads = 1});
  const int fired = loops->wait([]() -> Task<int> {
    int count = 0;
    const auto add = [](void* to) { ++*static_cast<int*>(to); };
    Timer later(*Loop::current(), add, &count);
    Timer cleared(*Loop::current(), add, &count);
    Timer earlier(*Loop::current(), add, &count);
    later.set_after(Duration(5));
    later.set_after(Duration(3'600'000));
    cleared.set_after(Duration(5));
    cleared.clear();
    earlier.set_after(Duration(3'600'000));
    earlier.set_after(Duration(5));
    {
      Timer gone(*Loop::current(), add, &count);
      gone.set_after(Duration(5));
    }
    co_await sleep(Duration(50));
    co_return count;
  }());
  EXPECT_EQ(1, fired);
}

TEST(Event, RingsFromManyThreadsAreNeverLost) {
  const auto loops = *Loops::start({.threads = 2});
  constexpr int kThreads = 4;
  constexpr int kRings = 5'000;
  Event event;
  std::atomic<int> rung = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < kRings; ++i) {
        ++rung;
        event.notify();
      }
    });
  loops->wait([](Event& bell, std::atomic<int>& count) -> Task<int> {
    while (count < kThreads * kRings) co_await bell.wait();
    co_return count;
  }(event, rung));
  for (std::thread& thread : threads) thread.join();
}

TEST(Event, WakesWhoWaitsOnNoLoop) {
  Event event;
  bool woken = false;
  Loop::start([](Event& bell, bool& went_on) -> Task<> {
    co_await bell.wait();
    went_on = true;
  }(event, woken));
  EXPECT_FALSE(woken);
  event.notify();
  EXPECT_TRUE(woken);
}

TEST(Loops, BlockingPoolIsBounded) {
  const auto loops = *Loops::start({.threads = 1, .blocking_threads = 3});
  std::mutex mutex;
  std::set<std::thread::id> ids;
  std::atomic<int> left = 50;
  Event done;
  for (int i = 0; i < 50; ++i)
    loops->post_blocking([&] {
      {
        const std::lock_guard lock(mutex);
        ids.insert(std::this_thread::get_id());
      }
      if (--left == 0) done.notify();
    });
  loops->wait([](Event& all) -> Task<int> {
    co_await all.wait();
    co_return 0;
  }(done));
  EXPECT_LE(ids.size(), 3u);
}

}  // namespace

}  // namespace proa::net
