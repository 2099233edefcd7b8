#include "kube/printer/functions.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "kube/codec/time.h"
#include "kube/object/json.h"
#include "kube/selector/label_selector.h"

namespace proa::kube {
namespace {

constexpr std::string_view kNone = "<none>";

Value text(const Cell& cell, std::string_view text) { return Value::text(cell.arena, text); }
Value or_none(const Cell& cell, std::string_view content) { return text(cell, content.empty() ? kNone : content); }

std::string join(const std::vector<std::string>& parts, std::string_view between = ",") {
  std::string out;
  for (const std::string& part : parts) out += cat(out.empty() ? "" : between, part);
  return out;
}

// At most `most`, then "+ 2 more...".
std::string some(const std::vector<std::string>& parts, size_t most) {
  if (parts.size() <= most) return join(parts);
  return cat(join({parts.begin(), parts.begin() + static_cast<ptrdiff_t>(most)}), " + ", parts.size() - most,
             " more...");
}

std::string printed(const Value& value) {
  return value.is_string() ? std::string(value.as_string()) : write_json(value);
}

std::string age(const Value& time, int64_t now) {
  const auto since = parse_time(time.as_string());
  return since ? human_duration(now - since->seconds) : "<unknown>";
}

std::string labels_text(const Value& labels) {
  std::vector<std::string> parts;
  for (const Member& member : labels.members()) parts.push_back(cat(member.key, "=", member.value.as_string()));
  std::ranges::sort(parts);
  return parts.empty() ? std::string(kNone) : join(parts);
}

std::string selector_text(const Value& selector) {
  const auto made = LabelSelector::of(selector);
  if (!made) return "<error>";
  const std::string out = made->text();
  return out.empty() ? std::string(kNone) : out;
}

const Value* condition(const Value& object, std::string_view type) {
  for (const Value& item : object.get({"status", "conditions"}).items())
    if (item.string("type") == type) return &item;
  return nullptr;
}

// --- pods

struct PodState {
  std::string reason;
  int64_t restarts = 0, ready = 0;
  std::string last_restart;
};

bool restartable(const Value& spec, std::string_view name) {
  for (const Value& container : spec.get("initContainers").items())
    if (container.string("name") == name) return container.string("restartPolicy") == "Always";
  return false;
}

std::string exit_reason(const Value& terminated, std::string_view prefix) {
  const std::string_view reason = terminated.string("reason");
  if (!reason.empty()) return cat(prefix, reason);
  if (terminated.get("signal").as_int() != 0) return cat(prefix, "Signal:", terminated.get("signal").as_int());
  return cat(prefix, "ExitCode:", terminated.get("exitCode").as_int());
}

// The init container that keeps the pod from starting, told as "Init:1/2".
bool initializing(const Value& pod, PodState& out) {
  const Value spec = pod.get("spec");
  const std::span<Value> statuses = pod.get({"status", "initContainerStatuses"}).items();
  for (size_t i = 0; i < statuses.size(); ++i) {
    const Value& status = statuses[i];
    out.restarts += status.get("restartCount").as_int();
    const Value terminated = status.get({"state", "terminated"}), waiting = status.get({"state", "waiting"});
    const bool sidecar = restartable(spec, status.string("name"));
    if (!terminated.is_null() && terminated.get("exitCode").as_int() == 0) continue;
    if (sidecar && status.get("started").as_bool()) {
      if (status.get("ready").as_bool()) ++out.ready;
      continue;
    }
    if (!terminated.is_null())
      out.reason = exit_reason(terminated, "Init:");
    else if (!waiting.string("reason").empty() && waiting.string("reason") != "PodInitializing")
      out.reason = cat("Init:", waiting.string("reason"));
    else
      out.reason = cat("Init:", i, "/", spec.get("initContainers").size());
    return true;
  }
  return false;
}

void running(const Value& pod, PodState& out) {
  bool has_running = false;
  const std::span<Value> statuses = pod.get({"status", "containerStatuses"}).items();
  for (size_t i = statuses.size(); i-- > 0;) {
    const Value& status = statuses[i];
    out.restarts += status.get("restartCount").as_int();
    const Value last = status.get({"lastState", "terminated", "finishedAt"});
    if (last.as_string() > out.last_restart) out.last_restart = last.as_string();
    const Value terminated = status.get({"state", "terminated"});
    const std::string_view waiting = status.string({"state", "waiting", "reason"});
    if (!waiting.empty())
      out.reason = waiting;
    else if (!terminated.is_null())
      out.reason = exit_reason(terminated, "");
    else if (status.get("ready").as_bool() && !status.get({"state", "running"}).is_null()) {
      has_running = true;
      ++out.ready;
    }
  }
  // One container that ended well does not end the pod.
  if (out.reason == "Completed" && has_running) {
    const Value* ready = condition(pod, "Ready");
    out.reason = ready != nullptr && ready->string("status") == "True" ? "Running" : "NotReady";
  }
}

PodState pod_state(const Value& pod) {
  PodState out;
  out.reason = pod.string({"status", "phase"});
  if (const std::string_view reason = pod.string({"status", "reason"}); !reason.empty()) out.reason = reason;
  if (const Value* scheduled = condition(pod, "PodScheduled");
      scheduled != nullptr && scheduled->string("reason") == "SchedulingGated")
    out.reason = "SchedulingGated";
  const Value* initialized = condition(pod, "Initialized");
  const bool held = initializing(pod, out);
  if (!held || (initialized != nullptr && initialized->string("status") == "True")) running(pod, out);
  const bool deleted = !pod.get({"metadata", "deletionTimestamp"}).is_null();
  const std::string_view phase = pod.string({"status", "phase"});
  if (deleted && pod.string({"status", "reason"}) == "NodeLost")
    out.reason = "Unknown";
  else if (deleted && phase != "Succeeded" && phase != "Failed")
    out.reason = "Terminating";
  return out;
}

Value pod_ready(const Cell& cell) {
  size_t total = cell.object.get({"spec", "containers"}).size();
  for (const Value& init : cell.object.get({"spec", "initContainers"}).items())
    total += init.string("restartPolicy") == "Always" ? 1 : 0;
  return text(cell, cat(pod_state(cell.object).ready, "/", total));
}
Value pod_status(const Cell& cell) { return text(cell, pod_state(cell.object).reason); }
Value pod_restarts(const Cell& cell) {
  const PodState state = pod_state(cell.object);
  if (state.restarts == 0 || state.last_restart.empty()) return text(cell, cat(state.restarts));
  return text(cell, cat(state.restarts, " (", age(Value::view(state.last_restart), cell.now), " ago)"));
}
Value pod_ip(const Cell& cell) {
  const Value ips = cell.object.get({"status", "podIPs"});
  return or_none(cell, ips.size() > 0 ? ips.items()[0].string("ip") : cell.object.string({"status", "podIP"}));
}
Value pod_gates(const Cell& cell) {
  const Value gates = cell.object.get({"spec", "readinessGates"});
  if (gates.size() == 0) return text(cell, kNone);
  size_t good = 0;
  for (const Value& gate : gates.items()) {
    const Value* found = condition(cell.object, gate.string("conditionType"));
    good += found != nullptr && found->string("status") == "True" ? 1 : 0;
  }
  return text(cell, cat(good, "/", gates.size()));
}

// --- workloads

// Of a pod template, wherever it is.
Value containers_of(const Value& object) {
  for (const auto& path : {std::initializer_list<std::string_view>{"spec", "template", "spec", "containers"},
                           {"spec", "jobTemplate", "spec", "template", "spec", "containers"},
                           {"template", "spec", "containers"}})
    if (const Value* found = object.find(path)) return *found;
  return {};
}
Value container_list(const Cell& cell, std::string_view field) {
  std::vector<std::string> parts;
  for (const Value& container : containers_of(cell.object).items()) parts.emplace_back(container.string(field));
  return text(cell, join(parts));
}
Value container_names(const Cell& cell) { return container_list(cell, "name"); }
Value container_images(const Cell& cell) { return container_list(cell, "image"); }
Value template_labels(const Cell& cell) {
  return text(cell, labels_text(cell.object.get({"template", "metadata", "labels"})));
}
Value selector_cell(const Cell& cell) { return text(cell, selector_text(cell.object.get({"spec", "selector"}))); }
Value selector_map(const Cell& cell) { return text(cell, labels_text(cell.object.get({"spec", "selector"}))); }
Value cron_selector(const Cell& cell) {
  return text(cell, selector_text(cell.object.get({"spec", "jobTemplate", "spec", "selector"})));
}
Value deployment_ready(const Cell& cell) {
  return text(cell, cat(cell.object.get({"status", "readyReplicas"}).as_int(), "/",
                        cell.object.get({"spec", "replicas"}).as_int()));
}
Value daemonset_nodes(const Cell& cell) {
  return text(cell, labels_text(cell.object.get({"spec", "template", "spec", "nodeSelector"})));
}
Value job_status(const Cell& cell) {
  const auto has = [&](std::string_view type) {
    const Value* found = condition(cell.object, type);
    return found != nullptr && found->string("status") == "True";
  };
  if (has("Complete")) return text(cell, "Complete");
  if (has("Failed")) return text(cell, "Failed");
  if (!cell.object.get({"metadata", "deletionTimestamp"}).is_null()) return text(cell, "Terminating");
  if (has("Suspended")) return text(cell, "Suspended");
  if (has("FailureTarget")) return text(cell, "FailureTarget");
  return text(cell, has("SuccessCriteriaMet") ? "SuccessCriteriaMet" : "Running");
}
Value job_completions(const Cell& cell) {
  const int64_t done = cell.object.get({"status", "succeeded"}).as_int();
  const Value wanted = cell.object.get({"spec", "completions"});
  if (!wanted.is_null()) return text(cell, cat(done, "/", wanted.as_int()));
  const int64_t parallel = cell.object.get({"spec", "parallelism"}).as_int();
  return text(cell, parallel > 1 ? cat(done, "/1 of ", parallel) : cat(done, "/1"));
}
Value job_duration(const Cell& cell) {
  const auto start = parse_time(cell.object.string({"status", "startTime"}));
  if (!start) return text(cell, "");
  const auto end = parse_time(cell.object.string({"status", "completionTime"}));
  return text(cell, human_duration((end ? end->seconds : cell.now) - start->seconds));
}
Value cron_suspend(const Cell& cell) {
  return text(cell, cell.object.get({"spec", "suspend"}).as_bool() ? "True" : "False");
}
Value cron_active(const Cell& cell) {
  return Value::integer(static_cast<int64_t>(cell.object.get({"status", "active"}).size()));
}
Value cron_last(const Cell& cell) {
  const Value last = cell.object.get({"status", "lastScheduleTime"});
  return text(cell, last.is_null() ? std::string(kNone) : age(last, cell.now));
}
Value budget(const Cell& cell, std::string_view field) {
  const Value value = cell.object.get({"spec", field});
  return text(cell, value.is_null() ? "N/A" : printed(value));
}
Value budget_min(const Cell& cell) { return budget(cell, "minAvailable"); }
Value budget_max(const Cell& cell) { return budget(cell, "maxUnavailable"); }
Value revision_owner(const Cell& cell) {
  for (const Value& owner : cell.object.get({"metadata", "ownerReferences"}).items()) {
    if (!owner.get("controller").as_bool()) continue;
    std::string kind(owner.string("kind"));
    std::ranges::transform(kind, kind.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const std::string_view version = owner.string("apiVersion");
    const size_t slash = version.find('/');
    return text(cell, cat(kind, slash == std::string_view::npos ? "" : ".",
                          version.substr(0, slash == std::string_view::npos ? 0 : slash), "/", owner.string("name")));
  }
  return text(cell, kNone);
}

// "80%" or "500m/1"; what is not known yet is <unknown>.
std::string metric_value(const Value& current, const Value& target, std::string_view prefix) {
  const Value percent = target.get("averageUtilization");
  if (!percent.is_null()) {
    const Value now = current.get("averageUtilization");
    return cat(prefix, now.is_null() ? std::string("<unknown>") : cat(now.as_int(), "%"), "/", percent.as_int(), "%");
  }
  const bool average = !target.get("averageValue").is_null();
  const std::string_view field = average ? "averageValue" : "value";
  const Value now = current.get(field);
  return cat(prefix, now.is_null() ? "<unknown>" : now.as_string(), "/", target.string(field), average ? " (avg)" : "");
}
Value hpa_targets(const Cell& cell) {
  static constexpr std::string_view kSources[] = {"resource", "containerResource", "pods", "object", "external"};
  if (const Value wanted = cell.object.get({"spec", "targetCPUUtilizationPercentage"}); !wanted.is_null()) {
    const Value now = cell.object.get({"status", "currentCPUUtilizationPercentage"});
    return text(cell, cat("cpu: ", now.is_null() ? "<unknown>" : cat(now.as_int(), "%"), "/", wanted.as_int(), "%"));
  }
  std::vector<std::string> parts;
  const std::span<Value> current = cell.object.get({"status", "currentMetrics"}).items();
  const std::span<Value> metrics = cell.object.get({"spec", "metrics"}).items();
  for (size_t i = 0; i < metrics.size(); ++i)
    for (const std::string_view source : kSources) {
      const Value wanted = metrics[i].get(source);
      if (wanted.is_null()) continue;
      const Value now = i < current.size() ? current[i].get({source, "current"}) : Value();
      const bool named = source == "resource" || source == "containerResource";
      parts.push_back(metric_value(now, wanted.get("target"), named ? cat(wanted.string("name"), ": ") : ""));
    }
  return text(cell, parts.empty() ? std::string(kNone) : some(parts, 2));
}
Value hpa_reference(const Cell& cell) {
  return text(cell, cat(cell.object.string({"spec", "scaleTargetRef", "kind"}), "/",
                        cell.object.string({"spec", "scaleTargetRef", "name"})));
}
Value hpa_min(const Cell& cell) {
  const Value least = cell.object.get({"spec", "minReplicas"});
  return text(cell, least.is_null() ? "<unset>" : cat(least.as_int()));
}

// --- services and networks

Value service_cluster_ip(const Cell& cell) {
  const Value ips = cell.object.get({"spec", "clusterIPs"});
  return or_none(cell, ips.size() > 0 ? ips.items()[0].as_string() : cell.object.string({"spec", "clusterIP"}));
}
std::string balancer_text(const Value& object) {
  std::vector<std::string> parts;
  for (const Value& entry : object.get({"status", "loadBalancer", "ingress"}).items())
    parts.emplace_back(!entry.string("ip").empty() ? entry.string("ip") : entry.string("hostname"));
  return join(parts);
}
Value service_external_ip(const Cell& cell) {
  const std::string_view type = cell.object.string({"spec", "type"});
  if (type == "ExternalName") return text(cell, cell.object.string({"spec", "externalName"}));
  std::vector<std::string> parts;
  for (const Value& ip : cell.object.get({"spec", "externalIPs"}).items()) parts.emplace_back(ip.as_string());
  if (type != "LoadBalancer") return or_none(cell, join(parts));
  std::string out = balancer_text(cell.object);
  if (!parts.empty()) out += cat(out.empty() ? "" : ",", join(parts));
  return text(cell, out.empty() ? "<pending>" : out);
}
Value service_ports(const Cell& cell) {
  std::vector<std::string> parts;
  for (const Value& port : cell.object.get({"spec", "ports"}).items()) {
    const int64_t node = port.get("nodePort").as_int();
    parts.push_back(cat(port.get("port").as_int(), node > 0 ? cat(":", node) : "", "/", port.string("protocol")));
  }
  return or_none(cell, join(parts));
}
Value ingress_hosts(const Cell& cell) {
  std::vector<std::string> parts;
  for (const Value& rule : cell.object.get({"spec", "rules"}).items())
    parts.emplace_back(rule.string("host").empty() ? "*" : rule.string("host"));
  return text(cell, parts.empty() ? "*" : some(parts, 3));
}
Value ingress_address(const Cell& cell) { return text(cell, balancer_text(cell.object)); }
Value ingress_ports(const Cell& cell) {
  return text(cell, cell.object.get({"spec", "tls"}).size() > 0 ? "80, 443" : "80");
}
Value ingress_class_parameters(const Cell& cell) {
  const Value reference = cell.object.get({"spec", "parameters"});
  if (reference.is_null()) return text(cell, kNone);
  const std::string_view group = reference.string("apiGroup");
  return text(cell, cat(reference.string("kind"), group.empty() ? "" : ".", group, "/", reference.string("name")));
}
Value endpoints_cell(const Cell& cell) {
  std::vector<std::string> parts;
  for (const Value& subset : cell.object.get("subsets").items()) {
    const Value ports = subset.get("ports");
    for (const Value& address : subset.get("addresses").items()) {
      if (ports.size() == 0) parts.emplace_back(address.string("ip"));
      for (const Value& port : ports.items()) {
        const std::string_view ip = address.string("ip");
        const bool v6 = ip.find(':') != std::string_view::npos;
        parts.push_back(cat(v6 ? "[" : "", ip, v6 ? "]" : "", ":", port.get("port").as_int()));
      }
    }
  }
  return or_none(cell, some(parts, 3));
}
Value slice_ports(const Cell& cell) {
  std::vector<std::string> parts;
  for (const Value& port : cell.object.get("ports").items())
    parts.push_back(port.get("port").is_null() ? "*" : cat(port.get("port").as_int()));
  return text(cell, parts.empty() ? "<unset>" : some(parts, 3));
}
Value slice_endpoints(const Cell& cell) {
  std::vector<std::string> parts;
  for (const Value& endpoint : cell.object.get("endpoints").items())
    for (const Value& address : endpoint.get("addresses").items()) parts.emplace_back(address.as_string());
  return text(cell, parts.empty() ? "<unset>" : some(parts, 3));
}
Value policy_selector(const Cell& cell) { return text(cell, selector_text(cell.object.get({"spec", "podSelector"}))); }
Value cidrs(const Cell& cell) {
  std::vector<std::string> parts;
  for (const Value& item : cell.object.get({"spec", "cidrs"}).items()) parts.emplace_back(item.as_string());
  return text(cell, join(parts));
}
Value address_parent(const Cell& cell) {
  const Value parent = cell.object.get({"spec", "parentRef"});
  std::string out(parent.string("resource"));
  if (!parent.string("group").empty()) out += cat(".", parent.string("group"));
  for (const std::string_view field : {"namespace", "name"})
    if (!parent.string(field).empty()) out += cat("/", parent.string(field));
  return text(cell, out);
}

// --- nodes, events

Value node_status(const Cell& cell) {
  const Value* ready = condition(cell.object, "Ready");
  std::string out = ready == nullptr ? "Unknown" : ready->string("status") == "True" ? "Ready" : "NotReady";
  if (cell.object.get({"spec", "unschedulable"}).as_bool()) out += ",SchedulingDisabled";
  return text(cell, out);
}
Value node_roles(const Cell& cell) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::vector<std::string> roles;
  for (const Member& label : cell.object.get({"metadata", "labels"}).members()) {
    if (label.key.starts_with(kPrefix) && label.key.size() > kPrefix.size())
      roles.emplace_back(label.key.substr(kPrefix.size()));
    else if (label.key == "kubernetes.io/role" && !label.value.as_string().empty())
      roles.emplace_back(label.value.as_string());
  }
  std::ranges::sort(roles);
  return or_none(cell, join(roles));
}
Value node_address(const Cell& cell, std::string_view type) {
  for (const Value& address : cell.object.get({"status", "addresses"}).items())
    if (address.string("type") == type) return text(cell, address.string("address"));
  return text(cell, kNone);
}
Value node_internal(const Cell& cell) { return node_address(cell, "InternalIP"); }
Value node_external(const Cell& cell) { return node_address(cell, "ExternalIP"); }

Value event_object_of(const Cell& cell) {
  const Value core = cell.object.get("involvedObject");
  return core.is_null() ? cell.object.get("regarding") : core;
}
Value event_object(const Cell& cell) {
  const Value about = event_object_of(cell);
  std::string kind(about.string("kind"));
  std::ranges::transform(kind, kind.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text(cell, about.string("name").empty() ? kind : cat(kind, "/", about.string("name")));
}
Value event_subobject(const Cell& cell) { return text(cell, event_object_of(cell).string("fieldPath")); }
Value event_message(const Cell& cell) {
  const std::string_view core = cell.object.string("message");
  std::string_view message = core.empty() ? cell.object.string("note") : core;
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.remove_suffix(1);
  return text(cell, message);
}
Value event_source(const Cell& cell) {
  Value source = cell.object.get("source");
  if (source.is_null()) source = cell.object.get("deprecatedSource");
  std::string out(source.string("component"));
  if (out.empty()) out = cell.object.string("reportingComponent");
  if (out.empty()) out = cell.object.string("reportingController");
  if (!source.string("host").empty()) out += cat(", ", source.string("host"));
  return text(cell, out);
}
Value event_time(const Cell& cell, std::initializer_list<std::string_view> fields) {
  for (const std::string_view field : fields)
    if (const Value time = cell.object.get(field); !time.is_null()) return text(cell, age(time, cell.now));
  return text(cell, "<unknown>");
}
Value event_last(const Cell& cell) {
  if (const Value observed = cell.object.get({"series", "lastObservedTime"}); !observed.is_null())
    return text(cell, age(observed, cell.now));
  return event_time(cell, {"lastTimestamp", "deprecatedLastTimestamp", "eventTime", "firstTimestamp"});
}
Value event_first(const Cell& cell) {
  return event_time(cell, {"firstTimestamp", "deprecatedFirstTimestamp", "eventTime"});
}
Value event_count(const Cell& cell) {
  for (const Value& count :
       {cell.object.get({"series", "count"}), cell.object.get("count"), cell.object.get("deprecatedCount")})
    if (count.as_int() > 0) return text(cell, cat(count.as_int()));
  return text(cell, "1");
}

// --- storage

Value modes_of(const Cell& cell, const Value& list) {
  static constexpr std::pair<std::string_view, std::string_view> kShort[] = {
      {"ReadWriteOnce", "RWO"}, {"ReadOnlyMany", "ROX"}, {"ReadWriteMany", "RWX"}, {"ReadWriteOncePod", "RWOP"}};
  std::vector<std::string> parts;
  for (const auto& [mode, name] : kShort)
    if (std::ranges::any_of(list.items(), [&](const Value& item) { return item.as_string() == mode; }))
      parts.emplace_back(name);
  return text(cell, join(parts));
}
Value pv_modes(const Cell& cell) { return modes_of(cell, cell.object.get({"spec", "accessModes"})); }
Value pvc_modes(const Cell& cell) {
  if (cell.object.string({"spec", "volumeName"}).empty()) return text(cell, "");
  return modes_of(cell, cell.object.get({"status", "accessModes"}));
}
Value pvc_capacity(const Cell& cell) {
  if (cell.object.string({"spec", "volumeName"}).empty()) return text(cell, "");
  return text(cell, cell.object.string({"status", "capacity", "storage"}));
}
Value pv_claim(const Cell& cell) {
  const Value claim = cell.object.get({"spec", "claimRef"});
  return text(cell, claim.is_null() ? "" : cat(claim.string("namespace"), "/", claim.string("name")));
}
Value volume_status(const Cell& cell) {
  if (!cell.object.get({"metadata", "deletionTimestamp"}).is_null()) return text(cell, "Terminating");
  return text(cell, cell.object.string({"status", "phase"}));
}
Value volume_class(const Cell& cell) { return text(cell, cell.object.string({"spec", "storageClassName"})); }
Value volume_attributes(const Cell& cell) {
  const std::string_view name = cell.object.string({"spec", "volumeAttributesClassName"});
  return text(cell, name.empty() ? "<unset>" : name);
}
Value volume_mode(const Cell& cell) {
  const std::string_view mode = cell.object.string({"spec", "volumeMode"});
  return text(cell, mode.empty() ? "<unset>" : mode);
}
Value class_expansion(const Cell& cell) {
  return text(cell, cell.object.get("allowVolumeExpansion").as_bool() ? "true" : "false");
}
Value driver_tokens(const Cell& cell) {
  std::vector<std::string> parts;
  for (const Value& token : cell.object.get({"spec", "tokenRequests"}).items())
    parts.emplace_back(token.string("audience"));
  return text(cell, parts.empty() ? "<unset>" : join(parts));
}
Value driver_modes(const Cell& cell) {
  std::vector<std::string> parts;
  for (const Value& mode : cell.object.get({"spec", "volumeLifecycleModes"}).items())
    parts.emplace_back(mode.as_string());
  return text(cell, parts.empty() ? "<none>" : join(parts));
}

// --- the rest

Value count(const Value& value) { return Value::integer(static_cast<int64_t>(value.size())); }
Value count_data(const Cell& cell) { return text(cell, cat(cell.object.get("data").size())); }
Value config_map_data(const Cell& cell) {
  return text(cell, cat(cell.object.get("data").size() + cell.object.get("binaryData").size()));
}
Value count_secrets(const Cell& cell) { return text(cell, cat(cell.object.get("secrets").size())); }
Value count_webhooks(const Cell& cell) { return count(cell.object.get("webhooks")); }
Value count_validations(const Cell& cell) { return count(cell.object.get({"spec", "validations"})); }
Value count_drivers(const Cell& cell) { return count(cell.object.get({"spec", "drivers"})); }

Value component(const Cell& cell, std::string_view field, bool status) {
  for (const Value& item : cell.object.get("conditions").items()) {
    if (item.string("type") != "Healthy") continue;
    if (!status) return text(cell, item.string(field));
    return text(cell, item.string("status") == "True" ? "Healthy" : "Unhealthy");
  }
  return text(cell, status ? "Unknown" : "");
}
Value component_status(const Cell& cell) { return component(cell, "status", true); }
Value component_message(const Cell& cell) { return component(cell, "message", false); }
Value component_error(const Cell& cell) { return component(cell, "error", false); }

Value quota(const Cell& cell, bool limits) {
  std::vector<std::string> parts;
  for (const Member& member : cell.object.get({"status", "hard"}).members()) {
    if (member.key.starts_with("limits.") != limits) continue;
    const Value used = cell.object.get({"status", "used", member.key});
    parts.push_back(cat(member.key, ": ", used.is_null() ? "0" : used.as_string(), "/", member.value.as_string()));
  }
  std::ranges::sort(parts);
  return text(cell, join(parts, ", "));
}
Value quota_requests(const Cell& cell) { return quota(cell, false); }
Value quota_limits(const Cell& cell) { return quota(cell, true); }

Value binding_role(const Cell& cell) {
  return text(cell, cat(cell.object.string({"roleRef", "kind"}), "/", cell.object.string({"roleRef", "name"})));
}
Value binding_subjects(const Cell& cell, std::string_view kind) {
  std::vector<std::string> parts;
  for (const Value& subject : cell.object.get("subjects").items()) {
    if (subject.string("kind") != kind) continue;
    parts.push_back(kind == "ServiceAccount" ? cat(subject.string("namespace"), "/", subject.string("name"))
                                             : std::string(subject.string("name")));
  }
  return text(cell, join(parts, ", "));
}
Value binding_users(const Cell& cell) { return binding_subjects(cell, "User"); }
Value binding_groups(const Cell& cell) { return binding_subjects(cell, "Group"); }
Value binding_accounts(const Cell& cell) { return binding_subjects(cell, "ServiceAccount"); }

Value csr_duration(const Cell& cell) {
  const Value seconds = cell.object.get({"spec", "expirationSeconds"});
  return text(cell, seconds.is_null() ? std::string(kNone) : human_duration(seconds.as_int()));
}
Value csr_condition(const Cell& cell) {
  std::string out;
  for (const std::string_view type : {"Approved", "Denied", "Failed"})
    if (condition(cell.object, type) != nullptr) out += cat(out.empty() ? "" : ",", type);
  if (out.empty()) out = "Pending";
  if (!cell.object.string({"status", "certificate"}).empty()) out += ",Issued";
  return text(cell, out);
}
Value priority_default(const Cell& cell) { return Value::boolean(cell.object.get("globalDefault").as_bool()); }
Value policy_param_kind(const Cell& cell) {
  const Value kind = cell.object.get({"spec", "paramKind"});
  return text(cell, kind.is_null() ? "<unset>" : cat(kind.string("apiVersion"), "/", kind.string("kind")));
}
Value policy_param_ref(const Cell& cell) {
  const Value reference = cell.object.get({"spec", "paramRef"});
  if (reference.is_null()) return text(cell, "<unset>");
  const std::string_view space = reference.string("namespace");
  return text(cell,
              cat(space.empty() ? "*" : space, "/", reference.string("name").empty() ? "*" : reference.string("name")));
}
Value flow_missing(const Cell& cell) {
  const Value* dangling = condition(cell.object, "Dangling");
  return text(cell, dangling == nullptr ? "?" : dangling->string("status"));
}
Value level(const Cell& cell, std::initializer_list<std::string_view> path) {
  const Value found = cell.object.get(path);
  return found.is_null() ? text(cell, "<none>") : found;
}
Value level_shares(const Cell& cell) { return level(cell, {"spec", "limited", "nominalConcurrencyShares"}); }
Value level_queues(const Cell& cell) { return level(cell, {"spec", "limited", "limitResponse", "queuing", "queues"}); }
Value level_hand(const Cell& cell) { return level(cell, {"spec", "limited", "limitResponse", "queuing", "handSize"}); }
Value level_length(const Cell& cell) {
  return level(cell, {"spec", "limited", "limitResponse", "queuing", "queueLengthLimit"});
}
Value claim_state(const Cell& cell) {
  std::string out = cell.object.get({"status", "allocation"}).is_null() ? "pending" : "allocated";
  if (cell.object.get({"status", "reservedFor"}).size() > 0) out += ",reserved";
  if (!cell.object.get({"metadata", "deletionTimestamp"}).is_null()) out = cat("deleted,", out);
  return text(cell, out);
}
Value slice_node(const Cell& cell) {
  const std::string_view name = cell.object.string({"spec", "nodeName"});
  return text(cell, name.empty() ? "<all>" : name);
}
Value api_service(const Cell& cell) {
  const Value service = cell.object.get({"spec", "service"});
  return text(cell, service.is_null() ? "Local" : cat(service.string("namespace"), "/", service.string("name")));
}
Value api_available(const Cell& cell) {
  const Value* available = condition(cell.object, "Available");
  if (available == nullptr) return text(cell, "Unknown");
  if (available->string("status") == "True") return text(cell, "True");
  return text(cell, cat(available->string("status"), " (", available->string("reason"), ")"));
}
Value age_cell(const Cell& cell) {
  return text(cell, age(cell.object.get({"metadata", "creationTimestamp"}), cell.now));
}

struct Named {
  std::string_view name;
  CellFunction function;
};

constexpr Named kFunctions[] = {
    {"age", age_cell},
    {"pod.ready", pod_ready},
    {"pod.status", pod_status},
    {"pod.restarts", pod_restarts},
    {"pod.ip", pod_ip},
    {"pod.gates", pod_gates},
    {"containers.names", container_names},
    {"containers.images", container_images},
    {"template.labels", template_labels},
    {"selector", selector_cell},
    {"selector.map", selector_map},
    {"cronjob.selector", cron_selector},
    {"deployment.ready", deployment_ready},
    {"statefulset.ready", deployment_ready},
    {"daemonset.nodes", daemonset_nodes},
    {"job.status", job_status},
    {"job.completions", job_completions},
    {"job.duration", job_duration},
    {"cronjob.suspend", cron_suspend},
    {"cronjob.active", cron_active},
    {"cronjob.last", cron_last},
    {"pdb.min", budget_min},
    {"pdb.max", budget_max},
    {"controllerrevision.owner", revision_owner},
    {"hpa.reference", hpa_reference},
    {"hpa.targets", hpa_targets},
    {"hpa.min", hpa_min},
    {"service.clusterip", service_cluster_ip},
    {"service.externalip", service_external_ip},
    {"service.ports", service_ports},
    {"ingress.hosts", ingress_hosts},
    {"ingress.address", ingress_address},
    {"ingress.ports", ingress_ports},
    {"ingressclass.parameters", ingress_class_parameters},
    {"endpoints", endpoints_cell},
    {"endpointslice.ports", slice_ports},
    {"endpointslice.endpoints", slice_endpoints},
    {"networkpolicy.selector", policy_selector},
    {"servicecidr.cidrs", cidrs},
    {"ipaddress.parent", address_parent},
    {"node.status", node_status},
    {"node.roles", node_roles},
    {"node.internalip", node_internal},
    {"node.externalip", node_external},
    {"event.object", event_object},
    {"event.subobject", event_subobject},
    {"event.message", event_message},
    {"event.source", event_source},
    {"event.last", event_last},
    {"event.first", event_first},
    {"event.count", event_count},
    {"pv.modes", pv_modes},
    {"pv.claim", pv_claim},
    {"pvc.modes", pvc_modes},
    {"pvc.capacity", pvc_capacity},
    {"volume.status", volume_status},
    {"volume.class", volume_class},
    {"volume.attributes", volume_attributes},
    {"volume.mode", volume_mode},
    {"storageclass.expansion", class_expansion},
    {"csidriver.tokens", driver_tokens},
    {"csidriver.modes", driver_modes},
    {"count.data", count_data},
    {"configmap.data", config_map_data},
    {"count.secrets", count_secrets},
    {"count.webhooks", count_webhooks},
    {"count.spec.validations", count_validations},
    {"count.spec.drivers", count_drivers},
    {"component.status", component_status},
    {"component.message", component_message},
    {"component.error", component_error},
    {"quota.requests", quota_requests},
    {"quota.limits", quota_limits},
    {"binding.role", binding_role},
    {"binding.users", binding_users},
    {"binding.groups", binding_groups},
    {"binding.accounts", binding_accounts},
    {"csr.duration", csr_duration},
    {"csr.condition", csr_condition},
    {"priorityclass.default", priority_default},
    {"vap.paramkind", policy_param_kind},
    {"vapb.paramref", policy_param_ref},
    {"flowschema.missing", flow_missing},
    {"plc.shares", level_shares},
    {"plc.queues", level_queues},
    {"plc.hand", level_hand},
    {"plc.length", level_length},
    {"resourceclaim.state", claim_state},
    {"resourceslice.node", slice_node},
    {"apiservice.service", api_service},
    {"apiservice.available", api_available},
};

}  // namespace

CellFunction cell_function(std::string_view name) {
  for (const Named& named : kFunctions)
    if (named.name == name) return named.function;
  return nullptr;
}

}  // namespace proa::kube
