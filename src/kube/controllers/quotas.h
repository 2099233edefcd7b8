// Counts what quotas limit, once a quota is made or changed and now and then. Admission keeps the count exact from
// there on; this finds what was in flight when the quota came.
#pragma once

#include <memory>

#include "kube/client/controller.h"

namespace proa::kube::api {

std::unique_ptr<Controller> quota_controller();

}  // namespace proa::kube::api
