// The plugins, strategies and subresources as a client meets them: objects are written through the whole chain.
#include "kube/apiserver/admission/admission.h"

#include <gtest/gtest.h>

#include "kube/apiserver/registry/subresources.h"
#include "kube/controllers/world_test.h"

namespace proa::kube::api {
namespace {

Target pods(std::string name = {}, std::string subresource = {}) {
  return {.resource = "pods", .ns = "default", .name = std::move(name), .subresource = std::move(subresource)};
}
Target of(std::string group, std::string resource, std::string ns, std::string name = {}) {
  return {.group = std::move(group), .resource = std::move(resource), .ns = std::move(ns), .name = std::move(name)};
}

class AdmissionTest : public World {
 protected:
  AdmissionTest() {
    admission_ = standard_admission(reader_, everybody_);
    add_subresources(subresources_);
    if (!there(of("", "serviceaccounts", "default", "default")))
      create(of("", "serviceaccounts", "default"), R"({"metadata":{"name":"default"}})");
  }

  // The error's text; empty: done.
  std::string try_create(const Target& target, std::string_view json) {
    Arena arena;
    const auto done = store::finish(client_->create(arena, target, read_json(arena, json).value()));
    return done ? "" : done.error().message;
  }
  ApiError refused(const Target& target, std::string_view json) {
    Arena arena;
    auto done = store::finish(client_->create(arena, target, read_json(arena, json).value()));
    return done ? ApiError() : std::move(done.error());
  }
  std::string merge(const Target& target, std::string_view patch) {
    Arena arena;
    const auto done = store::finish(client_->patch(arena, target, PatchKind::kMerge, read_json(arena, patch).value()));
    return done ? "" : done.error().message;
  }
  std::string pod(std::string_view name, std::string_view spec = R"("containers":[{"name":"c","image":"x"}])",
                  std::string_view metadata = "") {
    return cat(R"({"metadata":{"name":")", name, R"(")", metadata, R"(},"spec":{)", spec, "}}");
  }
};

TEST_F(AdmissionTest, PodsGetWhatUpstreamGivesThem) {
  ASSERT_EQ(try_create(pods(), pod("a")), "");
  EXPECT_EQ(shown(pods("a"), {"status"}), R"({"phase":"Pending","qosClass":"BestEffort"})");
  EXPECT_EQ(shown(pods("a"), {"spec", "serviceAccount"}), R"("default")");
  EXPECT_EQ(shown(pods("a"), {"spec", "priority"}), "0");
  EXPECT_NE(shown(pods("a"), {"spec", "tolerations"}).find("node.kubernetes.io/unreachable"), std::string::npos);
  const std::string volumes = shown(pods("a"), {"spec", "volumes"});
  EXPECT_NE(volumes.find(R"("name":"kube-api-access-)"), std::string::npos) << volumes;
  EXPECT_NE(volumes.find(R"("serviceAccountToken":{"expirationSeconds":3607,"path":"token"})"), std::string::npos);
  // Who does not want a token has none.
  ASSERT_EQ(
      try_create(pods(), pod("b", R"("automountServiceAccountToken":false,"containers":[{"name":"c","image":"x"}])")),
      "");
  EXPECT_EQ(shown(pods("b"), {"spec", "volumes"}), "null");
}

struct Refusal {
  std::string_view group, resource, ns, json, wanted;
};

constexpr Refusal kRefusals[] = {
    {"", "configmaps", "nowhere", R"({"metadata":{"name":"a"}})", R"(namespaces "nowhere" not found)"},
    {"", "pods", "default",
     R"({"metadata":{"name":"a"},"spec":{"serviceAccountName":"me","containers":[{"name":"c","image":"x"}]}})",
     R"(pods "a" is forbidden: error looking up service account default/me: serviceaccount "me" not found)"},
    {"", "pods", "default",
     R"({"metadata":{"name":"a"},"spec":{"priorityClassName":"high","containers":[{"name":"c","image":"x"}]}})",
     R"(pods "a" is forbidden: no PriorityClass with name high was found)"},
    {"", "pods", "default",
     R"({"metadata":{"name":"a"},"spec":{"priority":7,"containers":[{"name":"c","image":"x"}]}})",
     R"(pods "a" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name)"},
    {"", "pods", "default",
     R"({"metadata":{"generateName":"a-"},"spec":{"runtimeClassName":"vm","containers":[{"name":"c","image":"x"}]}})",
     R"(pods "a-)"},
    {"", "namespaces", "", R"({"metadata":{"name":"n","labels":{"pod-security.kubernetes.io/enforce":"hard"}}})",
     R"(Namespace "n" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "hard": must be one of privileged, baseline, restricted)"},
    {"", "services", "default", R"({"metadata":{"name":"s"},"spec":{"clusterIP":"1.2.3.4","ports":[{"port":80}]}})",
     "failed to allocate IP 1.2.3.4"},
    {"", "services", "default",
     R"({"metadata":{"name":"s"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":80}]}})",
     R"(Service "s" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767)"},
    {"", "services", "default",
     R"({"metadata":{"name":"s"},"spec":{"ipFamilyPolicy":"RequireDualStack","ports":[{"port":80}]}})",
     "this cluster is not configured for dual-stack services"},
};

