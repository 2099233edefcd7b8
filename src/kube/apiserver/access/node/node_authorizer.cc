#include "kube/apiserver/access/node/node_authorizer.h"

#include <algorithm>
#include <array>

#include "kube/apiserver/access/node/node_graph.h"
#include "kube/apiserver/access/rbac/bootstrap.h"
#include "kube/selector/field_selector.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kNodePrefix = "system:node:";
constexpr std::string_view kNodesGroup = "system:nodes";
constexpr std::string_view kLeaseNamespace = "kube-node-lease";

Verdict allowed() { return {.decision = Decision::kAllow, .reason = {}, .keep = {}}; }
Verdict no(std::string why = {}) { return why.empty() ? Verdict() : Verdict::no_opinion(std::move(why)); }

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::ranges::find(list, text) != list.end();
}

bool selects(std::string_view selector, std::string_view path, std::string_view value) {
  const auto parsed = FieldSelector::parse(selector);
  if (!parsed) return false;
  const std::string* wanted = parsed->wanted(path);
  return wanted != nullptr && *wanted == value;
}

// One node's question.
class Judge {
 public:
  Judge(NodeGraph& graph, std::string_view node, const AccessQuestion& in) : graph_(graph), node_(node), in_(in) {}

  Verdict judge() const {
    if (in_.group.empty()) return judge_core();
    if (in_.group == "coordination.k8s.io" && in_.resource == "leases") return lease();
    if (in_.group == "storage.k8s.io" && in_.resource == "csinodes") return csi_node();
    if (in_.group == "storage.k8s.io" && in_.resource == "volumeattachments")
      return get_one(NodeObject::kVolumeAttachment);
    if (in_.group == "resource.k8s.io" && in_.resource == "resourceclaims") return get_one(NodeObject::kResourceClaim);
    if (in_.group == "resource.k8s.io" && in_.resource == "resourceslices") return slice();
    return by_rules();
  }
  Verdict by_rules() const {
    static const std::vector<rbac::Rule>& rules = rbac::bootstrap_rules("system:node");
    return std::ranges::any_of(rules, [&](const rbac::Rule& rule) { return rule.allows(in_); }) ? allowed() : no();
  }

 private:
  Verdict judge_core() const {
    if (in_.resource == "secrets") return read_one(NodeObject::kSecret);
    if (in_.resource == "configmaps") return read_one(NodeObject::kConfigMap);
    if (in_.resource == "persistentvolumeclaims")
      return in_.subresource == "status" ? update_claim_status() : get_one(NodeObject::kClaim);
    if (in_.resource == "persistentvolumes") return get_one(NodeObject::kVolume);
    if (in_.resource == "serviceaccounts") return account();
    if (in_.resource == "nodes") return node();
    if (in_.resource == "pods") return pod();
    return by_rules();
  }

