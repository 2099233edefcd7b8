#include <gmock/gmock.h>

#include <set>

#include "kube/apiserver/access/access_test.h"
#include "kube/apiserver/access/node/node_authorizer.h"
#include "kube/apiserver/access/rbac/bootstrap.h"
#include "kube/apiserver/access/rbac/rule.h"
#include "kube/object/json.h"

namespace proa::kube::api {
namespace {

using rbac::Rule;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kRbac = "rbac.authorization.k8s.io";

TEST_F(AccessTest, BindingsOfUsersGroupsAndAccounts) {
  EXPECT_FALSE(may(jane_, "get", "", "pods", "x"));
  put(kRbac, "clusterroles", "", "reader",
      R"({"rules":[{"verbs":["get","list"],"apiGroups":[""],"resources":["pods","*/scale"]},
                   {"verbs":["get"],"apiGroups":[""],"resources":["secrets"],"resourceNames":["mine"]},
                   {"verbs":["get"],"nonResourceURLs":["/a","/b/*"]}]})");
  put(kRbac, "rolebindings", "x", "readers",
      R"({"roleRef":{"kind":"ClusterRole","name":"reader"},"subjects":[{"kind":"Group","name":"dev"},
          {"kind":"ServiceAccount","name":"bot"}]})");
  const Verdict verdict = ask(jane_, "get", "", "pods", "x");
  EXPECT_TRUE(verdict.allowed());
  EXPECT_EQ(verdict.reason, R"(RBAC: allowed by RoleBinding "readers/x" of ClusterRole "reader" to Group "dev")");
  EXPECT_FALSE(may(jane_, "get", "", "pods", "y"));
  EXPECT_FALSE(may(jane_, "get", "", "pods"));
  EXPECT_FALSE(may(jane_, "delete", "", "pods", "x"));
  EXPECT_FALSE(may(jane_, "get", "", "pods", "x", "p", "log"));
  EXPECT_TRUE(may(jane_, "get", "", "deployments", "x", "d", "scale"));
  EXPECT_TRUE(may(jane_, "get", "", "secrets", "x", "mine"));
  EXPECT_FALSE(may(jane_, "get", "", "secrets", "x", "other"));
  EXPECT_FALSE(may(jane_, "list", "", "secrets", "x"));
  const User bot{.name = "system:serviceaccount:x:bot", .uid = {}, .groups = {}, .extra = {}};
  EXPECT_TRUE(may(bot, "list", "", "pods", "x"));
  // Paths are the cluster's.
  EXPECT_FALSE(may_path(jane_, "/a"));
  put(kRbac, "clusterrolebindings", "", "all",
      R"({"roleRef":{"kind":"ClusterRole","name":"reader"},"subjects":[{"kind":"User","name":"jane"}]})");
  EXPECT_TRUE(may_path(jane_, "/a"));
  EXPECT_FALSE(may_path(jane_, "/a/b"));
  EXPECT_TRUE(may_path(jane_, "/b/c/d"));
  EXPECT_TRUE(may(jane_, "get", "", "pods", "y"));
  remove(kRbac, "clusterrolebindings", "", "all");
  EXPECT_FALSE(may(jane_, "get", "", "pods", "y"));
  remove(kRbac, "clusterroles", "", "reader");
  EXPECT_EQ(ask(jane_, "get", "", "pods", "x").reason,
            R"(RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found)");
}

TEST_F(AccessTest, RefusalsInUpstreamsWords) {
  const auto text = [&](const AccessQuestion& question, std::string_view reason = {}) {
    return access_refused(question, reason).message;
  };
  EXPECT_EQ(text(question(jane_, "list", "", "pods", "y", "")),
            R"(pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "y")");
  EXPECT_EQ(
      text(question(jane_, "get", "apps", "deployments", "y", "web", "scale"), "why"),
      R"(deployments.apps "web" is forbidden: User "jane" cannot get resource "deployments/scale" in API group "apps" in the namespace "y": why)");
  EXPECT_EQ(text(question(jane_, "list", "", "nodes", "", "")),
            R"(nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope)");
}

