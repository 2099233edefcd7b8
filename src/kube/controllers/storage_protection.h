// Lets storage go that is being deleted, once nobody uses it: a claim when no pod on a node has it, a volume when no
// claim is bound to it, a class of attributes when no claim or volume names it.
#pragma once

#include <memory>

#include "kube/client/controller.h"

namespace proa::kube::api {

std::unique_ptr<Controller> claim_protection();
std::unique_ptr<Controller> volume_protection();
std::unique_ptr<Controller> attributes_class_protection();

}  // namespace proa::kube::api
