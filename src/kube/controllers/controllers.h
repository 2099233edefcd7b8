// All controllers that the API's own meaning needs.
#pragma once

#include <memory>
#include <string_view>

#include "kube/client/controller.h"

namespace proa::kube::api {

// For Surroundings::client: with the service account of that name in kube-system, as upstream's controllers have, whose
// rights are bootstrap roles; or all rights, for those that are parts of upstream's API server.
std::unique_ptr<Client> controller_client(Objects& objects, const Catalog& catalog, const Authorizer& authorizer,
                                          std::string_view controller);

// Namespaces, garbage, definitions of custom resources, events and tokens that end.
void add_own_controllers(Controllers& controllers);

}  // namespace proa::kube::api