TEST_F(AccessTest, MastersMayEverything) {
  const User master{.name = "m", .uid = {}, .groups = {"system:masters"}, .extra = {}};
  EXPECT_TRUE(may(master, "frobnicate", "x.example", "things", "y"));
  EXPECT_TRUE(may_path(master, "/anything"));
}

TEST_F(AccessTest, NodesMayWhatTheirPodsUse) {
  const User node{.name = "system:node:a", .uid = {}, .groups = {"system:nodes"}, .extra = {}};
  const User other{.name = "system:node:b", .uid = {}, .groups = {"system:nodes"}, .extra = {}};
  EXPECT_EQ(ask(node, "get", "", "secrets", "x", "s").reason, "no relationship found between node 'a' and this object");
  put("", "pods", "x", "p",
      R"({"metadata":{"name":"p","namespace":"x"},"spec":{"nodeName":"a","serviceAccountName":"bot",
      "containers":[{"env":[{"valueFrom":{"secretKeyRef":{"name":"s"}}}],"envFrom":[{"configMapRef":{"name":"c"}}]}],
      "imagePullSecrets":[{"name":"pull"}],
      "volumes":[{"persistentVolumeClaim":{"claimName":"claim"}},{"projected":{"sources":[{"secret":{"name":"ps"}}]}}]}})");
  for (const char* secret : {"s", "pull", "ps"}) {
    EXPECT_TRUE(may(node, "get", "", "secrets", "x", secret));
    EXPECT_FALSE(may(other, "get", "", "secrets", "x", secret));
  }
  EXPECT_TRUE(may(node, "watch", "", "configmaps", "x", "c"));
  EXPECT_FALSE(may(node, "delete", "", "configmaps", "x", "c"));
  EXPECT_FALSE(may(node, "list", "", "secrets", "x"));
  EXPECT_TRUE(may(node, "get", "", "persistentvolumeclaims", "x", "claim"));
  EXPECT_TRUE(may(node, "create", "", "serviceaccounts", "x", "bot", "token"));
  EXPECT_FALSE(may(other, "create", "", "serviceaccounts", "x", "bot", "token"));
  put("", "persistentvolumes", "", "pv",
      R"({"spec":{"claimRef":{"namespace":"x","name":"claim"},"csi":{"nodeStageSecretRef":{"name":"vs","namespace":"x"}}}})");
  EXPECT_TRUE(may(node, "get", "", "persistentvolumes", "", "pv"));
  EXPECT_TRUE(may(node, "get", "", "secrets", "x", "vs"));
  EXPECT_FALSE(may(other, "get", "", "persistentvolumes", "", "pv"));
  EXPECT_TRUE(may(node, "get", "", "pods", "x", "p"));
  EXPECT_FALSE(may(other, "get", "", "pods", "x", "p"));
  EXPECT_TRUE(may(node, "list", "", "pods", "", "", "", "spec.nodeName=a"));
  EXPECT_FALSE(may(node, "list", "", "pods", "", "", "", "spec.nodeName=b"));
  EXPECT_EQ(ask(node, "list", "", "pods").reason, "can only list/watch pods with spec.nodeName field selector");
  remove("", "pods", "x", "p");
  EXPECT_FALSE(may(node, "get", "", "secrets", "x", "s"));
}

TEST_F(AccessTest, NodesMayTheirOwn) {
  const User node{.name = "system:node:a", .uid = {}, .groups = {"system:nodes"}, .extra = {}};
  EXPECT_TRUE(may(node, "get", "", "nodes", "", "a"));
  EXPECT_EQ(ask(node, "get", "", "nodes", "", "b").reason, "node 'a' cannot read 'b', only its own Node object");
  EXPECT_TRUE(may(node, "patch", "", "nodes", "", "a", "status"));
  EXPECT_TRUE(may(node, "update", "coordination.k8s.io", "leases", "kube-node-lease", "a"));
  EXPECT_FALSE(may(node, "update", "coordination.k8s.io", "leases", "kube-node-lease", "b"));
  EXPECT_FALSE(may(node, "get", "coordination.k8s.io", "leases", "x", "a"));
  EXPECT_TRUE(may(node, "get", "", "services", "x", "s"));
  EXPECT_FALSE(may(node, "delete", "", "services", "x", "s"));
  const User impostor{.name = "system:node:a", .uid = {}, .groups = {}, .extra = {}};
  EXPECT_FALSE(may(impostor, "get", "", "nodes", "", "a"));
}

