// Which strategy each built-in resource has.
#include <algorithm>

#include "kube/apiserver/registry/definitions.h"
#include "kube/apiserver/registry/strategies/strategies.h"

namespace proa::kube::api {
namespace {

struct Entry {
  std::string_view group, resource;
  Strategy strategy;
};

constexpr Strategy kPlain;
// What upstream counts no generations of.
constexpr Strategy kUncounted{.generation = false};
constexpr Strategy kWorkload{.warn = warn_of_workload};
constexpr Strategy kAccess{.create_on_update = true, .generation = false};
constexpr Strategy kStorage{.generation = false, .returns_deleted = true};
constexpr Strategy kVersioned{.unconditional_update = false};
constexpr Strategy kVersionedUncounted{.unconditional_update = false, .generation = false};

constexpr Entry kEntries[] = {
    // core
    {"", "configmaps", kUncounted},
    {"", "endpoints", {.create_on_update = true, .generation = false}},
    {"", "events", {.create_on_update = true, .generation = false}},
    {"events.k8s.io", "events", {.create_on_update = true, .generation = false}},
    {"", "limitranges", {.create_on_update = true, .generation = false}},
    {"",
     "namespaces",
     {.prepare = prepare_namespace,
      .allocate = furnish_namespace,
      .keeps = namespace_keeps,
      .deleting = namespace_deleting,
      .generation = false,
      .returns_deleted = true}},
    {"", "nodes", {.warn = warn_of_node, .generation = false, .status_on_create = true}},
    {"",
     "persistentvolumeclaims",
     {.prepare = prepare_claim, .warn = warn_of_claim, .generation = false, .returns_deleted = true}},
    {"",
     "persistentvolumes",
     {.prepare = prepare_volume, .warn = warn_of_volume, .generation = false, .returns_deleted = true}},
    {"",
     "pods",
     {.prepare = prepare_pod,
      .allocate = check_pod_change,
      .warn = warn_of_pod,
      .grace_seconds = pod_grace_seconds,
      .returns_deleted = true}},
    {"", "podtemplates", {.warn = warn_of_workload, .returns_deleted = true}},
    {"", "replicationcontrollers", kWorkload},
    {"", "resourcequotas", {.allocate = fill_quota, .generation = false, .returns_deleted = true}},
    {"", "secrets", kUncounted},
    {"",
     "serviceaccounts",
     {.prepare = prepare_service_account,
      .warn = warn_of_service_account,
      .generation = false,
      .returns_deleted = true}},
    {"",
     "services",
     {.prepare = prepare_service,
      .allocate = allocate_service,
      .warn = warn_of_service,
      .removed = release_service,
      .create_on_update = true,
      .generation = false,
      .returns_deleted = true}},
    // workloads
    {"apps", "controllerrevisions", kUncounted},
    {"apps", "daemonsets", {.prepare = prepare_daemon_set, .warn = warn_of_workload}},
    {"apps", "deployments", kWorkload},
    {"apps", "replicasets", kWorkload},
    {"apps", "statefulsets", kWorkload},
    {"batch", "cronjobs", {.warn = warn_of_cron_job}},
    {"batch", "jobs", {.prepare = prepare_job, .warn = warn_of_workload}},
    {"autoscaling", "horizontalpodautoscalers", kUncounted},
    {"policy", "poddisruptionbudgets", kVersioned},
    // network
    {"discovery.k8s.io", "endpointslices", kPlain},
    {"networking.k8s.io", "ingresses", {.warn = warn_of_ingress}},
    {"networking.k8s.io", "ipaddresses", kUncounted},
    {"networking.k8s.io",
     "servicecidrs",
     {.prepare = prepare_service_cidr, .generation = false, .status_on_create = true}},
    // access
    {"certificates.k8s.io",
     "certificatesigningrequests",
     {.prepare = prepare_certificate_request, .generation = false}},
    {"rbac.authorization.k8s.io", "roles", kAccess},
    {"rbac.authorization.k8s.io", "rolebindings", kAccess},
    {"rbac.authorization.k8s.io", "clusterroles", kAccess},
    {"rbac.authorization.k8s.io", "clusterrolebindings", kAccess},
    // storage
    {"storage.k8s.io", "csidrivers", {.unconditional_update = false, .generation = false, .returns_deleted = true}},
    {"storage.k8s.io", "csinodes", {.unconditional_update = false, .generation = false, .returns_deleted = true}},
    {"storage.k8s.io", "csistoragecapacities", kStorage},
    {"storage.k8s.io", "storageclasses", kStorage},
    {"storage.k8s.io",
     "volumeattachments",
     {.unconditional_update = false, .generation = false, .returns_deleted = true}},
    {"storage.k8s.io", "volumeattributesclasses", kStorage},
    // the rest
    {"admissionregistration.k8s.io", "mutatingwebhookconfigurations", kVersioned},
    {"admissionregistration.k8s.io", "validatingwebhookconfigurations", kVersioned},
    {"admissionregistration.k8s.io", "validatingadmissionpolicies", kVersioned},
    {"admissionregistration.k8s.io", "validatingadmissionpolicybindings", kVersioned},
    {"apiextensions.k8s.io",
     "customresourcedefinitions",
     {.allocate = settle_definition_status,
      .warn = warn_of_definition,
      .deleting = definition_deleting,
      .unconditional_update = false,
      .defines = true}},
    {"coordination.k8s.io", "leases", {.create_on_update = true, .unconditional_update = false, .generation = false}},
    {"node.k8s.io", "runtimeclasses", kVersionedUncounted},
    {"resource.k8s.io", "resourceclaims", kUncounted},
    {"resource.k8s.io", "resourceclaimtemplates", kUncounted},
};

}  // namespace

const Strategy& strategy_of(std::string_view group, std::string_view resource) {
  const auto found = std::ranges::find_if(
      kEntries, [&](const Entry& entry) { return entry.group == group && entry.resource == resource; });
  return found == std::end(kEntries) ? kPlain : found->strategy;
}

const Strategy& custom_strategy() { return kVersioned; }

}  // namespace proa::kube::api
