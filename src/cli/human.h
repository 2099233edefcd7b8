// Sizes and times as Docker's users read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/clock.h"

namespace proa::cli {

// Three digits, powers of 1000: "5.61MB", "0B".
std::string human_size(uint64_t bytes);
// "About an hour", "3 weeks".
std::string human_duration(std::chrono::seconds duration);
// "3 weeks ago"; "N/A" when `rfc3339` is no time.
std::string human_since(const std::string& rfc3339, WallTime now = Clock::system().wall());
// "2026-01-02 03:04:05 +0000 UTC"
std::string human_time(const std::string& rfc3339);

}  // namespace proa::cli
