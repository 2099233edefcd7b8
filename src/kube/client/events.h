// Events (core/v1) about objects, as controllers record them.
#pragma once

#include <string>
#include <string_view>

#include "kube/client/controller.h"

namespace proa::kube::api {

struct EventNote {
  const Value& object;  // what it is about
  std::string_view type, reason, message;
  std::string_view component;  // who says it
};

// Never fails: an event that cannot be written is lost, with a line in the log.
net::Task<> record_event(Client& client, const Surroundings& around, EventNote note);

}  // namespace proa::kube::api
