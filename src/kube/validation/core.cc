// The rules of the core group, and checks that several groups share.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "kube/codec/quantity.h"
#include "kube/validation/rules.h"
#include "kube/validation/validate.h"
#include "net/base64.h"

namespace proa::kube {

void check_port(const Spot& port) { port.invalid(port_number_faults(port.number())); }

void check_port_or_name(const Spot& port) {
  if (port.value().is_string())
    port.invalid(port_name_faults(port.text()));
  else
    check_port(port);
}

void check_ip(const Spot& ip) { ip.invalid(ip_faults(ip.text())); }

void check_count_or_percent(const Spot& value) {
  if (!value.present()) return;
  if (value.value().is_string())
    value.invalid(percent_faults(value.text()));
  else
    value.not_negative();
}

void check_quantities(const Spot& list) {
  for (const Member& member : list.value().members()) {
    const Spot entry = list.key(member.key);
    entry.with(Value::view(member.key)).invalid(qualified_name_faults(member.key));
    const auto amount = Quantity::parse(member.value.as_string());
    if (amount && amount->negative()) entry.invalid("must be greater than or equal to 0");
  }
}

void check_resources(const Spot& resources) {
  const Spot limits = resources["limits"], requests = resources["requests"];
  check_quantities(limits);
  check_quantities(requests);
  for (const Member& member : requests.value().members()) {
    const Value* limit = limits.value().find(member.key);
    if (limit == nullptr) continue;
    const auto most = Quantity::parse(limit->as_string()), asked = Quantity::parse(member.value.as_string());
    const bool overcommit = member.key == "cpu" || member.key == "memory" || member.key == "ephemeral-storage";
    if (!most || !asked) continue;
    if (*asked > *most || (!overcommit && *asked != *most))
      requests.with(member.value)
          .invalid(cat("must be ", overcommit ? "less than or equal to " : "equal to ", member.key, " limit of ",
                       limit->as_string()));
  }
}

void check_node_selector(const Spot& selector) {
  const Spot terms = selector["nodeSelectorTerms"];
  if (terms.size() == 0) terms.required("must have at least one node selector term");
  for (size_t i = 0; i < terms.size(); ++i)
    for (const std::string_view kind : {"matchExpressions", "matchFields"}) {
      const Spot list = terms.item(i)[kind];
      for (size_t j = 0; j < list.size(); ++j) {
        const Spot expression = list.item(j), values = expression["values"];
        const std::string_view op = expression["operator"].text();
        if (op == "In" || op == "NotIn") {
          if (values.size() == 0) values.required("must be specified when `operator` is 'In' or 'NotIn'");
        } else if (op == "Exists" || op == "DoesNotExist") {
          if (values.size() > 0) values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        } else if (op == "Gt" || op == "Lt") {
          if (values.size() != 1) values.required("must be specified single value when `operator` is 'Lt' or 'Gt'");
        } else {
          expression["operator"].invalid("not a valid selector operator");
        }
        expression["key"].invalid(qualified_name_faults(expression["key"].text()));
      }
    }
}

void check_config_data(const Spot& object) {
  size_t total = 0;
  for (const std::string_view field : {"data", "binaryData"})
    for (const Member& member : object[field].value().members()) {
      object[field].key(member.key).with(Value::view(member.key)).invalid(config_map_key_faults(member.key));
      if (field == "binaryData" && object["data"].value().find(member.key) != nullptr)
        object[field].key(member.key).with(Value::view(member.key)).invalid("duplicate of key present in data");
      total += member.value.as_string().size();
    }
  constexpr size_t kMost = 1u << 20;
  if (total > kMost) object[""].too_long(kMost);
}

void check_claim_spec(const Spot& spec) {
  const Spot modes = spec["accessModes"];
  if (modes.size() == 0) modes.required("at least 1 access mode is required");
  bool exclusive = false;
  for (size_t i = 0; i < modes.size(); ++i) {
    modes.item(i).one_of({"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"});
    exclusive |= modes.item(i).text() == "ReadWriteOncePod";
  }
  if (exclusive && modes.size() > 1) modes.forbidden("may not use ReadWriteOncePod with other access modes");
  // Upstream names it without `requests`.
  const Spot storage = spec["resources"].key("storage").with(spec.value().get({"resources", "requests", "storage"}));
  const auto size = Quantity::parse(storage.text());
  if (!storage.present())
    storage.required();
  else if (size && (size->negative() || size->is_zero()))
    storage.invalid("must be greater than zero");
  validate_label_selector(spec["selector"]);
  if (!spec["storageClassName"].empty())
    spec["storageClassName"].invalid(dns_subdomain_faults(spec["storageClassName"].text()));
}

namespace {

void check_pod(const Spot& pod, const Value& old_pod) {
  check_pod_spec(pod["spec"], false);
  if (!old_pod.is_null())
    check_pod_update(pod, old_pod);
  else if (pod["spec"]["ephemeralContainers"].size() > 0)
    pod["spec"]["ephemeralContainers"].forbidden("cannot be set on create");
}

void check_immutable_data(const Spot& object, const Value& old_object) {
  if (!old_object.get("immutable").as_bool()) return;
  if (!object["immutable"].value().as_bool())
    object["immutable"].forbidden("field is immutable when `immutable` is set");
  for (const std::string_view field : {"data", "binaryData"})
    if (!equal(object[field].value(), old_object.get(field)))
      object[field].forbidden("field is immutable when `immutable` is set");
}

void check_config_map(const Spot& object, const Value& old_object) {
  check_config_data(object);
  check_immutable_data(object, old_object);
}

void check_secret(const Spot& secret, const Value& old_secret) {
  check_config_data(secret);
  check_immutable_data(secret, old_secret);
  if (secret["type"].empty()) secret["type"].required("can not be empty");
  const auto wants = [&](std::string_view key) {
    if (secret["data"].value().find(key) == nullptr) secret["data"].key(key).required();
  };
  const std::string_view type = secret["type"].text();
  if (type == "kubernetes.io/service-account-token" &&
      secret["metadata"]["annotations"].value().string("kubernetes.io/service-account.name").empty())
    secret["metadata"]["annotations"].key("kubernetes.io/service-account.name").required();
  if (type == "kubernetes.io/ssh-auth") wants("ssh-privatekey");
  if (type == "kubernetes.io/dockercfg") wants(".dockercfg");
  if (type == "kubernetes.io/dockerconfigjson") wants(".dockerconfigjson");
  if (type == "kubernetes.io/tls") {
    wants("tls.crt");
    wants("tls.key");
  }
  if (type == "kubernetes.io/basic-auth" && secret["data"].value().find("username") == nullptr &&
      secret["data"].value().find("password") == nullptr) {
    wants("username");
    wants("password");
  }
}

void check_service_ports(const Spot& spec) {
  const Spot ports = spec["ports"];
  const std::string_view type = spec["type"].text();
  if (ports.size() == 0 && type != "ExternalName" && spec["clusterIP"].text() != "None") ports.required();
  std::set<std::string_view> names;
  std::set<std::string> numbers;
  for (size_t i = 0; i < ports.size(); ++i) {
    const Spot port = ports.item(i), name = port["name"];
    if (name.empty() && ports.size() > 1) name.required();
    if (!name.empty()) {
      name.invalid(dns_label_faults(name.text()));
      if (!names.insert(name.text()).second) name.duplicate();
    }
    check_port(port["port"]);
    port["protocol"].one_of({"TCP", "UDP", "SCTP"});
    check_port_or_name(port["targetPort"]);
    if (type == "ClusterIP" && port["nodePort"].number() != 0)
      port["nodePort"].forbidden("may not be used when `type` is 'ClusterIP'");
    if (!numbers.insert(cat(port["protocol"].text(), "/", port["port"].number())).second)
      port.with(port.value()).duplicate();
  }
}

// As Go prints a list of texts.
std::string go_list(const Value& list) {
  if (list.size() == 0) return "[]string(nil)";
  std::string out;
  for (const Value& item : list.items()) out += cat(out.empty() ? "" : ", ", quoted(item.as_string()));
  return cat("[]string{", out, "}");
}

// Addresses stay; one of a second family may come, and go with the policy SingleStack.
void check_kept_addresses(const Spot& spec, const Value& before) {
  const Value now = spec["clusterIPs"].value(), old = before.get("clusterIPs");
  if (old.size() == 0 || (spec["clusterIP"].text() == "None" && before.string("clusterIP") == "None")) return;
  const auto blame = [&](size_t index, std::string_view detail) {
    static constexpr std::string_view kPlaces[] = {"clusterIPs[0]", "clusterIPs[1]"};
    spec[kPlaces[std::min(index, size_t{1})]].add(FieldError::Type::kInvalid, go_list(now), detail);
  };
  if (now.size() == 0) return blame(0, "primary clusterIP can not be unset");
  const size_t shared = now.size() == old.size() ? now.size() : 1;
  for (size_t i = 0; i < shared; ++i)
    if (!equal(now.items()[i], old.items()[i])) blame(i, "may not change once set");
  if (old.size() == 2 && now.size() == 1 && spec["ipFamilyPolicy"].text() != "SingleStack")
    spec["ipFamilyPolicy"].invalid("must be set to 'SingleStack' when releasing the secondary clusterIP");
}

void check_service(const Spot& service, const Value& old_service) {
  const Spot spec = service["spec"];
  const std::string_view type = spec["type"].text();
  spec["type"].one_of({"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"});
  check_service_ports(spec);
  if (type == "ExternalName") {
    if (!spec["clusterIP"].empty()) spec["clusterIPs"].forbidden("may not be set when `type` is 'ExternalName'");
    if (spec["externalName"].wants_text()) {
      std::string_view name = spec["externalName"].text();
      if (name.ends_with('.')) name.remove_suffix(1);
      spec["externalName"].invalid(dns_subdomain_faults(name));
    }
  }
  if (type == "LoadBalancer" && spec["clusterIP"].text() == "None")
    spec["clusterIPs"].item(0).invalid("may not be set to 'None' for LoadBalancer services");
  if (type == "NodePort" && spec["clusterIP"].text() == "None")
    spec["clusterIPs"].item(0).invalid("may not be set to 'None' for NodePort services");
  if (!spec["clusterIP"].empty() && spec["clusterIP"].text() != "None") check_ip(spec["clusterIP"]);
  validate_labels(spec["selector"]);
  spec["sessionAffinity"].one_of({"ClientIP", "None"});
  const Spot timeout = spec.at({"sessionAffinityConfig", "clientIP", "timeoutSeconds"});
  if (spec["sessionAffinity"].text() == "ClientIP" && timeout.present() &&
      (timeout.number() <= 0 || timeout.number() > 86400))
    timeout.invalid("must be greater than 0 and less than 86400");
  if (spec["sessionAffinity"].text() == "None" && spec["sessionAffinityConfig"].present())
    spec["sessionAffinityConfig"].forbidden("must not be set when session affinity is None");
  for (size_t i = 0; i < spec["externalIPs"].size(); ++i) check_ip(spec["externalIPs"].item(i));
  const Spot ranges = spec["loadBalancerSourceRanges"];
  if (ranges.size() > 0 && type != "LoadBalancer") ranges.forbidden("may only be used when `type` is 'LoadBalancer'");
  for (size_t i = 0; i < ranges.size(); ++i)
    if (!is_cidr(ranges.item(i).text()))
      ranges.item(i).invalid("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
  const Spot external = spec["externalTrafficPolicy"];
  if (!external.empty() && type == "ClusterIP" && spec["externalIPs"].size() == 0)
    external.invalid("may only be set for externally-accessible services");
  if (old_service.is_null()) return;
  if (old_service.string({"spec", "type"}) != "ExternalName" && type != "ExternalName")
    check_kept_addresses(spec, old_service.get("spec"));
}

void check_namespace(const Spot& space, const Value&) {
  for (size_t i = 0; i < space["spec"]["finalizers"].size(); ++i) {
    const Spot finalizer = space["spec"]["finalizers"].item(i);
    finalizer.invalid(qualified_name_faults(finalizer.text()));
  }
}

void check_node(const Spot& node, const Value& old_node) {
  const Spot spec = node["spec"], taints = spec["taints"];
  std::set<std::string> seen;
  for (size_t i = 0; i < taints.size(); ++i) {
    const Spot taint = taints.item(i);
    taint["key"].invalid(qualified_name_faults(taint["key"].text()));
    taint["value"].invalid(label_value_faults(taint["value"].text()));
    taint["effect"].one_of({"NoSchedule", "PreferNoSchedule", "NoExecute"});
    if (!seen.insert(cat(taint["key"].text(), ":", taint["effect"].text())).second) taint.duplicate();
  }
  for (size_t i = 0; i < spec["podCIDRs"].size(); ++i)
    if (!is_cidr(spec["podCIDRs"].item(i).text()))
      spec["podCIDRs"].item(i).invalid("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
  check_quantities(node["status"]["capacity"]);
  check_quantities(node["status"]["allocatable"]);
  for (const std::string_view field : {"providerID", "podCIDR"})
    if (const Value old_value = old_node.get({"spec", field});
        !old_value.as_string().empty() && !equal(spec[field].value(), old_value))
      spec[field].forbidden("node updates may not change " + std::string(field) + " except from \"\" to valid");
}

void check_volume_claim(const Spot& claim, const Value& old_claim) {
  check_claim_spec(claim["spec"]);
  if (old_claim.is_null()) return;
  Arena arena;
  Value next = Value::object_of(arena, claim["spec"].value().members());
  Value before = Value::object_of(arena, old_claim.get("spec").members());
  const Value old_size = before.get({"resources", "requests", "storage"});
  const Spot storage = claim.at({"spec", "resources", "requests", "storage"});
  const auto size = Quantity::parse(storage.text()), was = Quantity::parse(old_size.as_string());
  if (size && was && *size < *was) storage.forbidden("field can not be less than status.capacity");
  // Binding names the volume, and a class may be given late.
  if (before.string("volumeName").empty())
    for (const std::string_view field : {"volumeName"}) next.erase(field), before.erase(field);
  if (before.get("storageClassName").is_null()) next.erase("storageClassName");
  for (Value* spec : {&next, &before})
    for (const std::string_view field : {"resources", "volumeAttributesClassName"}) spec->erase(field);
  if (!equal(next, before))
    claim["spec"].forbidden(
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims");
}

void check_volume(const Spot& volume, const Value& old_volume) {
  const Spot spec = volume["spec"];
  if (spec["accessModes"].size() == 0) spec["accessModes"].required();
  for (size_t i = 0; i < spec["accessModes"].size(); ++i)
    spec["accessModes"].item(i).one_of({"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"});
  if (spec["capacity"].size() == 0)
    spec["capacity"].required();
  else if (!spec["capacity"].key("storage").present())
    spec["capacity"].unsupported({"storage"});
  check_quantities(spec["capacity"]);
  spec["persistentVolumeReclaimPolicy"].one_of({"Delete", "Recycle", "Retain"});
  size_t sources = 0;
  for (const std::string_view source : {"gcePersistentDisk",
                                        "awsElasticBlockStore",
                                        "hostPath",
                                        "glusterfs",
                                        "nfs",
                                        "rbd",
                                        "iscsi",
                                        "cinder",
                                        "cephfs",
                                        "fc",
                                        "flocker",
                                        "flexVolume",
                                        "azureFile",
                                        "vsphereVolume",
                                        "quobyte",
                                        "azureDisk",
                                        "photonPersistentDisk",
                                        "portworxVolume",
                                        "scaleIO",
                                        "local",
                                        "storageos",
                                        "csi"}) {
    if (!spec[source].present()) continue;
    if (++sources > 1) spec[source].forbidden("may not specify more than 1 volume type");
    if (!old_volume.is_null() && !equal(spec[source].value(), old_volume.get({"spec", source})))
      spec[source].forbidden("spec.persistentvolumesource is immutable after creation");
  }
  if (sources == 0) spec.required("must specify a volume type");
  if (spec["local"].present() && !spec.at({"nodeAffinity", "required"}).present())
    spec["nodeAffinity"].required("Local volume requires node affinity");
  if (const Spot needed = spec.at({"nodeAffinity", "required"}); needed.present()) check_node_selector(needed);
  if (spec["csi"].present()) {
    spec["csi"]["driver"].wants_text();
    spec["csi"]["volumeHandle"].wants_text();
  }
  if (!old_volume.is_null()) check_immutable(spec["volumeMode"], old_volume.get({"spec", "volumeMode"}));
}

void check_limit_range(const Spot& range, const Value&) {
  const Spot limits = range["spec"]["limits"];
  std::set<std::string_view> types;
  for (size_t i = 0; i < limits.size(); ++i) {
    const Spot limit = limits.item(i);
    if (limit["type"].wants_text() && !types.insert(limit["type"].text()).second) limit["type"].duplicate();
    for (const std::string_view list : {"max", "min", "default", "defaultRequest", "maxLimitRequestRatio"})
      check_quantities(limit[list]);
    for (const Member& member : limit["min"].value().members()) {
      const auto least = Quantity::parse(member.value.as_string());
      for (const std::string_view list : {"max", "default", "defaultRequest"}) {
        const Value* other = limit[list].value().find(member.key);
        const auto amount = other == nullptr ? Result<Quantity>(fail("")) : Quantity::parse(other->as_string());
        if (least && amount && *least > *amount)
          limit["min"]
              .key(member.key)
              .invalid(cat("min value ", member.value.as_string(), " is greater than ",
                           list == "max"       ? "max"
                           : list == "default" ? "default"
                                               : "default request",
                           " value ", other->as_string()));
      }
    }
  }
}

void check_quota(const Spot& quota, const Value& old_quota) {
  check_quantities(quota["spec"]["hard"]);
  static constexpr std::initializer_list<std::string_view> kScopes = {
      "BestEffort",  "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass",
      "Terminating", "VolumeAttributesClass"};
  const Spot scopes = quota["spec"]["scopes"];
  for (size_t i = 0; i < scopes.size(); ++i)
    if (std::ranges::find(kScopes, scopes.item(i).text()) == kScopes.end()) scopes.item(i).invalid("unsupported scope");
  if (!old_quota.is_null()) check_immutable(scopes, old_quota.get({"spec", "scopes"}));
}

void check_endpoints(const Spot& endpoints, const Value&) {
  for (size_t i = 0; i < endpoints["subsets"].size(); ++i) {
    const Spot subset = endpoints["subsets"].item(i);
    if (subset["addresses"].size() + subset["notReadyAddresses"].size() == 0)
      subset.required("must specify `addresses` or `notReadyAddresses`");
    for (const std::string_view list : {"addresses", "notReadyAddresses"})
      for (size_t j = 0; j < subset[list].size(); ++j) {
        check_ip(subset[list].item(j)["ip"]);
        if (!subset[list].item(j)["hostname"].empty())
          subset[list].item(j)["hostname"].invalid(dns_label_faults(subset[list].item(j)["hostname"].text()));
      }
    for (size_t j = 0; j < subset["ports"].size(); ++j) {
      const Spot port = subset["ports"].item(j);
      if (port["name"].empty() && subset["ports"].size() > 1) port["name"].required();
      check_port(port["port"]);
      port["protocol"].one_of({"TCP", "UDP", "SCTP"});
    }
  }
}

void check_controller(const Spot& controller, const Value&) {
  const Spot spec = controller["spec"];
  if (spec["selector"].size() == 0) spec["selector"].required();
  if (!spec["replicas"].present()) spec["replicas"].required("");
  spec["replicas"].not_negative();
  check_pod_template(spec["template"], spec["selector"].value(), false);
  if (spec["template"].present() && spec.at({"template", "spec", "restartPolicy"}).text() != "Always")
    spec.at({"template", "spec", "restartPolicy"}).unsupported({"Always"});
}

void check_event(const Spot& event, const Value&) {
  const std::string_view about = event["involvedObject"].value().string("namespace");
  const std::string_view space = event["metadata"].value().string("namespace");
  if (about.empty() ? space != "default" && !space.empty() && space != "kube-system" : about != space)
    event["involvedObject"]["namespace"].invalid("does not match event.namespace");
}

void check_binding(const Spot& binding, const Value&) {
  const Spot kind = binding["target"]["kind"];
  if (!kind.empty() && kind.text() != "Node") kind.unsupported({"Node", "<empty>"});
  binding["target"]["name"].wants_text("");
}

void check_nothing(const Spot&, const Value&) {}

void check_pod_template_object(const Spot& object, const Value&) { check_pod_template(object["template"], Value()); }

constexpr KindRules kRules[] = {
    {"", "Pod", check_pod},
    {"", "ConfigMap", check_config_map},
    {"", "Secret", check_secret},
    {"", "Service", check_service, dns1035_label_faults},
    {"", "Namespace", check_namespace, dns_label_faults},
    {"", "Node", check_node},
    {"", "PersistentVolumeClaim", check_volume_claim},
    {"", "PersistentVolume", check_volume},
    {"", "LimitRange", check_limit_range},
    {"", "ResourceQuota", check_quota},
    {"", "Endpoints", check_endpoints},
    {"", "ReplicationController", check_controller},
    {"", "Event", check_event},
    {"", "Binding", check_binding},
    {"", "PodTemplate", check_pod_template_object},
    {"", "ServiceAccount", check_nothing},
};

}  // namespace

std::span<const KindRules> core_rules() { return kRules; }

}  // namespace proa::kube
