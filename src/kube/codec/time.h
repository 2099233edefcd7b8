// Times and durations of the API: RFC 3339 and Go's "1h2m3s".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace proa::kube {

struct Instant {
  int64_t seconds = 0;  // since 1970
  int32_t nanos = 0;
  bool operator==(const Instant&) const = default;
};

// "2006-01-02T15:04:05Z", with fraction or offset. Errors are worded as upstream's.
Result<Instant> parse_time(std::string_view text);
// In UTC: whole seconds ...
std::string format_time(int64_t seconds);
// ... or microseconds, "2006-01-02T15:04:05.000000Z".
std::string format_micro_time(Instant time);

// Nanoseconds.
Result<int64_t> parse_duration(std::string_view text);
std::string format_duration(int64_t nanos);
// As kubectl shows an age: "5m10s", "3h", "2d4h".
std::string human_duration(int64_t seconds);

}  // namespace proa::kube
