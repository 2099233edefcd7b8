// WorkQueue: the keys a controller has still to look at. A key is there once however often it was added; one that is
// added while it is being worked on comes again afterwards, never to two workers at once.
//
// Belongs to one thread. Time and chance are its maker's, so that a simulation can be repeated.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"

namespace proa::kube::api {

class WorkQueue {
 public:
  struct Backoff {
    std::chrono::milliseconds first{5};
    std::chrono::milliseconds most{1'000'000};
  };
  WorkQueue(const Clock& clock, std::function<uint64_t()> random) : WorkQueue(clock, std::move(random), Backoff()) {}
  WorkQueue(const Clock& clock, std::function<uint64_t()> random, Backoff backoff)
      : clock_(clock), random_(std::move(random)), backoff_(backoff) {}

  void add(std::string key);
  // No sooner than after the delay; the sooner of two times counts.
  void add_after(std::string key, std::chrono::nanoseconds delay);
  // After a failure: twice as late with each in a row, up to a fifth later by chance.
  void add_failed(std::string key);

  // The next key whose time has come; it is being worked on until done().
  std::optional<std::string> take();
  // `succeeded` forgets its failures.
  void done(const std::string& key, bool succeeded);

  // When take() will have something that it has not now; nothing if that depends on others.
  std::optional<MonotonicTime> next_time() const;
  bool has_ready();
  size_t size() const { return ready_.size() + later_.size(); }
  int failures(const std::string& key) const;

 private:
  enum class State : uint8_t { kReady, kWorking, kWorkingAgain };
  void move_due();

  const Clock& clock_;
  std::function<uint64_t()> random_;
  Backoff backoff_;
  std::deque<std::string> ready_;
  std::unordered_map<std::string, State> states_;
  std::multimap<MonotonicTime, std::string> later_;
  std::unordered_map<std::string, MonotonicTime> times_;  // of those in later_
  std::unordered_map<std::string, int> failures_;
};

}  // namespace proa::kube::api
