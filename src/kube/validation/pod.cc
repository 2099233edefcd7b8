// Pods and their templates: ValidatePodSpec and what it is made of.
#include <algorithm>
#include <array>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "kube/codec/quantity.h"
#include "kube/selector/label_selector.h"
#include "kube/validation/rules.h"
#include "kube/validation/validate.h"

namespace proa::kube {
namespace {

using Names = std::set<std::string_view>;

// Sources of a volume in the order of the schema; exactly one is wanted.
constexpr std::array kVolumeSources = {"hostPath",
                                       "emptyDir",
                                       "gcePersistentDisk",
                                       "awsElasticBlockStore",
                                       "gitRepo",
                                       "secret",
                                       "nfs",
                                       "iscsi",
                                       "glusterfs",
                                       "persistentVolumeClaim",
                                       "rbd",
                                       "flexVolume",
                                       "cinder",
                                       "cephfs",
                                       "flocker",
                                       "downwardAPI",
                                       "fc",
                                       "azureFile",
                                       "configMap",
                                       "vsphereVolume",
                                       "quobyte",
                                       "azureDisk",
                                       "photonPersistentDisk",
                                       "projected",
                                       "portworxVolume",
                                       "scaleIO",
                                       "storageos",
                                       "csi",
                                       "ephemeral",
                                       "image"};

void check_local_path(const Spot& path) {
  if (path.text().starts_with('/')) path.invalid("must be a relative path");
  std::string_view rest = path.text();
  while (!rest.empty())
    if (cut(rest, '/') == "..") {
      path.invalid("must not contain '..'");
      return;
    }
}

void check_mode(const Spot& mode) {
  if (mode.present() && (mode.number() < 0 || mode.number() > 0777))
    mode.invalid("must be a number between 0 and 0777 (octal), both inclusive");
}

void check_key_paths(const Spot& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    items.item(i)["key"].wants_text();
    if (items.item(i)["path"].wants_text()) check_local_path(items.item(i)["path"]);
    check_mode(items.item(i)["mode"]);
  }
}

void check_downward_files(const Spot& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    const Spot item = items.item(i);
    if (item["path"].wants_text()) check_local_path(item["path"]);
    const bool field = item["fieldRef"].present(), resource = item["resourceFieldRef"].present();
    if (field && resource)
      item["resource"].invalid("fieldRef and resourceFieldRef can not be specified simultaneously");
    if (!field && !resource) item.required("one of fieldRef and resourceFieldRef is required");
    check_mode(item["mode"]);
  }
}

void check_projected(const Spot& projected) {
  check_mode(projected["defaultMode"]);
  const Spot sources = projected["sources"];
  for (size_t i = 0; i < sources.size(); ++i) {
    const Spot source = sources.item(i);
    size_t count = 0;
    for (const std::string_view kind :
         {"secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle"})
      if (source[kind].present() && ++count > 1) source[kind].forbidden("may not specify more than 1 volume type");
    if (count == 0) source.required("must specify a volume type");
    for (const std::string_view kind : {"secret", "configMap"})
      if (source[kind].present()) {
        source[kind]["name"].wants_text();
        check_key_paths(source[kind]["items"]);
      }
    check_downward_files(source["downwardAPI"]["items"]);
    const Spot token = source["serviceAccountToken"];
    if (!token.present()) continue;
    if (token["expirationSeconds"].number() < 600)
      token["expirationSeconds"].invalid("may not specify a duration less than 10 minutes");
    if (token["expirationSeconds"].number() > int64_t{1} << 32)
      token["expirationSeconds"].invalid("may not specify a duration larger than 2^32 seconds");
    if (token["path"].wants_text()) check_local_path(token["path"]);
  }
}

