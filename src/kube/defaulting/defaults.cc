#include "kube/defaulting/defaults.h"

#include <algorithm>

#include "base/error.h"
#include "kube/codec/conform.h"
#include "net/base64.h"

namespace proa::kube {
namespace {

void set_missing(Arena& arena, Value& object, std::string_view key, const Value& value) {
  const Value* found = object.find(key);
  if (found == nullptr || found->is_null()) object.set(arena, key, value);
}

// "latest", or no tag and no digest.
bool is_latest(std::string_view image) {
  if (image.find('@') != std::string_view::npos) return false;
  const size_t slash = image.rfind('/');
  const std::string_view name = image.substr(slash == std::string_view::npos ? 0 : slash + 1);
  const size_t colon = name.find(':');
  return colon == std::string_view::npos || name.substr(colon + 1) == "latest";
}

void default_container(Arena& arena, Value& container) {
  if (container.string("imagePullPolicy").empty())
    container.set(arena, "imagePullPolicy",
                  Value::view(is_latest(container.string("image")) ? "Always" : "IfNotPresent"));
  // A limit without a request is the request.
  const Value limits = container.get({"resources", "limits"});
  if (limits.size() == 0) return;
  Value& requests = container.find("resources")->child(arena, "requests");
  for (const Member& limit : limits.members()) set_missing(arena, requests, limit.key, limit.value);
}

void default_pod_spec(Arena& arena, Value& spec) {
  const bool host = spec.get("hostNetwork").as_bool();
  for (const std::string_view list : {"initContainers", "containers", "ephemeralContainers"})
    for (Value& container : spec.get(list).items()) {
      if (list != "ephemeralContainers")
        default_container(arena, container);
      else if (container.string("imagePullPolicy").empty())
        container.set(arena, "imagePullPolicy",
                      Value::view(is_latest(container.string("image")) ? "Always" : "IfNotPresent"));
      if (host)
        for (Value& port : container.get("ports").items())
          set_missing(arena, port, "hostPort", port.get("containerPort"));
    }
  for (Value& volume : spec.get("volumes").items())
    if (volume.size() == 1) volume.add(arena, "emptyDir", Value::object(arena));
  // The old name follows the new one.
  const Value account = spec.get("serviceAccountName");
  if (!account.as_string().empty())
    spec.set(arena, "serviceAccount", account);
  else if (const Value old = spec.get("serviceAccount"); !old.as_string().empty())
    spec.set(arena, "serviceAccountName", old);
}

void default_template(Arena& arena, Value& object, std::initializer_list<std::string_view> path) {
  if (Value* spec = object.find(path); spec != nullptr && spec->is_object()) default_pod_spec(arena, *spec);
}

void default_pod(Arena& arena, Value& pod) { default_template(arena, pod, {"spec"}); }
void default_templated(Arena& arena, Value& object) { default_template(arena, object, {"spec", "template", "spec"}); }
void default_pod_template(Arena& arena, Value& object) { default_template(arena, object, {"template", "spec"}); }

void default_service(Arena& arena, Value& service) {
  Value& spec = service.child(arena, "spec");
  const std::string_view type = spec.string("type");
  for (Value& port : spec.get("ports").items()) {
    const Value target = port.get("targetPort");
    const bool unset = target.is_null() || (target.is_int() && target.as_int() == 0) ||
                       (target.is_string() && target.as_string().empty());
    if (unset) port.set(arena, "targetPort", port.get("port"));
  }
  if (spec.string("sessionAffinity") == "ClientIP")
    set_missing(arena, spec.child(arena, "sessionAffinityConfig").child(arena, "clientIP"), "timeoutSeconds",
                Value::integer(10800));
  const bool external =
      type == "NodePort" || type == "LoadBalancer" || (type == "ClusterIP" && spec.get("externalIPs").size() > 0);
  if (external && spec.string("externalTrafficPolicy").empty())
    spec.set(arena, "externalTrafficPolicy", Value::view("Cluster"));
  if (type != "ExternalName") set_missing(arena, spec, "internalTrafficPolicy", Value::view("Cluster"));
  if (type == "LoadBalancer") set_missing(arena, spec, "allocateLoadBalancerNodePorts", Value::boolean(true));
}

void default_namespace(Arena& arena, Value& space) {
  const std::string_view name = space.string({"metadata", "name"});
  if (!name.empty())
    space.child(arena, "metadata").child(arena, "labels").set(arena, "kubernetes.io/metadata.name", Value::view(name));
}

void default_controller(Arena& arena, Value& controller) {
  const Value labels = controller.get({"spec", "template", "metadata", "labels"});
  if (labels.size() > 0) {
    Value& spec = controller.child(arena, "spec");
    if (spec.get("selector").size() == 0) spec.set(arena, "selector", clone_shape(arena, labels));
    Value& metadata = controller.child(arena, "metadata");
    if (metadata.get("labels").size() == 0) metadata.set(arena, "labels", clone_shape(arena, labels));
  }
  default_templated(arena, controller);
}

void default_node(Arena& arena, Value& node) {
  Value& status = node.child(arena, "status");
  const Value capacity = status.get("capacity");
  if (capacity.size() > 0 && status.get("allocatable").size() == 0)
    status.set(arena, "allocatable", clone_shape(arena, capacity));
}

void default_limit_range(Arena& arena, Value& range) {
  for (Value& limit : range.get({"spec", "limits"}).items()) {
    if (limit.string("type") != "Container") continue;
    // max → default → defaultRequest ← min
    for (const auto& [from, to] :
         {std::pair("max", "default"), std::pair("default", "defaultRequest"), std::pair("min", "defaultRequest")}) {
      const Value source = limit.get(from);
      if (source.size() == 0) continue;
      Value& target = limit.child(arena, to);
      for (const Member& member : source.members()) set_missing(arena, target, member.key, member.value);
    }
  }
}

void default_deployment(Arena& arena, Value& deployment) {
  Value& strategy = deployment.child(arena, "spec").child(arena, "strategy");
  if (strategy.string("type") == "RollingUpdate") {
    Value& rolling = strategy.child(arena, "rollingUpdate");
    set_missing(arena, rolling, "maxUnavailable", Value::view("25%"));
    set_missing(arena, rolling, "maxSurge", Value::view("25%"));
  }
  default_templated(arena, deployment);
}

void default_daemon_set(Arena& arena, Value& set) {
  Value& strategy = set.child(arena, "spec").child(arena, "updateStrategy");
  if (strategy.string("type") == "RollingUpdate") {
    Value& rolling = strategy.child(arena, "rollingUpdate");
    set_missing(arena, rolling, "maxUnavailable", Value::integer(1));
    set_missing(arena, rolling, "maxSurge", Value::integer(0));
  }
  default_templated(arena, set);
}

void default_stateful_set(Arena& arena, Value& set) {
  Value& strategy = set.child(arena, "spec").child(arena, "updateStrategy");
  if (strategy.string("type") == "RollingUpdate")
    set_missing(arena, strategy.child(arena, "rollingUpdate"), "partition", Value::integer(0));
  default_templated(arena, set);
}

void default_job_spec(Arena& arena, Value& spec) {
  // A job of neither is one pod; a work queue has no completions.
  if (spec.get("completions").is_null() && spec.get("parallelism").is_null()) {
    spec.set(arena, "completions", Value::integer(1));
    spec.set(arena, "parallelism", Value::integer(1));
  }
  set_missing(arena, spec, "parallelism", Value::integer(1));
  const bool per_index = !spec.get("backoffLimitPerIndex").is_null();
  set_missing(arena, spec, "backoffLimit", Value::integer(per_index ? 2147483647 : 6));
  const bool failure_policy = !spec.get("podFailurePolicy").is_null();
  set_missing(arena, spec, "podReplacementPolicy", Value::view(failure_policy ? "Failed" : "TerminatingOrFailed"));
  for (Value& rule : spec.get({"podFailurePolicy", "rules"}).items())
    for (Value& condition : rule.get("onPodConditions").items())
      if (condition.string("status").empty()) condition.set(arena, "status", Value::view("True"));
  default_template(arena, spec, {"template", "spec"});
}

void default_job(Arena& arena, Value& job) {
  const Value labels = job.get({"spec", "template", "metadata", "labels"});
  Value& metadata = job.child(arena, "metadata");
  if (labels.size() > 0 && metadata.get("labels").size() == 0)
    metadata.set(arena, "labels", clone_shape(arena, labels));
  Value& spec = job.child(arena, "spec");
  set_missing(arena, spec, "completionMode", Value::view("NonIndexed"));
  set_missing(arena, spec, "suspend", Value::boolean(false));
  default_job_spec(arena, spec);
}

void default_cron_job(Arena& arena, Value& object) {
  // A job made later defaults its own completions; only its pods are set here.
  default_template(arena, object, {"spec", "jobTemplate", "spec", "template", "spec"});
}

void default_network_policy(Arena& arena, Value& policy) {
  Value& spec = policy.child(arena, "spec");
  if (spec.get("policyTypes").size() > 0) return;
  Value types = Value::array(arena, 2);
  types.push(arena, Value::view("Ingress"));
  if (spec.get("egress").size() > 0) types.push(arena, Value::view("Egress"));
  spec.set(arena, "policyTypes", types);
}

void default_subjects(Arena& arena, Value& binding) {
  for (Value& subject : binding.get("subjects").items()) {
    const std::string_view kind = subject.string("kind");
    if ((kind == "User" || kind == "Group") && subject.string("apiGroup").empty())
      subject.set(arena, "apiGroup", Value::view("rbac.authorization.k8s.io"));
  }
}

void default_scaling_rules(Arena& arena, Value& rules, bool up) {
  if (up) set_missing(arena, rules, "stabilizationWindowSeconds", Value::integer(0));
  set_missing(arena, rules, "selectPolicy", Value::view("Max"));
  if (rules.get("policies").size() > 0) return;
  const auto policy = [&](std::string_view type, int64_t value) {
    Value out = Value::object(arena, 3);
    out.add(arena, "type", Value::view(type));
    out.add(arena, "value", Value::integer(value));
    out.add(arena, "periodSeconds", Value::integer(15));
    return out;
  };
  Value policies = Value::array(arena, 2);
  if (up) policies.push(arena, policy("Pods", 4));
  policies.push(arena, policy("Percent", 100));
  rules.set(arena, "policies", policies);
}

void default_autoscaler(Arena& arena, Value& scaler) {
  Value& spec = scaler.child(arena, "spec");
  if (spec.find("targetCPUUtilizationPercentage") != nullptr || scaler.string("apiVersion") == "autoscaling/v1") return;
  if (spec.get("metrics").size() == 0) {
    Value target = Value::object(arena, 2);
    target.add(arena, "type", Value::view("Utilization"));
    target.add(arena, "averageUtilization", Value::integer(80));
    Value resource = Value::object(arena, 2);
    resource.add(arena, "name", Value::view("cpu"));
    resource.add(arena, "target", target);
    Value metric = Value::object(arena, 2);
    metric.add(arena, "type", Value::view("Resource"));
    metric.add(arena, "resource", resource);
    Value metrics = Value::array(arena, 1);
    metrics.push(arena, metric);
    spec.set(arena, "metrics", metrics);
  }
  Value* behavior = spec.find("behavior");
  if (behavior == nullptr || !behavior->is_object()) return;
  default_scaling_rules(arena, behavior->child(arena, "scaleUp"), true);
  default_scaling_rules(arena, behavior->child(arena, "scaleDown"), false);
}

void default_definition(Arena& arena, Value& definition) {
  Value& names = definition.child(arena, "spec").child(arena, "names");
  const std::string_view kind = names.string("kind");
  if (names.string("singular").empty()) {
    std::string singular(kind);
    std::ranges::transform(singular, singular.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    names.set(arena, "singular", Value::text(arena, singular));
  }
  if (names.string("listKind").empty() && !kind.empty())
    names.set(arena, "listKind", Value::text(arena, cat(kind, "List")));
}

void default_priority_level(Arena& arena, Value& level) {
  Value& spec = level.child(arena, "spec");
  const std::string_view type = spec.string("type");
  if (type == "Exempt") {
    Value& exempt = spec.child(arena, "exempt");
    set_missing(arena, exempt, "nominalConcurrencyShares", Value::integer(0));
    set_missing(arena, exempt, "lendablePercent", Value::integer(0));
  }
}

void default_secret(Arena& arena, Value& secret) {
  // stringData is write-only: it goes over data.
  const Value texts = secret.get("stringData");
  if (texts.size() > 0) {
    Value& data = secret.child(arena, "data");
    for (const Member& member : texts.members())
      data.set(arena, member.key, Value::text(arena, net::base64_encode(member.value.as_string())));
  }
  secret.erase("stringData");
}

struct Rule {
  std::string_view group, kind;
  void (*set)(Arena&, Value&);
};

constexpr Rule kRules[] = {
    {"", "Pod", default_pod},
    {"", "PodTemplate", default_pod_template},
    {"", "Service", default_service},
    {"", "Namespace", default_namespace},
    {"", "ReplicationController", default_controller},
    {"", "Node", default_node},
    {"", "LimitRange", default_limit_range},
    {"", "Secret", default_secret},
    {"apps", "Deployment", default_deployment},
    {"apps", "ReplicaSet", default_templated},
    {"apps", "DaemonSet", default_daemon_set},
    {"apps", "StatefulSet", default_stateful_set},
    {"batch", "Job", default_job},
    {"batch", "CronJob", default_cron_job},
    {"networking.k8s.io", "NetworkPolicy", default_network_policy},
    {"rbac.authorization.k8s.io", "RoleBinding", default_subjects},
    {"rbac.authorization.k8s.io", "ClusterRoleBinding", default_subjects},
    {"autoscaling", "HorizontalPodAutoscaler", default_autoscaler},
    {"apiextensions.k8s.io", "CustomResourceDefinition", default_definition},
    {"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", default_priority_level},
};

}  // namespace

void set_defaults(Arena& arena, const ResourceView& resource, Value& object) {
  const std::string_view group = resource.group_version().group();
  for (const Rule& rule : kRules)
    if (rule.kind == resource.kind() && rule.group == group) return rule.set(arena, object);
}

}  // namespace proa::kube
