// Descriptor: a non-blocking descriptor watched by its loop. Tells once per request when reading or writing may
// go on. No buffer is held while waiting. Its loop's thread only.
#pragma once

#include "base/error.h"
#include "base/fd.h"
#include "net/loop.h"

namespace proa::net {

struct Waiter {
  void (*wake)(void*) = nullptr;
  void* context = nullptr;
  explicit operator bool() const { return wake != nullptr; }
};

class Descriptor {
 public:
  Descriptor() = default;
  // Takes the descriptor, which must be in non-blocking mode.
  Descriptor(Loop& loop, Fd fd);
  Descriptor(Descriptor&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { close(); }

  bool is_open() const { return state_ != nullptr; }
  int fd() const;
  // One waiter for each direction; it is called once, never from within this call. `exhausted` says that the last
  // call on the descriptor in this direction took, or filled, all there was: waiting is free of system calls then.
  void wait_readable(Waiter waiter, bool exhausted = false);
  void wait_writable(Waiter waiter, bool exhausted = false);
  // The waiter will not be called any more.
  void forget_readable();
  void forget_writable();
  void close();
  // Gives the descriptor away, unwatched.
  Fd release();

  struct State;

 private:
  State* state_ = nullptr;
};

// A loop's descriptors, in an epoll set of their own. Asio has one wait on this set instead of one, with a system
// call and memory, on each connection.
class Poller {
 public:
  Poller() = default;
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;
  ~Poller();
  // Gives the descriptor to wait on: readable when dispatch() has work. A duplicate, the caller's.
  Result<int> open();
  // Calls the waiters whose time has come, as many as one system call tells.
  void dispatch();

 private:
  friend class Descriptor;
  void bury(Descriptor::State* state);
  Fd set_;
  bool dispatching_ = false;
  std::vector<Descriptor::State*> buried_;  // closed while events for them may be in hand
};

// co_await: true once the descriptor is ready, false when the time is over first. Hangups make it ready.
class ReadyWithin {
 public:
  ReadyWithin(Descriptor& descriptor, bool to_write, Duration timeout)
      : descriptor_(descriptor), to_write_(to_write), timeout_(timeout), timer_(*Loop::current(), expired, this) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  bool await_resume() const { return in_time_; }

 private:
  static void ready(void* self);
  static void expired(void* self);
  Descriptor& descriptor_;
  bool to_write_;
  Duration timeout_;
  Timer timer_;
  std::coroutine_handle<> handle_;
  bool in_time_ = true;
};

}  // namespace proa::net