void check_volume(const Spot& volume) {
  size_t count = 0;
  for (const std::string_view source : kVolumeSources)
    if (volume[source].present() && ++count > 1) volume[source].forbidden("may not specify more than 1 volume type");
  if (count == 0) volume.required("must specify a volume type");
  if (const Spot host = volume["hostPath"]; host.present()) {
    if (host["path"].wants_text() && cat("/", host["path"].text(), "/").find("/../") != std::string::npos)
      host["path"].invalid("must not contain '..'");
  }
  if (const Spot dir = volume["emptyDir"]; dir.present() && !dir["sizeLimit"].empty()) {
    const auto limit = Quantity::parse(dir["sizeLimit"].text());
    if (limit && limit->negative()) dir["sizeLimit"].forbidden("SizeLimit field must be a valid resource quantity");
  }
  if (const Spot secret = volume["secret"]; secret.present()) {
    secret["secretName"].wants_text();
    check_mode(secret["defaultMode"]);
    check_key_paths(secret["items"]);
  }
  if (const Spot map = volume["configMap"]; map.present()) {
    map["name"].wants_text();
    check_mode(map["defaultMode"]);
    check_key_paths(map["items"]);
  }
  check_downward_files(volume["downwardAPI"]["items"]);
  if (volume["persistentVolumeClaim"].present()) volume["persistentVolumeClaim"]["claimName"].wants_text();
  if (volume["projected"].present()) check_projected(volume["projected"]);
  if (volume["csi"].present()) volume["csi"]["driver"].wants_text();
  if (const Spot nfs = volume["nfs"]; nfs.present() && nfs["path"].wants_text() && !nfs["path"].text().starts_with('/'))
    nfs["path"].invalid("must be an absolute path");
  if (const Spot claim = volume["ephemeral"]; claim.present()) {
    if (!claim["volumeClaimTemplate"].present())
      claim["volumeClaimTemplate"].required();
    else
      check_claim_spec(claim["volumeClaimTemplate"]["spec"]);
  }
}

Names check_volumes(const Spot& volumes) {
  Names names;
  for (size_t i = 0; i < volumes.size(); ++i) {
    const Spot volume = volumes.item(i), name = volume["name"];
    check_volume(volume);
    if (name.wants_text()) name.invalid(dns_label_faults(name.text()));
    if (!name.empty() && !names.insert(name.text()).second) name.duplicate();
  }
  return names;
}

void check_env(const Spot& env) {
  for (size_t i = 0; i < env.size(); ++i) {
    const Spot variable = env.item(i), from = variable["valueFrom"];
    if (variable["name"].wants_text()) variable["name"].invalid(env_var_name_faults(variable["name"].text()));
    if (!from.present()) continue;
    size_t count = 0;
    for (const std::string_view source :
         {"fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"})
      count += from[source].present() ? 1 : 0;
    if (!variable["value"].empty() && count > 0)
      from.invalid("may not be specified when `value` is not empty");
    else if (count == 0)
      from.invalid(
          "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
    else if (count > 1)
      from.invalid("may not have more than one field specified at a time");
    for (const std::string_view source : {"configMapKeyRef", "secretKeyRef"})
      if (from[source].present() && from[source]["key"].wants_text())
        from[source]["key"].invalid(config_map_key_faults(from[source]["key"].text()));
    if (from["fieldRef"].present()) from["fieldRef"]["fieldPath"].wants_text();
    if (from["resourceFieldRef"].present()) from["resourceFieldRef"]["resource"].wants_text();
  }
}

void check_env_from(const Spot& sources) {
  for (size_t i = 0; i < sources.size(); ++i) {
    const Spot source = sources.item(i);
    const bool map = source["configMapRef"].present(), secret = source["secretRef"].present();
    if (!source["prefix"].empty()) source["prefix"].invalid(env_var_name_faults(source["prefix"].text()));
    if (!map && !secret) source.invalid("must specify one of: `configMapRef` or `secretRef`");
    if (map && secret) source.invalid("may not have more than one field specified at a time");
    if (map) source["configMapRef"]["name"].wants_text();
    if (secret) source["secretRef"]["name"].wants_text();
  }
}

void check_ports(const Spot& ports) {
  Names names;
  for (size_t i = 0; i < ports.size(); ++i) {
    const Spot port = ports.item(i), name = port["name"];
    if (!name.empty()) {
      const Faults faults = port_name_faults(name.text());
      name.invalid(faults);
      if (faults.empty() && !names.insert(name.text()).second) name.duplicate();
    }
    if (port["containerPort"].number() == 0)
      port["containerPort"].required();
    else
      check_port(port["containerPort"]);
    if (port["hostPort"].number() != 0) check_port(port["hostPort"]);
    port["protocol"].one_of({"TCP", "UDP", "SCTP"});
    if (!port["hostIP"].empty()) check_ip(port["hostIP"]);
  }
}

void check_mounts(const Spot& mounts, const Names& volumes, const Spot& devices) {
  Names points;
  for (size_t i = 0; i < mounts.size(); ++i) {
    const Spot mount = mounts.item(i);
    if (mount["name"].wants_text() && !volumes.contains(mount["name"].text())) mount["name"].not_found();
    if (mount["mountPath"].wants_text() && !points.insert(mount["mountPath"].text()).second)
      mount["mountPath"].invalid("must be unique");
    if (!mount["subPath"].empty() && !mount["subPathExpr"].empty())
      mount["subPathExpr"].invalid("subPathExpr and subPath are mutually exclusive");
    for (const std::string_view path : {"subPath", "subPathExpr"})
      if (!mount[path].empty()) check_local_path(mount[path]);
  }
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices.item(i)["name"].wants_text() && !volumes.contains(devices.item(i)["name"].text()))
      devices.item(i)["name"].not_found();
    devices.item(i)["devicePath"].wants_text();
  }
}

