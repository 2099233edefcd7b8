// /metrics: what was asked, how it ended and how long it took, with upstream's names; Prometheus' text form.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "kube/apiserver/serve/call.h"
#include "kube/store/store.h"

namespace proa::kube::api {

class Metrics {
 public:
  explicit Metrics(const store::Store& store) : store_(store) {}

  std::atomic<int64_t> reading = 0, writing = 0, watching = 0;  // requests that run now
  std::atomic<uint64_t> dropped = 0;                            // for there were too many

  void ended(const Call& call, int status, std::chrono::nanoseconds time);
  std::string text() const;

 private:
  static constexpr std::array<double, 12> kBounds = {0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 10, 60};
  struct Times {
    std::array<uint64_t, kBounds.size() + 1> counts{};
    double sum = 0;
    uint64_t total = 0;
  };
  const store::Store& store_;
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t> requests_;  // by labels
  std::map<std::string, Times> times_;
};

}  // namespace proa::kube::api
