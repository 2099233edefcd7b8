// Clocks that tests can hold still, and RFC 3339 text.
//
// Threads: every member may be called from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>

#include "base/error.h"

namespace proa {

// UTC, nanoseconds since 1970 (good to the year 2262).
using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;
// CLOCK_MONOTONIC; only differences mean anything.
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime wall() const = 0;
  virtual MonotonicTime monotonic() const = 0;

  // The machine's clocks; lives as long as the program.
  static const Clock& system();
};

// Stands still until told to move.
class FakeClock : public Clock {
 public:
  explicit FakeClock(WallTime start = WallTime{}) : wall_(start.time_since_epoch().count()) {}
  WallTime wall() const override { return WallTime(std::chrono::nanoseconds(wall_.load())); }
  MonotonicTime monotonic() const override { return MonotonicTime(std::chrono::nanoseconds(monotonic_.load())); }

  // Moves both clocks.
  void advance(std::chrono::nanoseconds by) {
    wall_ += by.count();
    monotonic_ += by.count();
  }
  // A step of the wall clock alone, as settimeofday(2) makes.
  void set_wall(WallTime to) { wall_ = to.time_since_epoch().count(); }

 private:
  std::atomic<int64_t> wall_;
  std::atomic<int64_t> monotonic_{0};
};

enum class TimePrecision : uint8_t {
  kSeconds,      // 2026-01-02T03:04:05Z
  kNanoseconds,  // 2026-01-02T03:04:05.000000006Z
  kShortest,     // nanoseconds without trailing zeros, the form of Go's time.RFC3339Nano
};

std::string format_rfc3339(WallTime time, TimePrecision precision = TimePrecision::kShortest);
// RFC 3339 section 5.6 with any offset; digits beyond nanoseconds are dropped; a leap second reads as
// the second after it.
Result<WallTime> parse_rfc3339(std::string_view text);

}  // namespace proa
