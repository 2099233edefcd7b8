// The devices' thread: waits for eventfds, timers, TAPs and sockets, and calls the device. Level-triggered, with
// timers of nanoseconds. Callbacks run one at a time, under the reactor's lock, which others take to come to a device:
// what a device holds needs no lock of its own.
//
// It is a plain epoll loop beside net::Loop because it is what stands between a guest and its disk: no allocation and
// one system call between an event and its device, and a machine whose network stack costs nothing until it is used.
//
// Threads: everything from any thread, but for turn(). Once a Watch is destroyed its callback does not run any more.
// Who holds the lock takes no other that is held while waiting for this one.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::vmm {

class Reactor;

// A descriptor being watched.
class [[nodiscard]] Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept { swap(other); }
  Watch& operator=(Watch&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Watch() { stop(); }
  void stop();
  // EPOLLIN, EPOLLOUT; 0: only hang-ups.
  void set_events(uint32_t events);
  bool is_active() const { return reactor_ != nullptr; }

 private:
  friend class Reactor;
  void swap(Watch& other) noexcept {
    std::swap(reactor_, other.reactor_);
    std::swap(id_, other.id_);
    std::swap(fd_, other.fd_);
    std::swap(events_, other.events_);
  }
  Reactor* reactor_ = nullptr;
  uint64_t id_ = 0;
  int fd_ = -1;
  uint32_t events_ = 0;
};

class Reactor {
 public:
  using Callback = std::function<void(uint32_t events)>;

  // Without a thread: turn() is called by whoever owns it (tests, fuzz targets).
  static Result<std::unique_ptr<Reactor>> create();
  ~Reactor();
  // From here on a thread of its own does the work, until the end.
  void start(const char* thread_name);
  // Ends the thread; watches may still be given up. Not from a callback.
  void stop();

  // `fd` is borrowed until the Watch ends.
  Result<Watch> watch(int fd, uint32_t events, Callback callback);
  void post(std::function<void()> job);
  // While it is held no callback runs. Recursive: a callback has it.
  std::unique_lock<std::recursive_mutex> lock() { return std::unique_lock(running_); }
  // Handles what is ready within that time; false when nothing was.
  bool turn(int timeout_ms);

 private:
  friend class Watch;
  Reactor() = default;
  void forget(Watch& watch);
  void run_jobs();
  void run(uint64_t id, uint32_t events);

  Fd epoll_, bell_;
  std::recursive_mutex running_;
  std::map<uint64_t, std::shared_ptr<Callback>> callbacks_;
  uint64_t next_id_ = 1;
  std::mutex jobs_mutex_;
  std::vector<std::function<void()>> jobs_;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

// One shot, or none. Its callback may destroy it.
class ReactorTimer {
 public:
  static Result<std::unique_ptr<ReactorTimer>> create(Reactor& reactor, std::function<void()> expired);
  void arm(std::chrono::nanoseconds from_now);
  void disarm();

 private:
  ReactorTimer() = default;
  void set(std::chrono::nanoseconds from_now);
  Fd fd_;
  Watch watch_;
};

// An eventfd, non-blocking.
Result<Fd> make_eventfd();
void signal_eventfd(int fd);
// Back to zero; false when it was.
bool drain_eventfd(int fd);

}  // namespace proa::vmm
