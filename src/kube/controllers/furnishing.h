// What every namespace has: the service account "default" and the config map "kube-root-ca.crt" with the authority that
// pods trust. They are made together with the namespace (registry/strategies/cluster.cc); these controllers bring them
// back when they were removed or changed.
#pragma once

#include <memory>

#include "kube/client/controller.h"

namespace proa::kube::api {

std::unique_ptr<Controller> service_account_controller();
std::unique_ptr<Controller> root_ca_publisher();

}  // namespace proa::kube::api
