#include <gtest/gtest.h>

#include "kube/codec/conform.h"
#include "kube/defaulting/defaults.h"
#include "kube/object/json.h"
#include "kube/patch/json_patch.h"
#include "kube/printer/columns.h"
#include "kube/validation/cron.h"
#include "kube/validation/validate.h"

namespace proa::kube {
namespace {

class Objects : public testing::Test {
 protected:
  // As a create request makes it.
  Value made(std::string_view group, std::string_view kind, std::string_view json) {
    const ResourceView resource = find(group, kind);
    Value object = conform(arena_, resource.type(), read_json(arena_, json).value()).value();
    Value& metadata = object.child(arena_, "metadata");
    if (metadata.string("name").empty() && metadata.string("generateName").empty())
      metadata.set(arena_, "name", Value::view("web"));
    if (resource.namespaced() && metadata.string("namespace").empty())
      metadata.set(arena_, "namespace", Value::view("default"));
    metadata.set(arena_, "resourceVersion", Value::view("1"));
    set_defaults(arena_, resource, object);
    return object;
  }
  static ResourceView find(std::string_view group, std::string_view kind) {
    for (const std::string_view version : {"v1", "v2"})
      if (const ResourceView found = builtin().find_kind(group, version, kind)) return found;
    return {};
  }
  std::string told(std::string_view group, std::string_view kind, std::string_view json) {
    return aggregate(validate_create(find(group, kind), made(group, kind, json)));
  }
  // After a merge patch.
  std::string updated(std::string_view group, std::string_view kind, std::string_view json, std::string_view patch) {
    const Value before = made(group, kind, json);
    const Value patched = apply_merge_patch(arena_, before, read_json(arena_, patch).value());
    return aggregate(
        validate_update(find(group, kind), conform(arena_, find(group, kind).type(), patched).value(), before));
  }

  Arena arena_;
};

constexpr std::string_view kPod = R"({"spec":{"containers":[{"name":"c","image":"nginx"}]}})";
constexpr std::string_view kDeployment =
    R"({"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x:1"}]}}}})";

TEST_F(Objects, ValidOnesAreValid) {
  const std::tuple<std::string_view, std::string_view, std::string_view> cases[] = {
      {"", "Pod", kPod},
      {"apps", "Deployment", kDeployment},
      {"apps", "ReplicaSet", kDeployment},
      {"apps", "StatefulSet", kDeployment},
      {"apps", "DaemonSet", kDeployment},
      {"", "Service", R"({"spec":{"ports":[{"port":80}],"selector":{"a":"b"}}})"},
      {"", "Service", R"({"spec":{"type":"ExternalName","externalName":"example.com"}})"},
      {"", "Service", R"({"spec":{"type":"LoadBalancer","ports":[{"port":80,"nodePort":30080}]}})"},
      {"", "ConfigMap", R"({"data":{"a.conf":"x"}})"},
      {"", "Secret", R"({"stringData":{"a":"x"}})"},
      {"", "Namespace", "{}"},
      {"", "ServiceAccount", "{}"},
      {"", "Node", R"({"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}})"},
      {"", "PersistentVolumeClaim",
       R"({"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}})"},
      {"", "PersistentVolume",
       R"({"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"hostPath":{"path":"/x"}}})"},
      {"", "ResourceQuota", R"({"spec":{"hard":{"pods":"10"}}})"},
      {"", "LimitRange", R"({"spec":{"limits":[{"type":"Container","max":{"cpu":"1"}}]}})"},
      {"batch", "CronJob",
       R"({"spec":{"schedule":"*/5 * * * *","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"x"}]}}}}}})"},
      {"networking.k8s.io", "Ingress",
       R"({"spec":{"rules":[{"host":"a.example","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"s","port":{"number":80}}}}]}}]}})"},
      {"networking.k8s.io", "NetworkPolicy",
       R"({"spec":{"podSelector":{},"ingress":[{"from":[{"podSelector":{}}],"ports":[{"port":80}]}]}})"},
      {"rbac.authorization.k8s.io", "Role", R"({"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]})"},
      {"rbac.authorization.k8s.io", "ClusterRole",
       R"({"metadata":{"name":"system:x"},"rules":[{"nonResourceURLs":["/x"],"verbs":["get"]}]})"},
      {"rbac.authorization.k8s.io", "RoleBinding",
       R"({"roleRef":{"kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"u"}]})"},
      {"autoscaling", "HorizontalPodAutoscaler",
       R"({"spec":{"maxReplicas":3,"scaleTargetRef":{"kind":"Deployment","name":"d"}}})"},
      {"policy", "PodDisruptionBudget", R"({"spec":{"minAvailable":"50%","selector":{}}})"},
      {"coordination.k8s.io", "Lease", R"({"spec":{"holderIdentity":"x","leaseDurationSeconds":10}})"},
      {"storage.k8s.io", "StorageClass", R"({"provisioner":"example.com/x"})"},
      {"scheduling.k8s.io", "PriorityClass", R"({"value":10})"},
      {"discovery.k8s.io", "EndpointSlice", R"({"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}]})"},
  };
  for (const auto& [group, kind, json] : cases) {
    const Value object = made(group, kind, json);
    EXPECT_TRUE(validate_create(find(group, kind), object).empty())
        << kind << " " << aggregate(validate_create(find(group, kind), object)) << "\n"
        << write_json(object);
    EXPECT_TRUE(validate_update(find(group, kind), object, object).empty())
        << kind << " " << aggregate(validate_update(find(group, kind), object, object));
  }
}

