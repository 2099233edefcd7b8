// The roles and bindings that a cluster begins with (schema/rbac.policy), and bringing a cluster up to date with them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/apiserver/access/rbac/rule.h"
#include "kube/object/value.h"

namespace proa::kube::api::rbac {

struct BootstrapObject {
  std::string resource;  // "clusterroles", "rolebindings", …
  std::string ns, name;
  std::vector<std::string> labels;      // with the value "true"
  std::vector<std::string> aggregates;  // labels of the cluster roles whose rules it has
  std::vector<Rule> rules;
  std::string role;                   // of a binding
  std::vector<std::string> subjects;  // "user:x", "group:x", "account:ns/x"

  bool is_binding() const { return resource.ends_with("bindings"); }
  // As it is created.
  Value value(Arena& arena) const;
};

// Errors name the line.
Result<std::vector<BootstrapObject>> parse_policy(std::string_view text);
// schema/rbac.policy.
const std::vector<BootstrapObject>& bootstrap_policy();
// The rules of one of its cluster roles.
const std::vector<Rule>& bootstrap_rules(std::string_view cluster_role);

// What has to be stored so that `there` has all that `wanted` says: rules, subjects, labels and annotations that are
// missing are added, nothing is taken away. Null: it has, or is not to be touched (annotation autoupdate "false").
Value reconciled(Arena& arena, const Value& there, const BootstrapObject& wanted);
// Whether a binding refers to another role: references cannot be changed, so it has to be made anew.
bool refers_elsewhere(const Value& there, const BootstrapObject& wanted);

}  // namespace proa::kube::api::rbac
