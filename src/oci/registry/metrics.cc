#include "oci/registry/metrics.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace proa::oci::registry {
namespace {

std::string decimal(double number) {
  std::array<char, 32> text;
  const auto [end, ec] = std::to_chars(text.data(), text.data() + text.size(), number);
  return {text.data(), end};
}

void describe(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out += cat("# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
}

}  // namespace

void Metrics::count_request(Place place, std::string_view method, int status, double seconds) {
  PerPlace& at = places_[static_cast<size_t>(place)];
  const auto kind = static_cast<size_t>(std::find(kMethods.begin(), kMethods.end() - 1, method) - kMethods.begin());
  ++at.requests[kind][static_cast<size_t>(std::clamp(status / 100, 2, 5) - 2)];
  ++at.count;
  at.microseconds += static_cast<uint64_t>(seconds * 1e6);
  const auto bucket = std::ranges::lower_bound(kBuckets, seconds);
  if (bucket != kBuckets.end()) ++at.buckets[static_cast<size_t>(bucket - kBuckets.begin())];
}

std::string Metrics::text() const {
  std::string out;
  describe(out, "proa_registry_requests_total", "counter", "Requests answered.");
  for (size_t place = 0; place < kPlaces; ++place)
    for (size_t method = 0; method < kMethods.size(); ++method)
      for (size_t status = 0; status < 4; ++status)
        if (const uint64_t count = places_[place].requests[method][status])
          out += cat("proa_registry_requests_total{route=\"", name_of(static_cast<Place>(place)), "\",method=\"",
                     kMethods[method], "\",code=\"", status + 2, "xx\"} ", count, "\n");
  describe(out, "proa_registry_request_duration_seconds", "histogram",
           "Time from a request's head to its answer's end.");
  for (size_t place = 0; place < kPlaces; ++place) {
    const PerPlace& at = places_[place];
    if (at.count == 0) continue;
    const std::string label = cat("route=\"", name_of(static_cast<Place>(place)), "\"");
    uint64_t sum = 0;
    for (size_t i = 0; i < kBuckets.size(); ++i)
      out += cat("proa_registry_request_duration_seconds_bucket{", label, ",le=\"", decimal(kBuckets[i]), "\"} ",
                 sum += at.buckets[i], "\n");
    out += cat("proa_registry_request_duration_seconds_bucket{", label, ",le=\"+Inf\"} ", at.count.load(), "\n",
               "proa_registry_request_duration_seconds_sum{", label, "} ",
               decimal(static_cast<double>(at.microseconds) / 1e6), "\n",
               "proa_registry_request_duration_seconds_count{", label, "} ", at.count.load(), "\n");
  }
  const auto single = [&](std::string_view name, std::string_view type, const Count& count, std::string_view help) {
    describe(out, name, type, help);
    out += cat(name, " ", count.load(), "\n");
  };
  single("proa_registry_requests_in_flight", "gauge", in_flight, "Requests being answered.");
  single("proa_registry_requests_refused_total", "counter", refused_busy, "Requests refused as there were too many.");
  single("proa_registry_received_bytes_total", "counter", received_bytes, "Bytes of blobs and manifests taken in.");
  single("proa_registry_sent_bytes_total", "counter", sent_bytes, "Bytes of blobs and manifests given out.");
  single("proa_registry_auth_failures_total", "counter", auth_failures, "Wrong passwords and tokens.");
  single("proa_registry_gc_runs_total", "counter", collections, "Collections by this process.");
  single("proa_registry_gc_blobs_total", "counter", collected_blobs, "Blobs that they removed.");
  single("proa_registry_gc_bytes_total", "counter", collected_bytes, "Bytes that they freed.");
  single("proa_registry_mirror_hits_total", "counter", mirror_hits, "Requests of a mirror served from the disk.");
  single("proa_registry_mirror_misses_total", "counter", mirror_misses, "Requests of a mirror that went upstream.");
  single("proa_registry_mirror_stale_total", "counter", mirror_stale,
         "Tags served as they were, the upstream being down.");
  single("proa_registry_mirror_errors_total", "counter", mirror_errors, "Requests that the upstream failed.");
  single("proa_registry_mirror_evicted_total", "counter", mirror_evicted,
         "Blobs and manifests of a mirror that went to keep it small.");
  single("proa_registry_mirror_evicted_bytes_total", "counter", mirror_evicted_bytes, "Bytes of them.");
  return out;
}

}  // namespace proa::oci::registry
