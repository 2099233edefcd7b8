// The small loops that keep what access needs: the rules of aggregated roles, tokens in secrets, and certificates that
// were asked for.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/access/pki/certificate.h"
#include "kube/apiserver/access/tokens/service_account_tokens.h"
#include "kube/client/controller.h"

namespace proa::kube::api {

// All outlive the controllers.
struct AccessLoops {
  const Authorizer& authorizer;
  const TokenIssuer& issuer;
  // The cluster's authority as it is now: it may be renewed.
  std::function<pki::Authority()> authority;
};
void add_access_controllers(Controllers& controllers, const AccessLoops& loops);

// One by one, for tests.
std::unique_ptr<Controller> secret_tokens(const AccessLoops& loops);       // tokens-controller
std::unique_ptr<Controller> certificate_signer(const AccessLoops& loops);  // certificate-controller

}  // namespace proa::kube::api