TEST_F(AdmissionTest, RefusesInUpstreamsWords) {
  for (const Refusal& one : kRefusals) {
    const std::string said =
        try_create(of(std::string(one.group), std::string(one.resource), std::string(one.ns)), one.json);
    EXPECT_NE(said.find(one.wanted), std::string::npos) << one.json << "\n" << said;
  }
}

TEST_F(AdmissionTest, NothingIsMadeInANamespaceThatEnds) {
  create({.resource = "namespaces"}, R"({"metadata":{"name":"n"}})");
  ASSERT_EQ(remove({.resource = "namespaces", .name = "n"}), "");
  const ApiError said = refused(of("", "configmaps", "n"), R"({"metadata":{"name":"a"}})");
  EXPECT_EQ(said.code, 403);
  EXPECT_EQ(
      said.message,
      R"(configmaps "a" is forbidden: unable to create new content in namespace n because it is being terminated)");
  ASSERT_EQ(said.causes.size(), 1u);
  EXPECT_EQ(said.causes[0].reason, "NamespaceTerminating");
  EXPECT_NE(remove({.resource = "namespaces", .name = "default"}).find("this namespace may not be deleted"),
            std::string::npos);
}

TEST_F(AdmissionTest, LimitRangesGiveDefaultsAndBounds) {
  create(
      of("", "limitranges", "default"),
      R"({"metadata":{"name":"l"},"spec":{"limits":[{"type":"Container","default":{"cpu":"500m"},"defaultRequest":{"cpu":"100m"},
             "max":{"cpu":"1"},"min":{"cpu":"50m"},"maxLimitRequestRatio":{"cpu":"5"}}]}})");
  ASSERT_EQ(try_create(pods(), pod("a")), "");
  EXPECT_EQ(shown(pods("a"), {"metadata", "annotations", "kubernetes.io/limit-ranger"}),
            R"("LimitRanger plugin set: cpu request for container c; cpu limit for container c")");
  const auto with = [&](std::string_view resources) {
    return try_create(pods(), pod("b", cat(R"("containers":[{"name":"c","image":"x","resources":)", resources, "}]")));
  };
  EXPECT_EQ(with(R"({"limits":{"cpu":"2"},"requests":{"cpu":"1"}})"),
            R"(pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2)");
  EXPECT_EQ(with(R"({"limits":{"cpu":"20m"},"requests":{"cpu":"10m"}})"),
            R"(pods "b" is forbidden: minimum cpu usage per Container is 50m, but request is 10m)");
  EXPECT_EQ(
      with(R"({"limits":{"cpu":"600m"},"requests":{"cpu":"100m"}})"),
      R"(pods "b" is forbidden: cpu max limit to request ratio per Container is 5, but provided ratio is 6.000000)");
}

