#include "cli/human.h"

#include <array>
#include <cstdio>

namespace proa::cli {

std::string human_size(uint64_t bytes) {
  static constexpr std::array<const char*, 7> kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  auto size = static_cast<double>(bytes);
  size_t unit = 0;
  while (size >= 1000 && unit + 1 < kUnits.size()) {
    size /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.3g%s", size, kUnits[unit]);
  return text;
}

std::string human_duration(std::chrono::seconds duration) {
  const auto seconds = duration.count();
  const auto minutes = seconds / 60, hours = (seconds + 1800) / 3600;
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return cat(seconds, " seconds");
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return cat(minutes, " minutes");
  if (hours == 1) return "About an hour";
  if (hours < 48) return cat(hours, " hours");
  if (hours < 24 * 7 * 2) return cat(hours / 24, " days");
  if (hours < 24 * 30 * 2) return cat(hours / 24 / 7, " weeks");
  if (hours < 24 * 365 * 2) return cat(hours / 24 / 30, " months");
  return cat(hours / 24 / 365, " years");
}

std::string human_since(const std::string& rfc3339, WallTime now) {
  const auto time = parse_rfc3339(rfc3339);
  if (!time) return "N/A";
  return human_duration(std::chrono::duration_cast<std::chrono::seconds>(now - *time)) + " ago";
}

std::string human_time(const std::string& rfc3339) {
  const auto time = parse_rfc3339(rfc3339);
  if (!time) return "N/A";
  std::string text = format_rfc3339(*time, TimePrecision::kSeconds);
  text.replace(10, 1, " ");
  text.replace(text.size() - 1, 1, " +0000 UTC");
  return text;
}

}  // namespace proa::cli
