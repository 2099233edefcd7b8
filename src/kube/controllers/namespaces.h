// The namespace controller: empties a namespace that is being deleted, pods first, says in its conditions what is in
// the way, and lets it go when nothing is left.
#pragma once

#include <memory>

#include "kube/client/controller.h"

namespace proa::kube::api {

std::unique_ptr<Controller> namespace_controller();

}  // namespace proa::kube::api
