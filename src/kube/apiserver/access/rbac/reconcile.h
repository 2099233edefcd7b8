// Keeping a cluster's roles as they have to be: those of the start (bootstrap.h), and those that have the rules of
// others (aggregationRule).
#pragma once

#include <memory>
#include <string_view>

#include "kube/client/client.h"
#include "kube/client/controller.h"
#include "net/task.h"

namespace proa::kube::api {

// Makes and completes the roles and bindings of the start, and aggregates. All at once, so that the store commits them
// together. On a loop; the namespaces kube-system and kube-public must be there. The first error, when all was tried.
net::Task<Answer<>> reconcile_rbac(Client& client);

// Gives the cluster role of that name the rules of those it aggregates, if it does and has not got them.
net::Task<Answer<>> aggregate_cluster_role(Client& client, std::string_view name);

// clusterrole-aggregation-controller.
std::unique_ptr<Controller> cluster_role_aggregation();

}  // namespace proa::kube::api
