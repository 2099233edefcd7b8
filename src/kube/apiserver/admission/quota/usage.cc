#include "kube/apiserver/admission/quota/usage.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "base/error.h"

namespace proa::kube::api::quota {
namespace {

bool is(const Resource& resource, std::string_view group, std::string_view plural) {
  return resource.view.plural() == plural && resource.group() == group;
}

// Resources whose number has had a name of its own before count/R.G.
bool has_plain_name(const Resource& resource) {
  static constexpr std::string_view kNames[] = {"pods",          "services",   "replicationcontrollers",
                                                "secrets",       "configmaps", "persistentvolumeclaims",
                                                "resourcequotas"};
  return resource.group().empty() && std::ranges::find(kNames, resource.view.plural()) != std::end(kNames);
}

bool ended(const Value& pod) {
  const std::string_view phase = pod.string({"status", "phase"});
  return phase == "Succeeded" || phase == "Failed";
}

void add_pod(const Value& pod, Amounts& out) {
  if (ended(pod)) {
    out.erase("pods");
    return;
  }
  const PodResources resources = pod_resources(pod.get("spec"), pod.get("status"));
  for (const auto& [name, amount] : resources.requests) {
    const bool standard = name == "cpu" || name == "memory" || name == "ephemeral-storage";
    if (standard || name.starts_with("hugepages-")) out[name] = amount;
    out[cat("requests.", name)] = amount;
  }
  for (const auto& [name, amount] : resources.limits)
    if (name == "cpu" || name == "memory" || name == "ephemeral-storage") out[cat("limits.", name)] = amount;
}

void add_service(const Value& service, Amounts& out) {
  const std::string_view type = service.string({"spec", "type"});
  const std::span<Value> ports = service.get({"spec", "ports"}).items();
  int64_t node_ports = 0;
  if (type == "NodePort") node_ports = static_cast<int64_t>(ports.size());
  if (type == "LoadBalancer") {
    const Value allocates = service.get({"spec", "allocateLoadBalancerNodePorts"});
    const bool all = !allocates.is_bool() || allocates.as_bool();
    node_ports =
        all ? static_cast<int64_t>(ports.size())
            : std::ranges::count_if(ports, [](const Value& port) { return port.get("nodePort").as_int() != 0; });
  }
  out["services.nodeports"] = Quantity(node_ports);
  out["services.loadbalancers"] = Quantity(type == "LoadBalancer" ? 1 : 0);
}

void add_claim(const Value& claim, Amounts& out) {
  std::string_view storage_class = claim.string({"metadata", "annotations", "volume.beta.kubernetes.io/storage-class"});
  if (storage_class.empty()) storage_class = claim.string({"spec", "storageClassName"});
  Amounts size = amounts_of(claim.get({"spec", "resources", "requests"}));
  raise_amounts(size, amounts_of(claim.get({"status", "allocatedResources"})));
  const auto storage = size.find("storage");
  if (storage != size.end()) out["requests.storage"] = storage->second;
  if (storage_class.empty()) return;
  const std::string prefix = cat(storage_class, ".storageclass.storage.k8s.io/");
  out[prefix + "persistentvolumeclaims"] = Quantity(1);
  if (storage != size.end()) out[prefix + "requests.storage"] = storage->second;
}

// --- scopes

struct Scope {
  std::string_view name, op;
  Value values;
};

std::vector<Scope> scopes_of(const Value& quota_spec) {
  std::vector<Scope> out;
  for (const Value& name : quota_spec.get("scopes").items()) out.push_back({name.as_string(), "Exists", Value()});
  for (const Value& term : quota_spec.get({"scopeSelector", "matchExpressions"}).items())
    out.push_back({term.string("scopeName"), term.string("operator"), term.get("values")});
  return out;
}

// Of a value that may be missing.
bool matches(const Scope& scope, std::string_view value) {
  const std::span<Value> values = scope.values.items();
  const bool listed = std::ranges::any_of(values, [&](const Value& one) { return one.as_string() == value; });
  if (scope.op == "Exists") return !value.empty();
  if (scope.op == "DoesNotExist") return value.empty();
  if (scope.op == "In") return !value.empty() && listed;
  return value.empty() || !listed;  // NotIn
}

bool crosses_namespaces(const Value& spec) {
  const auto crosses = [](const Value& term) {
    return term.get("namespaces").size() > 0 || !term.get("namespaceSelector").is_null();
  };
  for (const std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
    const Value affinity = spec.get({"affinity", kind});
    for (const Value& term : affinity.get("requiredDuringSchedulingIgnoredDuringExecution").items())
      if (crosses(term)) return true;
    for (const Value& term : affinity.get("preferredDuringSchedulingIgnoredDuringExecution").items())
      if (crosses(term.get("podAffinityTerm"))) return true;
  }
  return false;
}

bool pod_in(const Scope& scope, const Value& pod) {
  const Value spec = pod.get("spec");
  if (scope.name == "Terminating") return spec.get("activeDeadlineSeconds").is_int();
  if (scope.name == "NotTerminating") return !spec.get("activeDeadlineSeconds").is_int();
  if (scope.name == "BestEffort") return qos_class(spec) == "BestEffort";
  if (scope.name == "NotBestEffort") return qos_class(spec) != "BestEffort";
  if (scope.name == "PriorityClass") return matches(scope, spec.string("priorityClassName"));
  if (scope.name == "CrossNamespacePodAffinity") return crosses_namespaces(spec);
  return false;
}

// The class it is to have, has, or is being changed to.
bool claim_in(const Scope& scope, const Value& claim) {
  if (scope.name != "VolumeAttributesClass") return false;
  std::set<std::string_view> classes;
  for (const std::string_view name :
       {claim.string({"spec", "volumeAttributesClassName"}),
        claim.string({"status", "currentVolumeAttributesClassName"}),
        claim.string({"status", "modifyVolumeStatus", "targetVolumeAttributesClassName"})})
    if (!name.empty()) classes.insert(name);
  if (classes.empty()) return matches(scope, "");
  return std::ranges::any_of(classes, [&](std::string_view name) { return matches(scope, name); });
}

// What a resource's objects are counted by, and whether their bytes have to be read for that.
bool needs_objects(const Resource& resource, const Value& quota_spec) {
  return is(resource, "", "pods") || is(resource, "", "services") || is(resource, "", "persistentvolumeclaims") ||
         !scopes_of(quota_spec).empty();
}

bool looks_at(const Resource& resource, const Value& hard) {
  const std::string count = cat("count/", resource.qualified);
  for (const Member& member : hard.members()) {
    const std::string_view name = member.key;
    if (name == count) return true;
    if (has_plain_name(resource) && name == resource.view.plural()) return true;
    if (is(resource, "", "services") && name.starts_with("services.")) return true;
    const bool storage =
        name == "requests.storage" || name.find(".storageclass.storage.k8s.io/") != std::string_view::npos;
    if (is(resource, "", "persistentvolumeclaims") && storage) return true;
    if (is(resource, "", "pods") && !storage && !name.starts_with("count/") && !name.starts_with("services") &&
        (name.starts_with("requests.") || name.starts_with("limits.") || name.starts_with("hugepages-") ||
         name == "cpu" || name == "memory" || name == "ephemeral-storage"))
      return true;
  }
  return false;
}

}  // namespace

bool counted(const Resource& resource) { return resource.namespaced() && resource.view.plural() != "events"; }

Amounts usage_of(const Resource& resource, const Value& object) {
  Amounts out;
  out[cat("count/", resource.qualified)] = Quantity(1);
  if (has_plain_name(resource)) out[std::string(resource.view.plural())] = Quantity(1);
  if (is(resource, "", "pods")) add_pod(object, out);
  if (is(resource, "", "services")) add_service(object, out);
  if (is(resource, "", "persistentvolumeclaims")) add_claim(object, out);
  return out;
}

bool in_scope(const Resource& resource, const Value& object, const Value& quota_spec) {
  const bool pod = is(resource, "", "pods"), claim = is(resource, "", "persistentvolumeclaims");
  for (const Scope& scope : scopes_of(quota_spec))
    if (!(pod && pod_in(scope, object)) && !(claim && claim_in(scope, object))) return false;
  return true;
}

Amounts usage_in(const Resource& resource, const Value& object, const Value& quota_spec) {
  Amounts out;
  if (object.is_null() || !in_scope(resource, object, quota_spec)) return out;
  const Value hard = quota_spec.get("hard");
  for (auto& [name, amount] : usage_of(resource, object))
    if (hard.find(name) != nullptr) out[name] = amount;
  return out;
}

std::string missing_resources(const Value& pod, const Value& quota_spec) {
  const Value spec = pod.get("spec"), hard = quota_spec.get("hard");
  if (spec.get({"resources", "requests"}).size() + spec.get({"resources", "limits"}).size() > 0) return {};
  struct Name {
    std::string_view quota, list, resource;
  };
  static constexpr Name kNames[] = {
      {"cpu", "requests", "cpu"},       {"limits.cpu", "limits", "cpu"},     {"limits.memory", "limits", "memory"},
      {"memory", "requests", "memory"}, {"requests.cpu", "requests", "cpu"}, {"requests.memory", "requests", "memory"}};
  std::string out;
  for (const Name& name : kNames) {
    if (hard.find(name.quota) == nullptr) continue;
    std::set<std::string_view> lacking;
    for (const std::string_view list : {"containers", "initContainers"})
      for (const Value& container : spec.get(list).items())
        if (container.get({"resources", name.list, name.resource}).is_null()) lacking.insert(container.string("name"));
    if (lacking.empty()) continue;
    out.append(out.empty() ? "must specify " : "; ").append(name.quota).append(" for: ");
    bool first = true;
    for (const std::string_view container : lacking) {
      out.append(first ? "" : ",").append(container);
      first = false;
    }
  }
  return out;
}

Amounts current_usage(const Reader& reader, std::string_view ns, const Value& quota_spec) {
  Amounts out;
  const Value hard = quota_spec.get("hard");
  const CatalogPtr catalog = reader.catalog().view();
  std::set<std::string_view> seen;  // of several versions one counts
  for (const Resource* resource : catalog->all()) {
    if (!counted(*resource) || !looks_at(*resource, hard) || !seen.insert(resource->prefix).second) continue;
    // What is limited and not there is 0.
    for (const auto& [name, none] : usage_of(*resource, Value()))
      if (hard.find(name) != nullptr) out.try_emplace(name);
    if (needs_objects(*resource, quota_spec)) {
      for (const StoredPtr& object : reader.list(resource->group(), resource->view.plural(), ns))
        add_amounts(out, usage_in(*resource, object->root(), quota_spec));
    } else {
      const std::string count = cat("count/", resource->qualified);
      const Quantity number(
          static_cast<int64_t>(reader.records(resource->group(), resource->view.plural(), ns).size()));
      for (const std::string_view name : {std::string_view(count), resource->view.plural()})
        if (hard.find(name) != nullptr && (name == count || has_plain_name(*resource))) out[std::string(name)] = number;
    }
  }
  // Compute and storage of nothing.
  for (const Member& member : hard.members()) {
    const std::string_view name = member.key;
    if (!name.starts_with("count/")) out.try_emplace(std::string(name));
  }
  return out;
}

namespace {

std::string epoch_key(std::string_view ns) { return cat("/registry/ranges/quotas/", ns); }

}  // namespace

void begin_epoch(Admission& w, const Reader& reader) {
  expect_epoch(w, reader);
  w.together.success.emplace_back(store::Put{.draft = store::Draft(epoch_key(w.ns), "{}")});
}

void expect_epoch(Admission& w, const Reader& reader) {
  const std::string key = epoch_key(w.ns);
  const auto record = reader.store().get(key);
  const store::Revision known = record && *record != nullptr ? (*record)->mod_revision() : 0;
  w.together.compares.push_back(store::Compare::unchanged(key, known));
}

Value quota_status(Arena& arena, const Value& quota_spec, const Amounts& used) {
  Value out = Value::object(arena, 2);
  const Value hard = quota_spec.get("hard");
  out.add(arena, "hard", hard.is_object() ? clone(arena, hard) : Value::object(arena));
  Amounts limited;
  for (const auto& [name, amount] : used)
    if (hard.find(name) != nullptr) {
      limited[name] = amount;
    }
  out.add(arena, "used", amounts_value(arena, limited));
  return out;
}

}  // namespace proa::kube::api::quota