TEST_F(AdmissionTest, QuotasCountInTheTransaction) {
  create(of("", "resourcequotas", "default"),
         R"({"metadata":{"name":"q"},"spec":{"hard":{"pods":"2","count/configmaps":"1","requests.cpu":"1"}}})");
  const Target quota = of("", "resourcequotas", "default", "q");
  const std::string half = R"("containers":[{"name":"c","image":"x","resources":{"requests":{"cpu":"600m"}}}])";
  EXPECT_EQ(try_create(pods(), pod("a")),
            R"(pods "a" is forbidden: failed quota: q: must specify requests.cpu for: c)");
  ASSERT_EQ(try_create(pods(), pod("a", half)), "");
  EXPECT_EQ(shown(quota, {"status", "used"}), R"({"count/configmaps":"0","pods":"1","requests.cpu":"600m"})");
  EXPECT_EQ(
      try_create(pods(), pod("b", half)),
      R"(pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1)");
  // What ends is given back, and so is what has ended but is still there.
  ASSERT_EQ(merge(pods("a", "status"), R"({"status":{"phase":"Succeeded"}})"), "");
  EXPECT_EQ(shown(quota, {"status", "used"}), R"({"count/configmaps":"0","pods":"0","requests.cpu":"0"})");
  ASSERT_EQ(try_create(pods(), pod("b", half)), "");
  ASSERT_EQ(remove(pods("b")), "");
  EXPECT_EQ(shown(quota, {"status", "used", "requests.cpu"}), R"("0")");
  // A quota that comes later counts what is there, and so does a changed one.
  create(of("", "configmaps", "default"), R"({"metadata":{"name":"m"}})");
  EXPECT_EQ(
      try_create(of("", "configmaps", "default"), R"({"metadata":{"name":"o"}})"),
      R"(configmaps "o" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1)");
  ASSERT_EQ(merge(quota, R"({"spec":{"hard":{"count/configmaps":"5","count/secrets":"3"}}})"), "");
  EXPECT_EQ(shown(quota, {"status", "used"}),
            R"({"count/configmaps":"1","count/secrets":"0","pods":"0","requests.cpu":"0"})");
}

struct ScopeCase {
  std::string_view quota, pod;
  bool counted;
};

constexpr ScopeCase kScopes[] = {
    {R"("scopes":["BestEffort"])", R"("containers":[{"name":"c","image":"x"}])", true},
    {R"("scopes":["NotBestEffort"])", R"("containers":[{"name":"c","image":"x"}])", false},
    {R"("scopes":["Terminating"])", R"("activeDeadlineSeconds":5,"containers":[{"name":"c","image":"x"}])", true},
    {R"("scopes":["NotTerminating"])", R"("activeDeadlineSeconds":5,"containers":[{"name":"c","image":"x"}])", false},
    {R"("scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"In","values":["gold"]}]})",
     R"("priorityClassName":"gold","containers":[{"name":"c","image":"x"}])", true},
    {R"("scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"NotIn","values":["gold"]}]})",
     R"("priorityClassName":"gold","containers":[{"name":"c","image":"x"}])", false},
    {R"("scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"DoesNotExist"}]})",
     R"("containers":[{"name":"c","image":"x"}])", true},
};

TEST_F(AdmissionTest, QuotasHaveScopes) {
  create(of("scheduling.k8s.io", "priorityclasses", ""), R"({"metadata":{"name":"gold"},"value":10})");
  int number = 0;
  for (const ScopeCase& one : kScopes) {
    const std::string name = cat("q", ++number);
    create(of("", "resourcequotas", "default"),
           cat(R"({"metadata":{"name":")", name, R"("},"spec":{"hard":{"pods":"9"},)", one.quota, "}}"));
    ASSERT_EQ(try_create(pods(), pod(name, one.pod)), "") << one.pod;
    EXPECT_EQ(shown(of("", "resourcequotas", "default", name), {"status", "used", "pods"}),
              one.counted ? R"("1")" : R"("0")")
        << one.quota;
    remove(of("", "resourcequotas", "default", name));
    remove(pods(name));
  }
}

