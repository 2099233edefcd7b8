#include "kube/controllers/controllers.h"

#include <algorithm>

#include "base/error.h"
#include "kube/controllers/definitions.h"
#include "kube/controllers/expiry.h"
#include "kube/controllers/furnishing.h"
#include "kube/controllers/garbage.h"
#include "kube/controllers/namespaces.h"
#include "kube/controllers/quotas.h"
#include "kube/controllers/storage_protection.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kParts[] = {"event-cleaner", "definition-controller", "tokens-controller"};

}  // namespace

std::unique_ptr<Client> controller_client(Objects& objects, const Catalog& catalog, const Authorizer& authorizer,
                                          std::string_view controller) {
  User user;
  if (std::ranges::find(kParts, controller) != std::end(kParts)) {
    user = own_user();
  } else {
    user.name = cat(kServiceAccountPrefix, "kube-system:", controller);
    user.groups = {"system:serviceaccounts", "system:serviceaccounts:kube-system", std::string(kAuthenticatedGroup)};
  }
  return make_client(objects, catalog, authorizer, std::move(user), std::string(controller));
}

void add_own_controllers(Controllers& controllers) {
  controllers.add(namespace_controller());
  controllers.add(garbage_collector());
  controllers.add(definition_controller());
  controllers.add(event_cleaner());
  controllers.add(token_cleaner());
  controllers.add(service_account_controller());
  controllers.add(root_ca_publisher());
  controllers.add(quota_controller());
  controllers.add(claim_protection());
  controllers.add(volume_protection());
  controllers.add(attributes_class_protection());
}

}  // namespace proa::kube::api
