// Nobody gives more than he has: who writes a role needs its rules himself, or the verb "escalate" on it; who writes a
// binding needs the rules of the role it refers to, or the verb "bind" on that.
#pragma once

#include <memory>

#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/admission/admission.h"

namespace proa::kube::api {

// To stand behind all other plugins. Both outlive it.
std::unique_ptr<AdmissionPlugin> rbac_escalation(const Reader& reader, const Authorizer& authorizer);

}  // namespace proa::kube::api
