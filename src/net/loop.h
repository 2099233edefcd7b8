// The event loop: a fixed set of threads, each with its own sockets, timers and coroutines, and a bounded pool
// of threads for work that blocks.
//
//   auto loops = TRY(Loops::start());
//   loops->at(0).spawn(serve());                       // runs there until done
//   Result<Image> image = loops->wait(pull("web:1"));  // from a thread that is no loop's: blocks until done
//
// A coroutine stays on the loop it was started on; whatever it awaits resumes it there. Everything that
// belongs to a loop (Stream, Request, Response, Timer) is used on that loop's thread only. `post`, `spawn`,
// `Event::notify` and `wait` may be called from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "net/task.h"

namespace proa::net {

using Clock = std::chrono::steady_clock;
using Duration = std::chrono::milliseconds;
using Job = std::move_only_function<void()>;

class Loops;
class Poller;
class Timer;

class Loop {
 public:
  // The loop whose thread this is; null on other threads.
  static Loop* current();

  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();

  Loops& loops() const { return loops_; }
  // Its place among them: loops().at(index()) is this.
  size_t index() const { return index_; }
  bool is_current() const { return current() == this; }

  // Runs `job` on this loop's thread, later. Jobs of one posting thread keep their order.
  void post(Job job);
  // Starts the task on this loop's thread; nobody waits for it. An exception that escapes is logged.
  void spawn(Task<> task);
  // The same at once, from this loop's thread: returns when the task first waits.
  static void start(Task<> task);

  // co_await loop.enter(): the coroutine goes on on this loop's thread.
  struct Enter {
    Loop& loop;
    bool await_ready() const { return loop.is_current(); }
    void await_suspend(std::coroutine_handle<> handle) const { loop.post(handle); }
    void await_resume() const {}
  };
  Enter enter() { return {*this}; }

  // For what reads: a buffer shared by all on this loop, valid until the coroutine suspends.
  std::span<char> scratch();
  // Buffers lent to connections while they have something in flight, so that idle ones hold none.
  std::string take_buffer();
  void give_buffer(std::string buffer);

 private:
  friend class Loops;
  friend class Timer;
  friend class Descriptor;
  struct State;
  Poller& poller();
  Loop(Loops& loops, size_t index);
  void run();

  Loops& loops_;
  size_t index_;
  std::unique_ptr<State> state_;
};

// Calls back once the deadline has passed. Moving a deadline later costs nothing, so one Timer may guard
// every step of a connection. Its loop's thread only; the callback may destroy the timer.
class Timer {
 public:
  Timer(Loop& loop, void (*expired)(void*), void* context) : loop_(loop), expired_(expired), context_(context) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { remove(); }

  void set(Clock::time_point deadline);
  void set_after(Duration delay) { set(Clock::now() + delay); }
  void clear() { deadline_ = Clock::time_point::max(); }
  bool is_set() const { return deadline_ != Clock::time_point::max(); }

 private:
  friend class Loop;
  friend struct TimerHeap;
  void remove();

  Loop& loop_;
  void (*expired_)(void*);
  void* context_;
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point wake_at_ = Clock::time_point::max();  // its place in the heap: at or before the deadline
  size_t index_ = SIZE_MAX;
};

// co_await sleep(delay), on a loop.
class Sleep {
 public:
  explicit Sleep(Duration delay) : delay_(delay) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  void await_resume() const {}

 private:
  static void expired(void* self) { static_cast<Sleep*>(self)->handle_.resume(); }
  Duration delay_;
  std::coroutine_handle<> handle_;
  std::optional<Timer> timer_;
};
inline Sleep sleep(Duration delay) { return Sleep(delay); }

// co_await Yield(), on a loop: what else is ready there goes first.
struct Yield {
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { Loop::current()->post(handle); }
  void await_resume() const {}
};

// A bell one coroutine waits for and anybody rings: `notify` from any thread makes the waiting coroutine, or the
// next one to wait, go on. Several rings before it looks are one. Must outlive both sides: share it.
class Event {
 public:
  void notify();
  struct Wait {
    Event& event;
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> handle) { return event.park(handle); }
    void await_resume() const {}
  };
  Wait wait() { return {*this}; }

 private:
  bool park(std::coroutine_handle<> handle);
  std::atomic<void*> state_ = nullptr;  // null, this when it has rung, or the waiting coroutine
  std::atomic<Loop*> loop_ = nullptr;
};

// All of a program's loops. Destroying them ends their threads: every server, client and task on them must have
// ended before.
class Loops {
 public:
  struct Options {
    unsigned threads = 0;           // 0: as many as CPUs
    unsigned blocking_threads = 0;  // most at once; 0: 16 or four for each CPU, whichever is more
  };
  static Result<std::unique_ptr<Loops>> start(const Options& options);
  static Result<std::unique_ptr<Loops>> start() { return start(Options()); }
  ~Loops();

  size_t size() const { return loops_.size(); }
  Loop& at(size_t index) { return *loops_[index]; }
  Loop& next() { return *loops_[turn_.fetch_add(1, std::memory_order_relaxed) % loops_.size()]; }

  // Runs the job on a thread of the blocking pool; waits in line when all are busy.
  void post_blocking(Job job);

  // Runs the task on one of the loops and blocks this thread, which must be no loop's, until it is done.
  template <typename T>
  T wait(Task<T> task) {
    return wait(next(), std::move(task));
  }
  template <typename T>
  static T wait(Loop& loop, Task<T> task);

 private:
  struct Pool;
  Loops();
  std::vector<std::unique_ptr<Loop>> loops_;
  std::unique_ptr<Pool> pool_;
  std::atomic<size_t> turn_ = 0;
};

namespace detail {

struct Rendezvous {
  std::mutex mutex;
  std::condition_variable ready;
  bool done = false;
  std::exception_ptr exception;
  void finish() {
    const std::lock_guard lock(mutex);
    done = true;
    ready.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex);
    ready.wait(lock, [this] { return done; });
    if (exception) std::rethrow_exception(exception);
  }
};

template <typename T>
Task<> deliver(Task<T> task, Rendezvous& to, std::optional<T>& result) {
  try {
    result.emplace(co_await task);
  } catch (...) {
    to.exception = std::current_exception();
  }
  // The frame and all it holds must be gone from the loop before the waiting thread goes on.
  {
    const Task<T> ended = std::move(task);
  }
  to.finish();
}

template <typename F>
struct BlockingCall {
  using T = std::invoke_result_t<F>;
  F function;
  std::optional<T> result = {};
  std::exception_ptr exception = {};

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    Loop& home = *Loop::current();
    home.loops().post_blocking([this, &home, handle] {
      try {
        result.emplace(function());
      } catch (...) {
        exception = std::current_exception();
      }
      home.post(handle);
    });
  }
  T await_resume() {
    if (exception) std::rethrow_exception(exception);
    return std::move(*result);
  }
};

}  // namespace detail

template <typename T>
T Loops::wait(Loop& loop, Task<T> task) {
  detail::Rendezvous done;
  std::optional<T> result;
  loop.spawn(detail::deliver(std::move(task), done, result));
  done.wait();
  return std::move(*result);
}

// co_await blocking([&] { return file.sync(); }): the function runs on the blocking pool while the loop goes on;
// its value is the result.
template <typename F>
detail::BlockingCall<F> blocking(F function) {
  return {std::move(function)};
}

}  // namespace proa::net