TEST_F(AdmissionTest, ServicesTakeAndGiveBackAddressesAndPorts) {
  const Target services = of("", "services", "default");
  ASSERT_EQ(try_create(services, R"({"metadata":{"name":"a"},"spec":{"type":"NodePort","clusterIP":"10.96.0.77",
      "ports":[{"name":"t","port":53},{"name":"u","port":53,"protocol":"UDP"}]}})"),
            "");
  const Target a = of("", "services", "default", "a");
  EXPECT_EQ(shown(a, {"spec", "clusterIPs"}), R"(["10.96.0.77"])");
  EXPECT_EQ(shown(a, {"spec", "ipFamilies"}), R"(["IPv4"])");
  EXPECT_TRUE(there(of("networking.k8s.io", "ipaddresses", "", "10.96.0.77")));
  const Document stored = read_json(shown(a)).value();
  const std::span<Value> ports = stored.root.get({"spec", "ports"}).items();
  ASSERT_EQ(ports.size(), 2u);
  EXPECT_GE(ports[0].get("nodePort").as_int(), 30000);
  EXPECT_EQ(ports[0].get("nodePort").as_int(), ports[1].get("nodePort").as_int());
  EXPECT_NE(try_create(services, R"({"metadata":{"name":"b"},"spec":{"clusterIP":"10.96.0.77","ports":[{"port":80}]}})")
                .find("failed to allocate IP 10.96.0.77: provided IP is already allocated"),
            std::string::npos);
  const std::string taken = cat(R"({"metadata":{"name":"b"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":)",
                                ports[0].get("nodePort").as_int(), "}]}}");
  EXPECT_NE(try_create(services, taken).find("provided port is already allocated"), std::string::npos);
  // Another type gives back what it has no use for.
  ASSERT_EQ(merge(a, R"({"spec":{"type":"ClusterIP"}})"), "");
  EXPECT_EQ(try_create(services, taken), "");
  ASSERT_EQ(
      merge(a, R"({"spec":{"type":"ExternalName","externalName":"example.com","clusterIP":null,"clusterIPs":null}})"),
      "");
  EXPECT_FALSE(there(of("networking.k8s.io", "ipaddresses", "", "10.96.0.77")));
  ASSERT_EQ(merge(a, R"({"spec":{"type":"ClusterIP","externalName":null}})"), "");
  EXPECT_NE(shown(a, {"spec", "clusterIP"}), "null");
  ASSERT_EQ(remove(a), "");
  EXPECT_EQ(
      try_create(services, R"({"metadata":{"name":"c"},"spec":{"clusterIP":"10.96.0.77","ports":[{"port":80}]}})"), "");
}

TEST_F(AdmissionTest, StrategiesSetWhatTheServerOwns) {
  create(
      of("batch", "jobs", "default"),
      R"({"metadata":{"name":"j"},"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"x"}]}}}})");
  const Target job = of("batch", "jobs", "default", "j");
  EXPECT_EQ(shown(job, {"spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"}),
            shown(job, {"metadata", "uid"}));
  EXPECT_EQ(shown(job, {"spec", "template", "metadata", "labels", "job-name"}), R"("j")");
  create(
      of("", "persistentvolumeclaims", "default"),
      R"({"metadata":{"name":"p"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}})");
  EXPECT_EQ(shown(of("", "persistentvolumeclaims", "default", "p"), {"metadata", "finalizers"}),
            R"(["kubernetes.io/pvc-protection"])");
  EXPECT_EQ(shown(of("", "persistentvolumeclaims", "default", "p"), {"status"}), R"({"phase":"Pending"})");
  create({.resource = "namespaces"}, R"({"metadata":{"name":"n"}})");
  EXPECT_EQ(shown({.resource = "namespaces", .name = "n"}, {"spec", "finalizers"}), R"(["kubernetes"])");
  EXPECT_TRUE(there(of("", "serviceaccounts", "n", "default")));
  create({.resource = "nodes"}, R"({"metadata":{"name":"w"}})");
  EXPECT_NE(shown({.resource = "nodes", .name = "w"}, {"spec", "taints"}).find("node.kubernetes.io/not-ready"),
            std::string::npos);
}

TEST_F(AdmissionTest, ClaimsStayWhileAPodOnANodeHasThem) {
  const Target claim = of("", "persistentvolumeclaims", "default", "p");
  create(
      of("", "persistentvolumeclaims", "default"),
      R"({"metadata":{"name":"p"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}})");
  ASSERT_EQ(
      try_create(
          pods(),
          pod("a",
              R"("nodeName":"w","volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"p"}}],"containers":[{"name":"c","image":"x"}])")),
      "");
  control();
  ASSERT_EQ(remove(claim), "");
  settle(1);
  EXPECT_TRUE(there(claim));
  ASSERT_EQ(merge(pods("a", "status"), R"({"status":{"phase":"Failed"}})"), "");
  settle(1);
  EXPECT_FALSE(there(claim));
}