  Verdict related(NodeObject kind) const {
    if (in_.name.empty()) return no("No Object name found");
    if (graph_.related(node_, kind, in_.ns, in_.name)) return allowed();
    return no(cat("no relationship found between node '", node_, "' and this object"));
  }
  Verdict read_one(NodeObject kind) const {
    if (!is_one_of(in_.verb, {"get", "list", "watch"})) return no("can only read resources of this type");
    if (!in_.subresource.empty()) return no("cannot read subresource");
    if (in_.ns.empty()) return no("can only read namespaced object of this type");
    return related(kind);
  }
  Verdict get_one(NodeObject kind) const {
    if (in_.verb != "get") return no("can only get individual resources of this type");
    if (!in_.subresource.empty()) return no("cannot get subresource");
    return related(kind);
  }
  Verdict update_claim_status() const {
    if (!is_one_of(in_.verb, {"update", "patch"})) return no("can only get/update/patch this type");
    return related(NodeObject::kClaim);
  }
  Verdict account() const {
    if (in_.verb == "get" && in_.subresource.empty()) return get_one(NodeObject::kServiceAccount);
    if (in_.verb != "create" || in_.name.empty()) return no("can only create tokens for individual service accounts");
    if (in_.subresource != "token") return no("can only create token subresource of serviceaccount");
    return related(NodeObject::kServiceAccount);
  }
  Verdict lease() const {
    if (!is_one_of(in_.verb, {"get", "create", "update", "patch", "delete"}))
      return no("can only get, create, update, patch, or delete a node lease");
    if (in_.ns != kLeaseNamespace)
      return no(cat("can only access leases in the \"", kLeaseNamespace, "\" system namespace"));
    if (in_.verb != "create" && in_.name != node_)
      return no("can only access node lease with the same name as the requesting node");
    return allowed();
  }
  Verdict csi_node() const {
    if (!is_one_of(in_.verb, {"get", "create", "update", "patch", "delete"}))
      return no("can only get, create, update, patch, or delete a CSINode");
    if (!in_.subresource.empty()) return no("cannot authorize CSINode subresources");
    if (in_.verb != "create" && in_.name != node_)
      return no("can only access CSINode with the same name as the requesting node");
    return allowed();
  }
  Verdict slice() const {
    if (!in_.subresource.empty()) return no("cannot authorize ResourceSlice subresources");
    if (in_.verb == "create") return allowed();
    if (is_one_of(in_.verb, {"get", "update", "patch", "delete"})) return related(NodeObject::kResourceSlice);
    if (!is_one_of(in_.verb, {"watch", "list", "deletecollection"}))
      return no(
          "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, "
          "deletecollection");
    if (selects(in_.field_selector, "spec.nodeName", node_) || selects(in_.field_selector, "nodeName", node_))
      return allowed();
    return no("can only list/watch/deletecollection resourceslices with nodeName field selector");
  }
  Verdict node() const {
    if (in_.subresource == "status") return is_one_of(in_.verb, {"update", "patch"}) ? allowed() : no();
    if (!in_.subresource.empty()) return no();
    if (is_one_of(in_.verb, {"create", "update", "patch"})) return allowed();
    if (!is_one_of(in_.verb, {"get", "list", "watch"})) return no();
    if (in_.name == node_) return allowed();
    if (in_.name.empty()) return no(cat("node '", node_, "' cannot read all nodes, only its own Node object"));
    return no(cat("node '", node_, "' cannot read '", in_.name, "', only its own Node object"));
  }
  Verdict pod() const {
    if (in_.subresource == "status") return is_one_of(in_.verb, {"update", "patch"}) ? allowed() : no();
    if (in_.subresource == "eviction") return in_.verb == "create" ? allowed() : no();
    if (!in_.subresource.empty()) return no();
    if (is_one_of(in_.verb, {"create", "delete"})) return allowed();
    if (in_.verb == "get") return get_one(NodeObject::kPod);
    if (!is_one_of(in_.verb, {"list", "watch"})) return no();
    if (selects(in_.field_selector, "spec.nodeName", node_)) return allowed();
    if (!in_.name.empty()) return related(NodeObject::kPod);
    return no("can only list/watch pods with spec.nodeName field selector");
  }

  NodeGraph& graph_;
  const std::string_view node_;
  const AccessQuestion& in_;
};

}  // namespace

std::string_view node_of(const User& user) {
  if (!user.name.starts_with(kNodePrefix) || !user.in(kNodesGroup)) return {};
  return std::string_view(user.name).substr(kNodePrefix.size());
}

NodeAuthorizer::NodeAuthorizer(const Reader& reader) : graph_(std::make_unique<NodeGraph>(reader)) {}
NodeAuthorizer::~NodeAuthorizer() = default;

Verdict NodeAuthorizer::authorize(const AccessQuestion& in) const {
  const std::string_view node = node_of(in.user);
  if (node.empty()) return {};
  const Judge judge(*graph_, node, in);
  return in.is_resource ? judge.judge() : judge.by_rules();
}

bool NodeAuthorizer::rules_for(const User& user, std::string_view, UserRules& out) const {
  if (node_of(user).empty()) return true;
  out.error = "node authorizer does not support user rule resolution";
  return false;
}

}  // namespace proa::kube::api
