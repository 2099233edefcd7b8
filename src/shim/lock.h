// What two threads of the shim share a memory with, on futexes: a lock, and a signal to wait for.
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/sys.h"

namespace proa::shim {

// Not for long: who waits for it is held up.
class Lock {
 public:
  void acquire() {
    uint32_t expected = kFree;
    if (state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire)) return;
    while (state_.exchange(kAwaited, std::memory_order_acquire) != kFree) sys::futex_wait(&state_, kAwaited, -1);
  }
  void release() {
    if (state_.exchange(kFree, std::memory_order_release) == kAwaited) sys::futex_wake(&state_);
  }

 private:
  enum : uint32_t { kFree, kHeld, kAwaited };
  std::atomic<uint32_t> state_ = kFree;
};

class Guard {
 public:
  explicit Guard(Lock& lock) : lock_(lock) { lock_.acquire(); }
  ~Guard() { lock_.release(); }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  Lock& lock_;
};

// Look at count(), then at what is waited for, then wait(): a raise() in between is not missed.
class Signal {
 public:
  uint32_t count() const { return count_.load(std::memory_order_acquire); }
  // Until the next raise() after `seen`, for so many milliseconds (-1: for ever), or for no reason.
  void wait(uint32_t seen, int milliseconds = -1) { sys::futex_wait(&count_, seen, milliseconds); }
  void raise() {
    count_.fetch_add(1, std::memory_order_release);
    sys::futex_wake(&count_);
  }

 private:
  std::atomic<uint32_t> count_ = 0;
};

}  // namespace proa::shim
