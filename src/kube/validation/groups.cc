// The rules of the groups networking, rbac, storage, coordination, scheduling, discovery, certificates, node,
// flowcontrol, admissionregistration and apiregistration.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "kube/validation/rules.h"
#include "kube/validation/validate.h"

namespace proa::kube {
namespace {

void check_backend(const Spot& backend) {
  const Spot service = backend["service"], resource = backend["resource"];
  if (resource.present() && service.present()) {
    backend.invalid("cannot set both resource and service backends");
    return;
  }
  if (!resource.present() && !service.present()) {
    backend.required("resource or service backend is required");
    return;
  }
  if (!service.present()) return;
  if (service["name"].wants_text()) service["name"].invalid(dns1035_label_faults(service["name"].text()));
  const Spot port = service["port"];
  const bool named = !port["name"].empty(), numbered = port["number"].number() != 0;
  if (named && numbered)
    port.invalid("cannot set both port name & port number");
  else if (named)
    port["name"].invalid(port_name_faults(port["name"].text()));
  else if (numbered)
    check_port(port["number"]);
  else
    port.required("port name or number is required");
}

void check_host(const Spot& host) {
  if (host.empty()) return;
  if (ip_faults(host.text()).empty())
    host.invalid("must be a DNS name, not an IP address");
  else
    host.invalid(host.text().starts_with('*') ? wildcard_subdomain_faults(host.text())
                                              : dns_subdomain_faults(host.text()));
}

void check_ingress(const Spot& ingress, const Value&) {
  const Spot spec = ingress["spec"], rules = spec["rules"], fallback = spec["defaultBackend"];
  if (rules.size() == 0 && !fallback.present()) spec.invalid("either `defaultBackend` or `rules` must be specified");
  if (fallback.present()) check_backend(fallback);
  if (spec["ingressClassName"].present())
    spec["ingressClassName"].invalid(dns_subdomain_faults(spec["ingressClassName"].text()));
  for (size_t i = 0; i < spec["tls"].size(); ++i)
    for (size_t j = 0; j < spec["tls"].item(i)["hosts"].size(); ++j) check_host(spec["tls"].item(i)["hosts"].item(j));
  for (size_t i = 0; i < rules.size(); ++i) {
    check_host(rules.item(i)["host"]);
    const Spot http = rules.item(i)["http"], paths = http["paths"];
    if (!http.present()) continue;
    if (paths.size() == 0) paths.required();
    for (size_t j = 0; j < paths.size(); ++j) {
      const Spot entry = paths.item(j), path = entry["path"], type = entry["pathType"];
      if (!type.present())
        type.required("pathType must be specified");
      else if (type.one_of({"Exact", "ImplementationSpecific", "Prefix"})) {
        const bool strict = type.text() != "ImplementationSpecific";
        if ((strict || !path.empty()) && !path.text().starts_with('/')) path.invalid("must be an absolute path");
        for (const std::string_view bad : {"//", "/./", "/../", "%2f", "%2F"})
          if (strict && path.text().find(bad) != std::string_view::npos)
            path.invalid(cat("must not contain '", bad, "'"));
      }
      check_backend(entry["backend"]);
    }
  }
}

void check_ingress_class(const Spot& object, const Value&) {
  const Spot controller = object["spec"]["controller"];
  if (controller.text().size() > 250) controller.too_long(250);
  const std::string_view domain = controller.text().substr(0, controller.text().find('/'));
  if (controller.wants_text() && (domain.size() == controller.text().size() || !is_dns_subdomain(domain)))
    controller.invalid("must be a domain-prefixed path (such as \"acme.io/foo\")");
}

void check_peers(const Spot& peers) {
  for (size_t i = 0; i < peers.size(); ++i) {
    const Spot peer = peers.item(i), block = peer["ipBlock"];
    const bool selects = peer["podSelector"].present() || peer["namespaceSelector"].present();
    validate_label_selector(peer["podSelector"]);
    validate_label_selector(peer["namespaceSelector"]);
    if (!selects && !block.present()) peer.required("must specify a peer");
    if (selects && block.present()) peer.forbidden("may not specify both ipBlock and another peer");
    if (!block.present()) continue;
    if (block["cidr"].wants_text() && !is_cidr(block["cidr"].text()))
      block["cidr"].invalid("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    for (size_t j = 0; j < block["except"].size(); ++j)
      if (!is_cidr(block["except"].item(j).text()))
        block["except"].item(j).invalid("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
  }
}

void check_network_policy(const Spot& policy, const Value&) {
  const Spot spec = policy["spec"];
  validate_label_selector(spec["podSelector"]);
  for (const auto& [direction, peers] : {std::pair("ingress", "from"), std::pair("egress", "to")})
    for (size_t i = 0; i < spec[direction].size(); ++i) {
      const Spot rule = spec[direction].item(i);
      check_peers(rule[peers]);
      for (size_t j = 0; j < rule["ports"].size(); ++j) {
        const Spot port = rule["ports"].item(j);
        if (!port["protocol"].empty()) port["protocol"].one_of({"TCP", "UDP", "SCTP"});
        if (port["port"].present()) check_port_or_name(port["port"]);
        const Spot last = port["endPort"];
        if (!last.present()) continue;
        if (!port["port"].present())
          last.invalid("may not be specified when `port` is not specified");
        else if (port["port"].value().is_string())
          last.invalid("may not be specified when `port` is non-numeric");
        else if (last.number() < port["port"].number())
          last.invalid("must be greater than or equal to `port`");
      }
    }
  if (spec["policyTypes"].size() > 2) spec["policyTypes"].invalid("may not specify more than two policyTypes");
  for (size_t i = 0; i < spec["policyTypes"].size(); ++i) spec["policyTypes"].item(i).one_of({"Egress", "Ingress"});
}

// --- rbac

void check_policy_rules(const Spot& rules, bool namespaced) {
  for (size_t i = 0; i < rules.size(); ++i) {
    const Spot rule = rules.item(i);
    if (rule["verbs"].size() == 0) rule["verbs"].required("verbs must contain at least one value");
    const bool urls = rule["nonResourceURLs"].size() > 0;
    if (urls && namespaced) rule["nonResourceURLs"].invalid("namespaced rules cannot apply to non-resource URLs");
    if (urls && rule["apiGroups"].size() + rule["resources"].size() + rule["resourceNames"].size() > 0)
      rule["nonResourceURLs"].invalid("rules cannot apply to both regular resources and non-resource URLs");
    if (urls) continue;
    if (rule["apiGroups"].size() == 0) rule["apiGroups"].required("resource rules must supply at least one api group");
    if (rule["resources"].size() == 0) rule["resources"].required("resource rules must supply at least one resource");
  }
}

void check_role(const Spot& role, const Value&) { check_policy_rules(role["rules"], true); }

void check_cluster_role(const Spot& role, const Value&) {
  check_policy_rules(role["rules"], false);
  const Spot selectors = role["aggregationRule"]["clusterRoleSelectors"];
  if (role["aggregationRule"].present() && selectors.size() == 0)
    selectors.required("at least one clusterRoleSelector required if aggregationRule is non-nil");
  for (size_t i = 0; i < selectors.size(); ++i) validate_label_selector(selectors.item(i));
}

void check_role_binding(const Spot& binding, const Value& old_binding) {
  const Spot role = binding["roleRef"], subjects = binding["subjects"];
  if (role["apiGroup"].text() != "rbac.authorization.k8s.io")
    role["apiGroup"].unsupported({"rbac.authorization.k8s.io"});
  const bool cluster = binding["metadata"].value().string("namespace").empty();
  if (cluster)
    role["kind"].one_of({"ClusterRole"});
  else
    role["kind"].one_of({"ClusterRole", "Role"});
  if (role["name"].wants_text()) role["name"].invalid(path_segment_faults(role["name"].text()));
  for (size_t i = 0; i < subjects.size(); ++i) {
    const Spot subject = subjects.item(i);
    subject["name"].wants_text();
    const std::string_view kind = subject["kind"].text();
    if (kind == "ServiceAccount") {
      if (!subject["name"].empty()) subject["name"].invalid(dns_subdomain_faults(subject["name"].text()));
      if (!subject["apiGroup"].empty()) subject["apiGroup"].unsupported({""});
      if (subject["namespace"].empty() && cluster) subject["namespace"].required();
    } else if (kind == "User" || kind == "Group") {
      if (subject["apiGroup"].text() != "rbac.authorization.k8s.io")
        subject["apiGroup"].unsupported({"rbac.authorization.k8s.io"});
    } else {
      subject["kind"].unsupported({"ServiceAccount", "User", "Group"});
    }
  }
  if (!old_binding.is_null()) check_immutable(role, old_binding.get("roleRef"), "cannot change roleRef");
}

// --- storage

void check_storage_class(const Spot& object, const Value& old_object) {
  if (object["provisioner"].wants_text())
    object["provisioner"].invalid(qualified_name_faults(object["provisioner"].text()));
  object["reclaimPolicy"].one_of({"Delete", "Retain"});
  object["volumeBindingMode"].one_of({"Immediate", "WaitForFirstConsumer"});
  if (old_object.is_null()) return;
  if (!equal(object["parameters"].value(), old_object.get("parameters")))
    object["parameters"].forbidden("updates to parameters are forbidden.");
  for (const std::string_view field : {"provisioner", "reclaimPolicy"})
    if (!equal(object[field].value(), old_object.get(field)))
      object[field].forbidden(cat("updates to ", field, " are forbidden."));
}

void check_csi_driver(const Spot& object, const Value&) {
  const Spot modes = object["spec"]["volumeLifecycleModes"];
  for (size_t i = 0; i < modes.size(); ++i) modes.item(i).one_of({"Ephemeral", "Persistent"});
  if (!object["spec"]["attachRequired"].present()) object["spec"]["attachRequired"].required();
}

void check_attachment(const Spot& object, const Value&) {
  const Spot spec = object["spec"];
  spec["attacher"].wants_text();
  spec["nodeName"].wants_text();
  const bool named = spec["source"]["persistentVolumeName"].present(),
             inlined = spec["source"]["inlineVolumeSpec"].present();
  if (!named && !inlined)
    spec["source"].required("must specify exactly one of inlineVolumeSpec and persistentVolumeName");
  if (named && inlined)
    spec["source"].forbidden("must specify exactly one of inlineVolumeSpec and persistentVolumeName");
}

void check_attributes_class(const Spot& object, const Value&) {
  object["driverName"].wants_text();
  if (object["parameters"].size() == 0) object["parameters"].required("must contain at least one key/value pair");
}

// --- others

void check_lease(const Spot& lease, const Value&) {
  const Spot spec = lease["spec"];
  if (spec["leaseDurationSeconds"].present()) spec["leaseDurationSeconds"].positive();
  spec["leaseTransitions"].not_negative();
  if (spec["holderIdentity"].present()) spec["holderIdentity"].wants_text("must not be empty");
}

void check_priority_class(const Spot& object, const Value&) {
  const std::string_view name = object["metadata"].value().string("name");
  constexpr int64_t kHighest = 1'000'000'000;
  if (name.starts_with("system-")) {
    if (name != "system-cluster-critical" && name != "system-node-critical")
      object["metadata"]["name"].forbidden(
          "priority class names with 'system-' prefix are reserved for system use only");
  } else if (object["value"].number() > kHighest) {
    object["value"].forbidden(cat("maximum allowed value of a user defined priority is ", kHighest));
  }
  object["preemptionPolicy"].one_of({"Never", "PreemptLowerPriority"});
}

void check_slice(const Spot& slice, const Value&) {
  const Spot type = slice["addressType"], endpoints = slice["endpoints"];
  if (!type.one_of({"FQDN", "IPv4", "IPv6"})) return;
  if (endpoints.size() > 1000) endpoints.too_many(1000);
  if (slice["ports"].size() > 20000) slice["ports"].too_many(20000);
  for (size_t i = 0; i < endpoints.size(); ++i) {
    const Spot addresses = endpoints.item(i)["addresses"];
    if (addresses.size() == 0) addresses.required("must contain at least 1 address");
    if (addresses.size() > 100) addresses.too_many(100);
    for (size_t j = 0; j < addresses.size(); ++j) {
      const Spot address = addresses.item(j);
      if (type.text() == "FQDN")
        address.invalid(dns_subdomain_faults(address.text()));
      else if (!ip_faults(address.text()).empty())
        check_ip(address);
      else if (is_ipv6(address.text()) != (type.text() == "IPv6"))
        address.invalid(cat("must be an ", type.text(), " address"));
    }
    const Spot hostname = endpoints.item(i)["hostname"];
    if (hostname.present()) hostname.invalid(dns_label_faults(hostname.text()));
  }
  std::set<std::string_view> names;
  for (size_t i = 0; i < slice["ports"].size(); ++i) {
    const Spot name = slice["ports"].item(i)["name"];
    if (!names.insert(name.text()).second) name.duplicate();
    if (!name.empty()) name.invalid(dns_label_faults(name.text()));
  }
}

void check_signing_request(const Spot& request, const Value&) {
  const Spot spec = request["spec"], usages = spec["usages"];
  spec["request"].wants_text();
  if (usages.size() == 0) usages.required("usages is required");
  if (spec["signerName"].wants_text()) {
    const size_t slash = spec["signerName"].text().find('/');
    if (slash == std::string_view::npos)
      spec["signerName"].invalid("must be a fully qualified domain and path of the form 'example.com/signer-name'");
    else
      spec["signerName"].invalid(dns_subdomain_faults(spec["signerName"].text().substr(0, slash)));
  }
  if (spec["expirationSeconds"].present() && spec["expirationSeconds"].number() < 600)
    spec["expirationSeconds"].invalid("may not specify a duration less than 600 seconds (10 minutes)");
}

void check_runtime_class(const Spot& object, const Value&) {
  object["handler"].invalid(dns_label_faults(object["handler"].text()));
  check_quantities(object["overhead"]["podFixed"]);
}

void check_flow_schema(const Spot& object, const Value&) {
  const Spot precedence = object["spec"]["matchingPrecedence"];
  if (precedence.number() <= 0)
    precedence.invalid("must be a positive value");
  else if (precedence.number() > 10000)
    precedence.invalid("must not be greater than 10000");
  object["spec"]["priorityLevelConfiguration"]["name"].wants_text("must reference a priority level");
}

void check_priority_level(const Spot& object, const Value&) {
  const Spot spec = object["spec"];
  if (!spec["type"].one_of({"Exempt", "Limited"})) return;
  if (spec["type"].text() == "Limited" && !spec["limited"].present())
    spec["limited"].required("must not be empty when type is Limited");
  if (spec["type"].text() == "Exempt" && spec["limited"].present())
    spec["limited"].forbidden("must be nil if the type is not Limited");
}

void check_webhooks(const Spot& object, const Value&) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < object["webhooks"].size(); ++i) {
    const Spot hook = object["webhooks"].item(i), name = hook["name"], client = hook["clientConfig"];
    name.invalid(dns_subdomain_faults(name.text()));
    if (std::ranges::count(name.text(), '.') < 2)
      name.invalid("should be a domain with at least three segments separated by dots");
    if (!names.insert(name.text()).second) name.duplicate();
    if (client["url"].present() == client["service"].present())
      client.required("exactly one of url or service is required");
    if (hook["sideEffects"].present())
      hook["sideEffects"].one_of({"None", "NoneOnDryRun"});
    else
      hook["sideEffects"].required("must specify one of None, NoneOnDryRun");
    if (hook["admissionReviewVersions"].size() == 0)
      hook["admissionReviewVersions"].required("must specify one of v1, v1beta1");
    const Spot timeout = hook["timeoutSeconds"];
    if (timeout.present() && (timeout.number() > 30 || timeout.number() < 1))
      timeout.invalid("the timeout value must be between 1 and 30 seconds");
    validate_label_selector(hook["namespaceSelector"]);
    validate_label_selector(hook["objectSelector"]);
  }
}

void check_api_service(const Spot& object, const Value&) {
  const Spot spec = object["spec"];
  const std::string wanted = cat(spec["version"].text(), ".", spec["group"].text());
  if (object["metadata"].value().string("name") != wanted)
    object["metadata"]["name"].invalid(cat("must be `spec.version+\".\"+spec.group`: \"", wanted, "\""));
  const Spot group = spec["groupPriorityMinimum"], version = spec["versionPriority"];
  if (group.number() <= 0 || group.number() > 20000) group.invalid("must be positive and less than 20000");
  if (version.number() <= 0 || version.number() > 1000) version.invalid("must be positive and less than 1000");
  if (spec["service"].present()) {
    spec["service"]["namespace"].wants_text();
    spec["service"]["name"].wants_text();
  }
}

void check_service_cidr(const Spot& object, const Value&) {
  const Spot cidrs = object["spec"]["cidrs"];
  if (cidrs.size() == 0) cidrs.required("at least one CIDR required");
  if (cidrs.size() > 2) cidrs.invalid("may only hold up to 2 values");
  for (size_t i = 0; i < cidrs.size(); ++i)
    if (!is_cidr(cidrs.item(i).text()))
      cidrs.item(i).invalid("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
}

void check_ip_address(const Spot& object, const Value&) {
  const Spot parent = object["spec"]["parentRef"];
  if (!parent.present())
    parent.required();
  else
    for (const std::string_view field : {"resource", "name"}) parent[field].wants_text();
}

constexpr KindRules kRules[] = {
    {"networking.k8s.io", "Ingress", check_ingress},
    {"networking.k8s.io", "IngressClass", check_ingress_class},
    {"networking.k8s.io", "NetworkPolicy", check_network_policy},
    {"networking.k8s.io", "ServiceCIDR", check_service_cidr},
    {"networking.k8s.io", "IPAddress", check_ip_address, ip_faults},
    {"rbac.authorization.k8s.io", "Role", check_role, path_segment_faults},
    {"rbac.authorization.k8s.io", "ClusterRole", check_cluster_role, path_segment_faults},
    {"rbac.authorization.k8s.io", "RoleBinding", check_role_binding, path_segment_faults},
    {"rbac.authorization.k8s.io", "ClusterRoleBinding", check_role_binding, path_segment_faults},
    {"storage.k8s.io", "StorageClass", check_storage_class},
    {"storage.k8s.io", "CSIDriver", check_csi_driver},
    {"storage.k8s.io", "VolumeAttachment", check_attachment},
    {"storage.k8s.io", "VolumeAttributesClass", check_attributes_class},
    {"coordination.k8s.io", "Lease", check_lease},
    {"scheduling.k8s.io", "PriorityClass", check_priority_class},
    {"discovery.k8s.io", "EndpointSlice", check_slice},
    {"certificates.k8s.io", "CertificateSigningRequest", check_signing_request},
    {"node.k8s.io", "RuntimeClass", check_runtime_class},
    {"flowcontrol.apiserver.k8s.io", "FlowSchema", check_flow_schema, path_segment_faults},
    {"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", check_priority_level, path_segment_faults},
    {"admissionregistration.k8s.io", "MutatingWebhookConfiguration", check_webhooks},
    {"admissionregistration.k8s.io", "ValidatingWebhookConfiguration", check_webhooks},
    {"apiregistration.k8s.io", "APIService", check_api_service, path_segment_faults},
};

}  // namespace

std::span<const KindRules> other_rules() { return kRules; }

}  // namespace proa::kube