TEST_F(Objects, FaultsAreToldInUpstreamsWords) {
  const std::tuple<std::string_view, std::string_view, std::string_view, std::string_view> cases[] = {
      {"apps", "Deployment",
       R"({"spec":{"replicas":-1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x"}]}}}})",
       "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
      {"apps", "Deployment",
       R"({"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","image":"x"}]}}}})",
       R"(spec.template.metadata.labels: Invalid value: {"a":"c"}: `selector` does not match template `labels`)"},
      {"apps", "Deployment",
       R"({"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[]}}}})",
       "spec.template.spec.containers: Required value"},
      {"", "Pod", R"({"spec":{"containers":[{"name":"c","image":"x"},{"name":"c","image":"x"}]}})",
       R"(spec.containers[1].name: Duplicate value: "c")"},
      {"", "Pod", R"({"spec":{"containers":[{"name":"c"}]}})", "spec.containers[0].image: Required value"},
      {"", "Pod", R"({"spec":{"restartPolicy":"Sometimes","containers":[{"name":"c","image":"x"}]}})",
       R"(spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure")"},
      {"", "Pod",
       R"({"spec":{"containers":[{"name":"c","image":"x","volumeMounts":[{"name":"v","mountPath":"/v"}]}]}})",
       R"(spec.containers[0].volumeMounts[0].name: Not found: "v")"},
      {"", "Pod", R"({"spec":{"containers":[{"name":"c","image":"x","ports":[{"containerPort":70000}]}]}})",
       "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"},
      {"", "Pod",
       R"({"spec":{"containers":[{"name":"c","image":"x","resources":{"limits":{"cpu":"1"},"requests":{"cpu":"2"}}}]}})",
       R"(spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1)"},
      {"", "Pod", R"({"metadata":{"name":"Bad_Name"},"spec":{"containers":[{"name":"c","image":"x"}]}})",
       R"(metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'))"},
      {"", "Service", R"({"spec":{"ports":[]}})", "spec.ports: Required value"},
      {"", "Service", R"({"spec":{"ports":[{"port":80},{"port":81}]}})",
       "[spec.ports[0].name: Required value, spec.ports[1].name: Required value]"},
      {"", "ConfigMap", R"({"data":{"a/b":"x"}})",
       R"(data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+'))"},
      {"", "Secret", R"({"type":"kubernetes.io/tls","data":{"tls.crt":""}})", "data[tls.key]: Required value"},
      {"rbac.authorization.k8s.io", "Role", R"({"rules":[{"apiGroups":[""],"resources":["pods"]}]})",
       "rules[0].verbs: Required value: verbs must contain at least one value"},
      {"batch", "CronJob",
       R"({"spec":{"schedule":"nope","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"x"}]}}}}}})",
       R"(spec.schedule: Invalid value: "nope": expected exactly 5 fields, found 1: [nope])"},
      {"networking.k8s.io", "Ingress", "{}",
       "spec: Invalid value: {}: either `defaultBackend` or `rules` must be specified"},
      {"autoscaling", "HorizontalPodAutoscaler",
       R"({"spec":{"minReplicas":5,"maxReplicas":3,"scaleTargetRef":{"kind":"Deployment","name":"d"}}})",
       "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"},
      {"scheduling.k8s.io", "PriorityClass", R"({"value":2000000000})",
       "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"},
  };
  for (const auto& [group, kind, json, message] : cases) EXPECT_EQ(told(group, kind, json), message) << kind;
}

TEST_F(Objects, UpdatesMayNotChangeWhatIsFixed) {
  EXPECT_EQ(
      updated(
          "apps", "Deployment", kDeployment,
          R"({"spec":{"selector":{"matchLabels":{"a":"b","c":"d"}},"template":{"metadata":{"labels":{"c":"d"}}}}})"),
      R"(spec.selector: Invalid value: {"matchLabels":{"a":"b","c":"d"}}: field is immutable)");
  EXPECT_EQ(updated("apps", "Deployment", kDeployment, R"({"spec":{"replicas":3}})"), "");
  EXPECT_EQ(updated("", "Pod", kPod, R"({"metadata":{"labels":{"a":"b"}}})"), "");
  EXPECT_TRUE(
      updated("", "Pod", kPod, R"({"spec":{"hostNetwork":true}})")
          .starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"));
  EXPECT_EQ(updated("", "ConfigMap", R"({"immutable":true,"data":{"a":"b"}})", R"({"data":{"a":"c"}})"),
            "data: Forbidden: field is immutable when `immutable` is set");
  EXPECT_TRUE(updated("", "PersistentVolumeClaim",
                      R"({"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"2Gi"}}}})",
                      R"({"spec":{"accessModes":["ReadOnlyMany"]}})")
                  .starts_with("spec: Forbidden: spec is immutable after creation"));
}