// exec, httpGet, tcpSocket, grpc, sleep: exactly one.
void check_handler(const Spot& handler) {
  size_t count = 0;
  const auto one = [&](std::string_view kind) {
    const Spot action = handler[kind];
    if (action.present() && ++count > 1) action.forbidden("may not specify more than 1 handler type");
    return action;
  };
  if (const Spot exec = one("exec"); exec.present() && exec["command"].size() == 0) exec["command"].required();
  if (const Spot http = one("httpGet"); http.present()) {
    http["path"].wants_text();
    check_port_or_name(http["port"]);
    http["scheme"].one_of({"HTTP", "HTTPS"});
    for (size_t i = 0; i < http["httpHeaders"].size(); ++i) {
      const Spot name = http["httpHeaders"].item(i)["name"];
      if (name.empty() || !std::ranges::all_of(name.text(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
          }))
        name.invalid(
            "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used "
            "for validation is '[-A-Za-z0-9]+')");
    }
  }
  if (const Spot tcp = one("tcpSocket"); tcp.present()) check_port_or_name(tcp["port"]);
  if (const Spot grpc = one("grpc"); grpc.present()) check_port(grpc["port"]);
  if (const Spot sleep = one("sleep"); sleep.present()) sleep["seconds"].not_negative();
  if (count == 0) handler.required("must specify a handler type");
}

void check_probe(const Spot& probe, std::string_view kind) {
  if (!probe.present()) return;
  check_handler(probe);
  if (kind != "readinessProbe" && probe["successThreshold"].number() != 1)
    probe["successThreshold"].invalid("must be 1");
  const Spot grace = probe["terminationGracePeriodSeconds"];
  if (grace.present() && kind == "readinessProbe")
    grace.invalid("must not be set for readinessProbes");
  else if (grace.present() && grace.number() <= 0)
    grace.invalid("must be greater than 0");
}

