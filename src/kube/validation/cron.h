// Cron schedules as CronJob takes them: five fields, lists, ranges, steps, names, "@hourly" and the like.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace proa::kube {

class CronSchedule {
 public:
  static Result<CronSchedule> parse(std::string_view text);
  // Whether the schedule names this minute.
  bool matches(int minute, int hour, int day, int month, int weekday) const;
  // Of "@every 1h": the seconds between two runs; 0 otherwise.
  int64_t every() const { return every_; }

 private:
  uint64_t minutes_ = 0, hours_ = 0, days_ = 0, months_ = 0, weekdays_ = 0;  // a bit each
  bool any_day_ = false, any_weekday_ = false;
  int64_t every_ = 0;
};

}  // namespace proa::kube
