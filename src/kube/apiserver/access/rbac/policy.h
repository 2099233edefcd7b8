// All roles and bindings of a moment, indexed by whom they are about. Immutable; made by PolicyCache.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kube/apiserver/access/follower.h"
#include "kube/apiserver/access/rbac/rule.h"
#include "kube/apiserver/registry/reader.h"

namespace proa::kube::api::rbac {

struct Role {
  std::vector<Rule> rules;
};
using RolePtr = std::shared_ptr<const Role>;

struct Subject {
  enum class Kind : uint8_t { kUser, kGroup } kind = Kind::kUser;
  std::string name;    // an account's is its name as a user
  std::string quoted;  // for reasons: `Group "dev"`, `ServiceAccount "ci/dev"`
};

// A binding with the role it refers to.
struct Binding {
  std::string ns;    // empty: in all
  std::string name;  // its own
  std::string role;  // "ClusterRole/view", "Role/ns/x"
  std::string role_name;
  bool cluster_role = false;
  std::vector<Subject> subjects;
};
using BindingPtr = std::shared_ptr<const Binding>;

// What a binding gives one subject.
struct Grant {
  RolePtr role;  // null: the role is not there
  BindingPtr binding;
  std::string reason;  // "RBAC: allowed by …"
};

struct Hash : std::hash<std::string_view> {
  using is_transparent = void;
};
template <typename T>
using Named = std::unordered_map<std::string, T, Hash, std::equal_to<>>;

class Policy {
 public:
  // Calls `visit` with each grant that `user` has in `ns` (cluster-wide ones too; empty: those alone) until it returns
  // true. Whether it did.
  template <typename Visit>
  bool each_grant(const User& user, std::string_view ns, Visit visit) const {
    if (cluster_.each(user, visit)) return true;
    if (ns.empty()) return false;
    const auto found = namespaces_.find(ns);
    return found != namespaces_.end() && found->second.each(user, visit);
  }
  // Null when there is none. Namespace empty: a cluster role.
  const Role* role(std::string_view ns, std::string_view name) const;

 private:
  friend class PolicyCache;
  struct Index {
    Named<std::vector<Grant>> users, groups;

    template <typename Visit>
    bool each(const User& user, Visit& visit) const {
      if (each_in(users, user.name, visit)) return true;
      for (const std::string& group : user.groups)
        if (each_in(groups, group, visit)) return true;
      return false;
    }
    template <typename Visit>
    static bool each_in(const Named<std::vector<Grant>>& map, std::string_view name, Visit& visit) {
      const auto found = map.find(name);
      if (found == map.end()) return false;
      for (const Grant& grant : found->second)
        if (visit(grant)) return true;
      return false;
    }
  };
  Index cluster_;
  Named<Index> namespaces_;
  Named<RolePtr> roles_;  // by "ClusterRole/x", "Role/ns/x"
};
using PolicyPtr = std::shared_ptr<const Policy>;

// Keeps the policy up to date. Thread-safe. Who asks while another brings it up to date gets the one before.
class PolicyCache {
 public:
  explicit PolicyCache(const Reader& reader);
  PolicyPtr policy() const;

 private:
  void put(const store::RecordPtr& record);
  void remove(std::string_view key);
  PolicyPtr build() const;

  mutable std::mutex mutex_;
  mutable Follower follower_;
  Named<RolePtr> roles_;
  std::map<std::string, BindingPtr, std::less<>> bindings_;  // by key, so that reasons are the same each time
  mutable std::atomic<PolicyPtr> current_;
};

// "Role/ns/name", "ClusterRole/name".
std::string role_key(std::string_view ns, std::string_view name);

}  // namespace proa::kube::api::rbac
