// What ends by itself: events an hour after they were last written, bootstrap tokens when they say.
#pragma once

#include <memory>

#include "kube/client/controller.h"

namespace proa::kube::api {

inline constexpr std::chrono::seconds kEventLife{3600};

std::unique_ptr<Controller> event_cleaner();
std::unique_ptr<Controller> token_cleaner();

}  // namespace proa::kube::api
