// The life of CustomResourceDefinitions after the request: names that others leave are taken by those that wait for
// them, and a definition that is deleted takes its objects with it.
#pragma once

#include <memory>

#include "kube/client/controller.h"

namespace proa::kube::api {

std::unique_ptr<Controller> definition_controller();

}  // namespace proa::kube::api