TEST_F(Objects, StatusHasTheCauses) {
  const ApiError error =
      invalid("apps", "Deployment", "web",
              {{FieldError::Type::kInvalid, "spec.replicas", "-1", "must be greater than or equal to 0"}});
  EXPECT_EQ(
      write_json(error.status(arena_)),
      R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0","reason":"Invalid","details":{"name":"web","group":"apps","kind":"Deployment","causes":[{"reason":"FieldValueInvalid","message":"Invalid value: -1: must be greater than or equal to 0","field":"spec.replicas"}]},"code":422})");
}

TEST_F(Objects, DefaultsAreUpstreams) {
  EXPECT_EQ(
      write_json(made("", "Pod", kPod).get("spec")),
      R"({"containers":[{"name":"c","image":"nginx","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"Always"}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler","enableServiceLinks":true})");
  EXPECT_EQ(
      write_json(made("", "Service", R"({"spec":{"type":"NodePort","ports":[{"port":80}]}})").get("spec")),
      R"({"ports":[{"protocol":"TCP","port":80,"targetPort":80}],"type":"NodePort","sessionAffinity":"None","externalTrafficPolicy":"Cluster","internalTrafficPolicy":"Cluster"})");
  EXPECT_EQ(write_json(made("apps", "Deployment", kDeployment).get({"spec", "strategy"})),
            R"({"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"25%","maxSurge":"25%"}})");
  EXPECT_EQ(write_json(made("", "Secret", R"({"stringData":{"a":"x"}})").get("data")), R"({"a":"eA=="})");
}

TEST_F(Objects, DecodingErrorsAreGos) {
  const auto told_decoding = [&](std::string_view json) {
    return conform(arena_, find("apps", "Deployment").type(), read_json(arena_, json).value()).error().message();
  };
  EXPECT_EQ(told_decoding(R"({"spec":{"replicas":"3"}})"),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32");
  EXPECT_EQ(
      told_decoding(R"({"spec":{"template":{"spec":{"containers":[{"name":1}]}}}})"),
      "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.name of type string");
  EXPECT_EQ(told_decoding("[]"), "json: cannot unmarshal array into Go value of type v1.Deployment");
}

TEST_F(Objects, RowsAreKubectls) {
  const Value pod = made(
      "", "Pod",
      R"({"metadata":{"name":"p","creationTimestamp":"2024-01-01T00:00:00Z"},"spec":{"nodeName":"n1","containers":[{"name":"a","image":"x"},{"name":"b","image":"x"}]},"status":{"phase":"Running","podIP":"10.0.0.1","containerStatuses":[{"name":"a","ready":true,"restartCount":2,"state":{"running":{}}},{"name":"b","ready":false,"restartCount":1,"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}})");
  EXPECT_EQ(write_json(table_cells(arena_, find("", "Pod"), pod, 1704067200 + 300)),
            R"(["p","1/2","CrashLoopBackOff","3","5m","10.0.0.1","n1","\u003cnone\u003e","\u003cnone\u003e"])");
  const Value service = made(
      "", "Service",
      R"({"metadata":{"name":"s"},"spec":{"type":"NodePort","clusterIP":"10.1.1.1","ports":[{"port":80,"nodePort":30080},{"name":"u","port":53,"protocol":"UDP"}]}})");
  EXPECT_EQ(
      write_json(table_cells(arena_, find("", "Service"), service, 0)),
      R"(["s","NodePort","10.1.1.1","\u003cnone\u003e","80:30080/TCP,53/UDP","\u003cunknown\u003e","\u003cnone\u003e"])");
}

TEST(Cron, SchedulesAreRead) {
  const auto at = [](std::string_view schedule, int minute, int hour, int day, int month, int weekday) {
    const auto parsed = CronSchedule::parse(schedule);
    return parsed && parsed->matches(minute, hour, day, month, weekday);
  };
  EXPECT_TRUE(at("*/15 * * * *", 45, 3, 1, 1, 1));
  EXPECT_FALSE(at("*/15 * * * *", 46, 3, 1, 1, 1));
  EXPECT_TRUE(at("0 9-17/2 * jan mon-fri", 0, 11, 5, 1, 5));
  EXPECT_TRUE(at("0 0 13 * 5", 0, 0, 13, 2, 1)) << "day or weekday";
  EXPECT_TRUE(at("@daily", 0, 0, 3, 4, 5));
  for (const std::string_view bad :
       {"", "* * * *", "60 * * * *", "a * * * *", "*/0 * * * *", "5-1 * * * *", "@never", "* * * * * *"})
    EXPECT_FALSE(CronSchedule::parse(bad)) << bad;
}

}  // namespace
}  // namespace proa::kube
