// What the registry counts, for /metrics in Prometheus' text format.
//
// Threads: any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "oci/registry/route.h"

namespace proa::oci::registry {

class Metrics {
 public:
  using Count = std::atomic<uint64_t>;

  void count_request(Place place, std::string_view method, int status, double seconds);
  std::string text() const;

  Count in_flight = 0;
  Count refused_busy = 0;
  Count received_bytes = 0, sent_bytes = 0;
  Count collections = 0, collected_bytes = 0, collected_blobs = 0;
  Count mirror_hits = 0, mirror_misses = 0, mirror_stale = 0, mirror_errors = 0, mirror_evicted = 0,
        mirror_evicted_bytes = 0;
  Count auth_failures = 0;

 private:
  static constexpr std::array<std::string_view, 7> kMethods = {"GET",   "HEAD",   "POST", "PUT",
                                                               "PATCH", "DELETE", "other"};
  static constexpr std::array<double, 9> kBuckets = {0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300};
  struct PerPlace {
    std::array<std::array<Count, 4>, kMethods.size()> requests{};  // by method, and status 2xx to 5xx
    std::array<Count, kBuckets.size()> buckets{};                  // not cumulative
    Count count = 0, microseconds = 0;
  };
  std::array<PerPlace, kPlaces> places_{};
};

}  // namespace proa::oci::registry
