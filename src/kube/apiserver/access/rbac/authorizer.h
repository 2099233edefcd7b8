// Role-based access control (RBAC).
#pragma once

#include <memory>
#include <vector>

#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/access/rbac/policy.h"

namespace proa::kube::api::rbac {

class RbacAuthorizer : public Authorizer {
 public:
  explicit RbacAuthorizer(const Reader& reader) : cache_(reader) {}
  Verdict authorize(const AccessQuestion& question) const override;
  bool rules_for(const User& user, std::string_view ns, UserRules& out) const override;

  PolicyPtr policy() const { return cache_.policy(); }

 private:
  PolicyCache cache_;
};

// All rules that `user` has in `ns` (empty: cluster-wide).
std::vector<Rule> rules_of(const Policy& policy, const User& user, std::string_view ns);

}  // namespace proa::kube::api::rbac
