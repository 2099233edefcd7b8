// The event log: one line of JSON an event, appended by whoever made it happen, read by anybody.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "engine/config.h"

namespace proa::engine {

struct Event {
  std::string type = "container";  // container, volume, network, image
  std::string action;              // start, die, exec_start: sh, health_status: healthy
  std::string actor;               // id
  StringMap attributes;
  WallTime time;
};

struct EventQuery {
  std::optional<WallTime> since, until;
  bool follow = false;
};

class Events {
 public:
  explicit Events(std::string folder) : folder_(std::move(folder)) {}
  // Never fails its caller: an event that cannot be written is a warning.
  void append(const Event& event) const;
  // Each matching event as its line; `take` answers false to end. Following ends at `until`, or never.
  Result<> read(const EventQuery& query, const std::function<bool(std::string_view line)>& take) const;

 private:
  std::string folder_;
};

}  // namespace proa::engine