TEST_F(AdmissionTest, EveryNamespaceKeepsItsAccount) {
  control();
  ASSERT_EQ(remove(of("", "serviceaccounts", "default", "default")), "");
  settle(1);
  EXPECT_TRUE(there(of("", "serviceaccounts", "default", "default")));
}

TEST_F(AdmissionTest, PodsAreBoundOnce) {
  ASSERT_EQ(try_create(pods(), pod("a")), "");
  ASSERT_EQ(try_create(pods("a", "binding"), R"({"metadata":{"name":"a"},"target":{"kind":"Node","name":"w"}})"), "");
  EXPECT_EQ(shown(pods("a"), {"spec", "nodeName"}), R"("w")");
  EXPECT_NE(shown(pods("a"), {"status", "conditions"}).find(R"("type":"PodScheduled","status":"True")"),
            std::string::npos);
  EXPECT_EQ(try_create(pods("a", "binding"), R"({"metadata":{"name":"a"},"target":{"kind":"Node","name":"v"}})"),
            R"(Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "w")");
}

TEST_F(AdmissionTest, EvictionAsksTheBudget) {
  ASSERT_EQ(try_create(pods(), pod("a", R"("containers":[{"name":"c","image":"x"}])", R"(,"labels":{"app":"a"})")), "");
  ASSERT_EQ(
      merge(pods("a", "status"), R"({"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}})"),
      "");
  create(of("policy", "poddisruptionbudgets", "default"),
         R"({"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"a"}}}})");
  const std::string eviction = R"({"metadata":{"name":"a"}})";
  ApiError said = refused(pods("a", "eviction"), eviction);
  EXPECT_EQ(said.code, 429);
  ASSERT_EQ(said.causes.size(), 1u);
  EXPECT_EQ(said.causes[0].reason, "DisruptionBudget");
  EXPECT_EQ(said.retry_after_seconds, 10);
  Target budget = of("policy", "poddisruptionbudgets", "default", "b");
  budget.subresource = "status";
  ASSERT_EQ(
      merge(
          budget,
          R"({"status":{"observedGeneration":1,"currentHealthy":1,"desiredHealthy":1,"expectedPods":1,"disruptionsAllowed":0}})"),
      "");
  said = refused(pods("a", "eviction"), eviction);
  EXPECT_EQ(said.causes[0].message, "The disruption budget b needs 1 healthy pods and has 1 currently");
  ASSERT_EQ(merge(budget, R"({"status":{"disruptionsAllowed":1}})"), "");
  EXPECT_EQ(try_create(pods("a", "eviction"), eviction), "");
  EXPECT_FALSE(there(pods("a")));
  budget.subresource = "";
  EXPECT_EQ(shown(budget, {"status", "disruptionsAllowed"}), "0");
}

TEST_F(AdmissionTest, ScaleIsAViewOfReplicas) {
  create(
      of("apps", "deployments", "default"),
      R"({"metadata":{"name":"d"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x"}]}}}})");
  Target scale = of("apps", "deployments", "default", "d");
  scale.subresource = "scale";
  ASSERT_EQ(merge(scale, R"({"spec":{"replicas":7}})"), "");
  EXPECT_EQ(shown(of("apps", "deployments", "default", "d"), {"spec", "replicas"}), "7");
  EXPECT_NE(merge(scale, R"({"spec":{"replicas":-1}})").find("must be greater than or equal to 0"), std::string::npos);
}

TEST_F(AdmissionTest, OnlyDebuggersAreAddedToRunningPods) {
  ASSERT_EQ(try_create(pods(), pod("a")), "");
  EXPECT_EQ(merge(pods("a", "ephemeralcontainers"),
                  R"({"spec":{"ephemeralContainers":[{"name":"d","image":"y"}],"hostNetwork":true}})"),
            "");
  EXPECT_EQ(shown(pods("a"), {"spec", "hostNetwork"}), "null");
  EXPECT_NE(
      merge(pods("a", "ephemeralcontainers"), R"({"spec":{"ephemeralContainers":[]}})").find("may not be removed"),
      std::string::npos);
  EXPECT_NE(merge(pods("a"), R"({"spec":{"ephemeralContainers":null}})").find("pod updates may not change fields"),
            std::string::npos);
}

}  // namespace
}  // namespace proa::kube::api