void check_security_context(const Spot& context) {
  for (const std::string_view id : {"runAsUser", "runAsGroup", "fsGroup"})
    if (context[id].present() && (context[id].number() < 0 || context[id].number() > 2147483647))
      context[id].invalid("must be between 0 and 2147483647, inclusive");
  const Spot profile = context["seccompProfile"];
  if (profile.present()) {
    const bool local = profile["type"].text() == "Localhost";
    profile["type"].one_of({"Localhost", "RuntimeDefault", "Unconfined"});
    if (local && profile["localhostProfile"].empty())
      profile["localhostProfile"].required("must be set when seccomp type is Localhost");
    if (!local && profile["localhostProfile"].present())
      profile["localhostProfile"].invalid("can only be set when seccomp type is Localhost");
  }
  const bool privileged = context["privileged"].value().as_bool();
  const Spot escalation = context["allowPrivilegeEscalation"];
  if (escalation.present() && !escalation.value().as_bool() && privileged)
    context.invalid("cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
}

void check_container(const Spot& container, const Names& volumes, Names& names) {
  const Spot name = container["name"];
  if (name.wants_text()) name.invalid(dns_label_faults(name.text()));
  if (!name.empty() && !names.insert(name.text()).second) name.duplicate();
  const Spot image = container["image"];
  if (image.wants_text() && image.text() != std::string_view(image.text()).substr(image.text().find_first_not_of(' ')))
    image.invalid("must not have leading or trailing whitespace");
  container["imagePullPolicy"].one_of({"Always", "IfNotPresent", "Never"});
  if (!container["terminationMessagePolicy"].empty())
    container["terminationMessagePolicy"].one_of({"File", "FallbackToLogsOnError"});
  check_ports(container["ports"]);
  check_env(container["env"]);
  check_env_from(container["envFrom"]);
  check_mounts(container["volumeMounts"], volumes, container["volumeDevices"]);
  check_resources(container["resources"]);
  check_security_context(container["securityContext"]);
}

void check_lifecycle(const Spot& container) {
  for (const std::string_view hook : {"postStart", "preStop"})
    if (container["lifecycle"][hook].present()) check_handler(container["lifecycle"][hook]);
  for (const std::string_view probe : {"livenessProbe", "readinessProbe", "startupProbe"})
    check_probe(container[probe], probe);
}

void check_containers(const Spot& spec, const Names& volumes) {
  Names names;
  const Spot containers = spec["containers"], inits = spec["initContainers"], ephemerals = spec["ephemeralContainers"];
  if (containers.size() == 0) containers.required();
  for (size_t i = 0; i < containers.size(); ++i) {
    check_container(containers.item(i), volumes, names);
    check_lifecycle(containers.item(i));
  }
  for (size_t i = 0; i < inits.size(); ++i) {
    const Spot init = inits.item(i);
    check_container(init, volumes, names);
    const bool sidecar = init["restartPolicy"].text() == "Always";
    if (sidecar)
      check_lifecycle(init);
    else
      for (const std::string_view field : {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"})
        if (init[field].present())
          init[field].forbidden("may not be set for init containers without restartPolicy=Always");
  }
  for (size_t i = 0; i < ephemerals.size(); ++i) {
    const Spot extra = ephemerals.item(i);
    check_container(extra, volumes, names);
    for (const std::string_view field :
         {"ports", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe", "resizePolicy"})
      if (!extra[field].empty()) extra[field].forbidden("cannot be set for an Ephemeral Container");
  }
  // Host ports clash over all containers.
  std::set<std::string> host_ports;
  for (size_t i = 0; i < containers.size(); ++i) {
    const Spot ports = containers.item(i)["ports"];
    for (size_t j = 0; j < ports.size(); ++j) {
      const Spot port = ports.item(j);
      if (port["hostPort"].number() == 0) continue;
      if (spec["hostNetwork"].value().as_bool() && port["hostPort"].number() != port["containerPort"].number())
        port["containerPort"].invalid("must match `hostPort` when `hostNetwork` is true");
      if (!host_ports.insert(cat(port["protocol"].text(), "/", port["hostIP"].text(), "/", port["hostPort"].number()))
               .second)
        port["hostPort"].duplicate();
    }
  }
}

void check_tolerations(const Spot& tolerations) {
  for (size_t i = 0; i < tolerations.size(); ++i) {
    const Spot toleration = tolerations.item(i), op = toleration["operator"];
    if (!toleration["key"].empty())
      toleration["key"].invalid(qualified_name_faults(toleration["key"].text()));
    else if (op.text() != "Exists")
      op.invalid("operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
    if (op.text() == "Exists") {
      if (!toleration["value"].empty())
        op.with(toleration.value()).invalid("value must be empty when `operator` is 'Exists'");
    } else if (op.empty() || op.text() == "Equal") {
      toleration["value"].invalid(label_value_faults(toleration["value"].text()));
    } else {
      op.unsupported({"Equal", "Exists"});
    }
    if (toleration["tolerationSeconds"].present() && toleration["effect"].text() != "NoExecute")
      toleration["effect"].invalid("effect must be 'NoExecute' when `tolerationSeconds` is set");
  }
}

void check_affinity_term(const Spot& term) {
  validate_label_selector(term["labelSelector"]);
  validate_label_selector(term["namespaceSelector"]);
  if (term["topologyKey"].empty()) term["topologyKey"].required("can not be empty");
  term["topologyKey"].invalid(qualified_name_faults(term["topologyKey"].text()));
}

void check_affinity(const Spot& affinity) {
  const Spot node = affinity["nodeAffinity"];
  if (const Spot needed = node["requiredDuringSchedulingIgnoredDuringExecution"]; needed.present())
    check_node_selector(needed);
  for (size_t i = 0; i < node["preferredDuringSchedulingIgnoredDuringExecution"].size(); ++i) {
    const Spot term = node["preferredDuringSchedulingIgnoredDuringExecution"].item(i);
    if (term["weight"].number() < 1 || term["weight"].number() > 100)
      term["weight"].invalid("must be in the range 1-100");
  }
  for (const std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
    const Spot needed = affinity[kind]["requiredDuringSchedulingIgnoredDuringExecution"];
    for (size_t i = 0; i < needed.size(); ++i) check_affinity_term(needed.item(i));
    const Spot wished = affinity[kind]["preferredDuringSchedulingIgnoredDuringExecution"];
    for (size_t i = 0; i < wished.size(); ++i) {
      const Spot weight = wished.item(i)["weight"];
      if (weight.number() < 1 || weight.number() > 100) weight.invalid("must be in the range 1-100");
      check_affinity_term(wished.item(i)["podAffinityTerm"]);
    }
  }
}

void check_spread(const Spot& constraints) {
  for (size_t i = 0; i < constraints.size(); ++i) {
    const Spot constraint = constraints.item(i);
    constraint["maxSkew"].positive();
    constraint["topologyKey"].wants_text("can not be empty");
    constraint["whenUnsatisfiable"].one_of({"DoNotSchedule", "ScheduleAnyway"});
    validate_label_selector(constraint["labelSelector"]);
    const Spot domains = constraint["minDomains"];
    if (domains.present() && domains.positive() && constraint["whenUnsatisfiable"].text() != "DoNotSchedule")
      domains.invalid("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " +
                      std::string(constraint["whenUnsatisfiable"].text()));
  }
}

void check_dns(const Spot& spec) {
  spec["dnsPolicy"].one_of({"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"});
  const Spot config = spec["dnsConfig"];
  const bool none = spec["dnsPolicy"].text() == "None";
  if (none && config["nameservers"].size() == 0)
    config["nameservers"].required("must provide at least one DNS nameserver when `dnsPolicy` is None");
  if (config["nameservers"].size() > 3) config["nameservers"].invalid("must not have more than 3 nameservers");
  for (size_t i = 0; i < config["nameservers"].size(); ++i) check_ip(config["nameservers"].item(i));
  if (config["searches"].size() > 32) config["searches"].invalid("must not have more than 32 search paths");
  for (size_t i = 0; i < config["options"].size(); ++i)
    config["options"].item(i)["name"].wants_text("must not be empty");
}

void check_scheduling(const Spot& spec) {
  validate_labels(spec["nodeSelector"]);
  check_tolerations(spec["tolerations"]);
  check_affinity(spec["affinity"]);
  check_spread(spec["topologySpreadConstraints"]);
  Names gates;
  for (size_t i = 0; i < spec["schedulingGates"].size(); ++i) {
    const Spot name = spec["schedulingGates"].item(i)["name"];
    name.invalid(qualified_name_faults(name.text()));
    if (!gates.insert(name.text()).second) name.duplicate();
  }
  if (!spec["nodeName"].empty()) spec["nodeName"].invalid(dns_subdomain_faults(spec["nodeName"].text()));
  for (const std::string_view name : {"serviceAccountName", "priorityClassName", "runtimeClassName"})
    if (!spec[name].empty()) spec[name].invalid(dns_subdomain_faults(spec[name].text()));
}

}  // namespace

void check_pod_spec(const Spot& spec, bool in_template) {
  const Names volumes = check_volumes(spec["volumes"]);
  check_containers(spec, volumes);
  spec["restartPolicy"].one_of({"Always", "OnFailure", "Never"});
  check_dns(spec);
  check_scheduling(spec);
  check_security_context(spec["securityContext"]);
  for (const std::string_view name : {"hostname", "subdomain"})
    if (!spec[name].empty()) spec[name].invalid(dns_label_faults(spec[name].text()));
  for (size_t i = 0; i < spec["hostAliases"].size(); ++i) check_ip(spec["hostAliases"].item(i)["ip"]);
  const Spot deadline = spec["activeDeadlineSeconds"];
  if (deadline.present() && (deadline.number() < 1 || deadline.number() > 2147483647))
    deadline.invalid("must be between 1 and 2147483647, inclusive");
  if (in_template && spec["ephemeralContainers"].size() > 0)
    spec["ephemeralContainers"].forbidden("ephemeral containers not allowed in pod template");
}

void check_pod_template(const Spot& pod_template, const Value& selector, bool label_selector) {
  if (!pod_template.present()) {
    pod_template.required();
    return;
  }
  const Spot labels = pod_template["metadata"]["labels"];
  validate_labels(labels);
  const auto wanted = label_selector ? LabelSelector::of(selector) : LabelSelector::of_map(selector);
  if (wanted && !wanted->everything() && !selector.is_null() && !wanted->matches(labels.value()))
    labels.invalid("`selector` does not match template `labels`");
  check_pod_spec(pod_template["spec"]);
}

namespace {

// What is there of a list's entry with this name; null without.
Value named(const Value& list, std::string_view name) {
  for (const Value& item : list.items())
    if (item.string("name") == name) return item;
  return {};
}

// Ephemeral containers are only ever added.
void check_debugging(const Spot& pod, const Value& old_pod) {
  const Spot list = pod["spec"]["ephemeralContainers"];
  for (const Value& before : old_pod.get({"spec", "ephemeralContainers"}).items()) {
    const std::string_view name = before.string("name");
    const Value now = named(list.value(), name);
    if (now.is_null())
      list.forbidden(cat("existing ephemeral containers ", quoted(name), " may not be removed\n"));
    else if (!equal(now, before))
      list.forbidden(cat("existing ephemeral containers ", quoted(name), " may not be changed\n"));
  }
}

void check_resize_of(const Spot& resources, const Value& before) {
  for (const std::string_view list : {"limits", "requests"}) {
    const Value then = before.get(list), now = resources.value().get(list);
    for (const Member& member : then.members()) {
      const bool resizable = member.key == "cpu" || member.key == "memory";
      if (now.find(member.key) == nullptr)
        resources[list].forbidden(cat("resource ", list, " cannot be removed"));
      else if (!resizable && now.string(member.key) != member.value.as_string())
        resources[list].forbidden("only cpu and memory resources are mutable");
    }
    for (const Member& member : now.members())
      if (member.key != "cpu" && member.key != "memory" && then.find(member.key) == nullptr)
        resources[list].forbidden("only cpu and memory resources are mutable");
  }
}

void check_resize(const Spot& pod, const Value& old_pod) {
  for (const std::string_view list : {"initContainers", "containers"})
    for (size_t i = 0; i < pod["spec"][list].size(); ++i) {
      const Spot container = pod["spec"][list].item(i);
      const Value before = named(old_pod.get({"spec", list}), container["name"].text());
      const bool changes = !equal(container["resources"].value(), before.get("resources"));
      if (changes && list == "initContainers" && container["restartPolicy"].text() != "Always")
        container["resources"].forbidden("cannot resize non-restartable init containers");
      else
        check_resize_of(container["resources"], before.get("resources"));
    }
}

}  // namespace

void check_pod_subresource(const Spot& pod, const Value& old_pod, std::string_view subresource) {
  check_pod_spec(pod["spec"], false);
  if (subresource == "ephemeralcontainers") check_debugging(pod, old_pod);
  if (subresource == "resize") check_resize(pod, old_pod);
}

void check_pod_update(const Spot& pod, const Value& old_pod) {
  // What may change is made equal; anything else that differs is forbidden.
  Arena arena;
  Value next = clone_shape(arena, pod["spec"].value()), before = clone_shape(arena, old_pod.get("spec"));
  for (const std::string_view list : {"containers", "initContainers"}) {
    const std::span<Value> now = next.get(list).items(), then = before.get(list).items();
    if (now.size() != then.size()) {
      pod["spec"][list].forbidden("pod updates may not add or remove containers");
      return;
    }
    for (size_t i = 0; i < now.size(); ++i) {
      now[i].erase("image");
      then[i].erase("image");
    }
  }
  const Value tolerations = next.get("tolerations");
  for (const Value& old_toleration : before.get("tolerations").items())
    if (std::ranges::none_of(tolerations.items(), [&](const Value& kept) {
          return kept.get("key").as_string() == old_toleration.get("key").as_string() &&
                 kept.get("effect").as_string() == old_toleration.get("effect").as_string();
        }))
      pod["spec"]["tolerations"].forbidden("existing toleration can not be modified except its tolerationSeconds");
  const Spot deadline = pod["spec"]["activeDeadlineSeconds"];
  const Value old_deadline = before.get("activeDeadlineSeconds");
  if (!old_deadline.is_null() && (!deadline.present() || deadline.number() > old_deadline.as_int()))
    deadline.invalid("must be less than or equal to previous value");
  const bool gated = before.get("schedulingGates").size() > 0;
  for (const Value& gate : next.get("schedulingGates").items())
    if (std::ranges::none_of(before.get("schedulingGates").items(),
                             [&](const Value& known) { return equal(known, gate); }))
      pod["spec"]["schedulingGates"].forbidden("only deletion is allowed, but found new scheduling gate '" +
                                               std::string(gate.string("name")) + "'");
  for (Value* spec : {&next, &before}) {
    for (const std::string_view field : {"tolerations", "activeDeadlineSeconds", "schedulingGates"}) spec->erase(field);
    if (gated)
      for (const std::string_view field : {"nodeSelector", "affinity"}) spec->erase(field);
    if (before.get("terminationGracePeriodSeconds").as_int() < 0) spec->erase("terminationGracePeriodSeconds");
  }
  if (!equal(next, before))
    pod["spec"].forbidden(
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)");
}

}  // namespace proa::kube
