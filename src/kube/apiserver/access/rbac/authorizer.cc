#include "kube/apiserver/access/rbac/authorizer.h"

#include <set>

#include "kube/validation/names.h"

namespace proa::kube::api::rbac {
namespace {

std::string missing_role(const Binding& binding) {
  return cat(binding.cluster_role ? "clusterrole" : "role", ".rbac.authorization.k8s.io ", quoted(binding.role_name),
             " not found");
}

// Which of the user's bindings have no role: "RBAC: …".
std::string why_not(const Policy& policy, const AccessQuestion& in) {
  std::set<std::string> missing;
  policy.each_grant(in.user, in.ns, [&](const Grant& grant) {
    if (!grant.role) missing.insert(missing_role(*grant.binding));
    return false;
  });
  if (missing.empty()) return {};
  std::string list;
  for (const std::string& each : missing) list += cat(list.empty() ? "" : ", ", each);
  return missing.size() == 1 ? cat("RBAC: ", list) : cat("RBAC: [", list, "]");
}

}  // namespace

Verdict RbacAuthorizer::authorize(const AccessQuestion& in) const {
  PolicyPtr policy = cache_.policy();
  const uint32_t bit = Rule::verb_bit(in.verb);
  const Grant* by = nullptr;
  policy->each_grant(in.user, in.ns, [&](const Grant& grant) {
    if (!grant.role) return false;
    for (const Rule& rule : grant.role->rules)
      if (rule.allows(in, bit)) {
        by = &grant;
        return true;
      }
    return false;
  });
  if (by != nullptr) return Verdict::allow(by->reason, std::move(policy));
  return Verdict::no_opinion(why_not(*policy, in));
}

std::vector<Rule> rules_of(const Policy& policy, const User& user, std::string_view ns) {
  std::vector<Rule> out;
  policy.each_grant(user, ns, [&](const Grant& grant) {
    if (grant.role) out.insert(out.end(), grant.role->rules.begin(), grant.role->rules.end());
    return false;
  });
  return out;
}

bool RbacAuthorizer::rules_for(const User& user, std::string_view ns, UserRules& out) const {
  const PolicyPtr policy = cache_.policy();
  for (Rule& rule : rules_of(*policy, user, ns)) {
    if (!rule.resources.empty())
      out.resource_rules.push_back(
          {rule.verbs, std::move(rule.groups), std::move(rule.resources), std::move(rule.names)});
    if (!rule.urls.empty()) out.url_rules.push_back({std::move(rule.verbs), std::move(rule.urls)});
  }
  return true;
}

}  // namespace proa::kube::api::rbac