TEST(Rules, CoverOthers) {
  Arena arena;
  const auto rules = [&](std::string_view json) { return rbac::parse_rules(*read_json(arena, json)); };
  const auto owner = rules(R"([{"verbs":["get","list"],"apiGroups":[""],"resources":["pods","*/status"]},
                               {"verbs":["*"],"nonResourceURLs":["/a/*"]}])");
  EXPECT_TRUE(
      rbac::covers(owner, rules(R"([{"verbs":["get"],"apiGroups":[""],"resources":["pods","nodes/status"]}])")));
  EXPECT_TRUE(
      rbac::covers(owner, rules(R"([{"verbs":["get"],"apiGroups":[""],"resources":["pods"],"resourceNames":["x"]}])")));
  EXPECT_TRUE(rbac::covers(owner, rules(R"([{"verbs":["post"],"nonResourceURLs":["/a/b"]}])")));
  std::vector<Rule> missing;
  EXPECT_FALSE(rbac::covers(owner, rules(R"([{"verbs":["get","delete","update"],"apiGroups":[""],"resources":["pods"]},
                                             {"verbs":["get"],"nonResourceURLs":["/b"]}])"),
                            &missing));
  const auto compacted = rbac::compact(missing);
  ASSERT_EQ(compacted.size(), 2U);
  EXPECT_EQ(compacted[0].text() < compacted[1].text() ? compacted[0].text() : compacted[1].text(),
            R"({APIGroups:[""], Resources:["pods"], Verbs:["delete" "update"]})");
}

TEST(BootstrapPolicy, IsWellFormed) {
  const auto& policy = rbac::bootstrap_policy();
  EXPECT_GT(policy.size(), 100U);
  std::set<std::string> names;
  for (const auto& each : policy)
    EXPECT_TRUE(names.insert(cat(each.resource, "/", each.ns, "/", each.name)).second) << each.name;
  for (const auto& each : policy)
    if (each.is_binding())
      EXPECT_TRUE(names.contains(cat(each.ns.empty() ? "clusterroles" : "roles", "/", each.ns, "/", each.role)))
          << each.name;
  EXPECT_FALSE(rbac::bootstrap_rules("system:node").empty());
}

TEST(BootstrapPolicy, AddsWhatIsMissingAndTakesNothing) {
  rbac::BootstrapObject wanted;
  for (const auto& each : rbac::bootstrap_policy())
    if (each.name == "system:basic-user" && !each.is_binding()) wanted = each;
  Arena arena;
  Value there = wanted.value(arena);
  EXPECT_TRUE(rbac::reconciled(arena, there, wanted).is_null());
  there.set(arena, "rules", *read_json(arena, R"([{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}])"));
  const Value changed = rbac::reconciled(arena, there, wanted);
  EXPECT_EQ(changed.get("rules").size(), 4U) << write_json(changed);
  there.child(arena, "metadata")
      .child(arena, "annotations")
      .set(arena, "rbac.authorization.kubernetes.io/autoupdate", Value::view("false"));
  EXPECT_TRUE(rbac::reconciled(arena, there, wanted).is_null());
}

TEST(BootstrapPolicy, ErrorsNameTheLine) {
  EXPECT_THAT(rbac::parse_policy("clusterrole x\n  get\n").error().message(), HasSubstr("line 2"));
  EXPECT_THAT(rbac::parse_policy("nonsense x\n").error().message(), HasSubstr("line 1"));
  EXPECT_FALSE(rbac::parse_policy("  get core pods\n"));
}

}  // namespace
}  // namespace proa::kube::api
