// Token buckets for bytes and operations.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace proa::vmm {

struct BucketPlan {
  uint64_t size = 0;            // tokens; 0: no limit
  uint64_t one_time_burst = 0;  // extra tokens at the beginning, never refilled
  uint64_t refill_ms = 0;       // from empty to full; 0: no limit
  bool limits() const { return size != 0 && refill_ms != 0; }
  bool operator==(const BucketPlan&) const = default;
};

class TokenBucket {
 public:
  TokenBucket() = default;
  TokenBucket(const BucketPlan& plan, MonotonicTime now)
      : plan_(plan), tokens_(plan.size), burst_(plan.one_time_burst), refilled_(now) {}

  // Takes the tokens, if there are any: a request larger than the bucket leaves a debt.
  bool take(uint64_t tokens, MonotonicTime now) {
    if (!plan_.limits()) return true;
    refill(now);
    const uint64_t burst = std::min(burst_, tokens);
    // More than the bucket ever holds goes when it is full, and leaves a debt.
    if (static_cast<int64_t>(std::min(tokens - burst, plan_.size)) > tokens_) return false;
    burst_ -= burst;
    tokens_ -= static_cast<int64_t>(tokens - burst);
    return true;
  }
  // Takes them whatever there is: a debt, if need be.
  void charge(uint64_t tokens) {
    if (plan_.limits()) tokens_ -= static_cast<int64_t>(tokens);
  }
  void give_back(uint64_t tokens) {
    tokens_ = std::min(tokens_ + static_cast<int64_t>(tokens), static_cast<int64_t>(plan_.size));
  }
  // Until take(tokens) may succeed.
  std::chrono::nanoseconds wait(uint64_t tokens) const {
    if (!plan_.limits()) return std::chrono::nanoseconds(0);
    const auto wanted = static_cast<int64_t>(std::min(tokens, plan_.size)) - tokens_;
    return std::chrono::nanoseconds(
        std::max<int64_t>(wanted, 1) * nanoseconds_full() / static_cast<int64_t>(plan_.size) + 1);
  }
  const BucketPlan& plan() const { return plan_; }

 private:
  int64_t nanoseconds_full() const { return static_cast<int64_t>(plan_.refill_ms) * 1'000'000; }
  void refill(MonotonicTime now) {
    const auto full = static_cast<__int128>(nanoseconds_full());
    const auto passed = static_cast<__int128>((now - refilled_).count());
    const auto added = passed * static_cast<__int128>(plan_.size) / full;
    if (added <= 0) return;
    if (tokens_ + added >= static_cast<__int128>(plan_.size)) {
      tokens_ = static_cast<int64_t>(plan_.size);
      refilled_ = now;
      return;
    }
    tokens_ += static_cast<int64_t>(added);
    refilled_ += std::chrono::nanoseconds(static_cast<int64_t>(added * full / static_cast<__int128>(plan_.size)));
  }

  BucketPlan plan_;
  int64_t tokens_ = 0;
  uint64_t burst_ = 0;
  MonotonicTime refilled_{};
};

struct RatePlan {
  BucketPlan bandwidth, operations;
  bool operator==(const RatePlan&) const = default;
};

class RateLimiter {
 public:
  RateLimiter() = default;
  RateLimiter(const RatePlan& plan, const Clock& clock) : clock_(&clock) { set(plan); }
  void set(const RatePlan& plan) {
    bytes_ = TokenBucket(plan.bandwidth, clock_->monotonic());
    operations_ = TokenBucket(plan.operations, clock_->monotonic());
  }
  // Nothing: the operation may go. Else how long to wait before asking again.
  std::optional<std::chrono::nanoseconds> admit(uint64_t bytes) {
    if (!operations_.plan().limits() && !bytes_.plan().limits()) return std::nullopt;
    const MonotonicTime now = clock_->monotonic();
    if (!operations_.take(1, now)) return operations_.wait(1);
    if (bytes_.take(bytes, now)) return std::nullopt;
    operations_.give_back(1);
    return bytes_.wait(bytes);
  }
  // For what is known only when it is done (a frame received): bytes beyond those admitted.
  void charge(uint64_t bytes) { bytes_.charge(bytes); }

 private:
  const Clock* clock_ = &Clock::system();
  TokenBucket bytes_, operations_;
};

}  // namespace proa::vmm
