// What clients are warned of: fields that are old, do nothing, or do not do what they seem to.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/text.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/registry/strategies/strategies.h"
#include "kube/codec/quantity.h"
#include "kube/validation/names.h"

namespace proa::kube::api {
namespace {

struct Old {
  std::string_view name, text;
};

constexpr Old kOldLabels[] = {
    {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
    {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
    {"failure-domain.beta.kubernetes.io/region",
     "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
    {"failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
    {"beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
};

constexpr Old kOldVolumes[] = {
    {"photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
    {"gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
    {"scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
    {"flocker", "deprecated in v1.22, non-functional in v1.25+"},
    {"storageos", "deprecated in v1.22, non-functional in v1.25+"},
    {"quobyte", "deprecated in v1.22, non-functional in v1.25+"},
    {"glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
    {"cephfs", "deprecated in v1.28, non-functional in v1.31+"},
    {"rbd", "deprecated in v1.28, non-functional in v1.31+"},
};

// As messages name it, which is not always the field's name.
std::string_view volume_name(std::string_view field) { return field == "storageos" ? "storageOS" : field; }

class PodWarnings {
 public:
  PodWarnings(std::vector<std::string>& out, const PodPart& pod, std::string_view spec, std::string_view metadata)
      : out_(out), pod_(pod), spec_path_(spec), metadata_path_(metadata) {}

  void all() {
    labels();
    annotations();
    volumes();
    references();
    const Value spec = pod_.spec;
    for (const std::string_view list : {"initContainers", "containers"}) {
      const std::span<Value> containers = spec.get(list).items();
      for (size_t i = 0; i < containers.size(); ++i) container(containers[i], cat(spec_path_, ".", list, "[", i, "]"));
    }
    if (spec.get("terminationGracePeriodSeconds").as_int() < 0)
      add(cat(spec_path_, ".terminationGracePeriodSeconds"),
          "must be >= 0; negative values are invalid and will be treated as 1");
  }

 private:
  void add(const std::string& path, std::string_view text) { out_.push_back(cat(path, ": ", text)); }

  void label(const std::string& path, std::string_view key) {
    for (const Old& old : kOldLabels)
      if (old.name == key) add(path, old.text);
  }

  void labels() {
    const Value spec = pod_.spec;
    for (const Member& member : spec.get("nodeSelector").members())
      label(cat(spec_path_, ".nodeSelector[", member.key, "]"), member.key);
    const auto terms = [&](const Value& term, const std::string& path) {
      const std::span<Value> expressions = term.get("matchExpressions").items();
      for (size_t i = 0; i < expressions.size(); ++i)
        label(cat(path, ".matchExpressions[", i, "].key"), expressions[i].string("key"));
    };
    const Value affinity = spec.get({"affinity", "nodeAffinity"});
    const std::string base = cat(spec_path_, ".affinity.nodeAffinity.");
    const std::span<Value> needed =
        affinity.get({"requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"}).items();
    for (size_t i = 0; i < needed.size(); ++i)
      terms(needed[i], cat(base, "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[", i, "]"));
    const std::span<Value> wished = affinity.get("preferredDuringSchedulingIgnoredDuringExecution").items();
    for (size_t i = 0; i < wished.size(); ++i)
      terms(wished[i].get("preference"),
            cat(base, "preferredDuringSchedulingIgnoredDuringExecution[", i, "].preference"));
    const std::span<Value> spread = spec.get("topologySpreadConstraints").items();
    for (size_t i = 0; i < spread.size(); ++i)
      label(cat(spec_path_, ".topologySpreadConstraints[", i, "].topologyKey"), spread[i].string("topologyKey"));
  }

  void annotations() {
    for (const Member& member : pod_.metadata.get("annotations").members()) {
      const std::string path = cat(metadata_path_, ".annotations[", member.key, "]");
      if (member.key == "seccomp.security.alpha.kubernetes.io/pod" ||
          member.key.starts_with("container.seccomp.security.alpha.kubernetes.io/"))
        add(path, "non-functional in v1.27+; use the \"seccompProfile\" field instead");
      if (member.key == "security.alpha.kubernetes.io/sysctls" ||
          member.key == "security.alpha.kubernetes.io/unsafe-sysctls")
        add(path, "non-functional in v1.11+; use the \"sysctls\" field instead");
      if (member.key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        add(path, "deprecated since v1.30; use the \"appArmorProfile\" field instead");
    }
  }

  void volumes() {
    const std::span<Value> all = pod_.spec.get("volumes").items();
    for (size_t i = 0; i < all.size(); ++i) {
      for (const Old& old : kOldVolumes)
        if (all[i].find(old.name) != nullptr)
          add(cat(spec_path_, ".volumes[", i, "].", volume_name(old.name)), old.text);
      const std::string_view claim_class = all[i].string(
          {"ephemeral", "volumeClaimTemplate", "metadata", "annotations", "volume.beta.kubernetes.io/storage-class"});
      if (!claim_class.empty())
        add(cat(spec_path_, ".volumes[", i,
                "].ephemeral.volumeClaimTemplate.metadata.annotations[volume.beta.kubernetes.io/storage-class]"),
            "deprecated since v1.8; use \"storageClassName\" attribute instead");
    }
  }

  void references() {
    const std::span<Value> pulls = pod_.spec.get("imagePullSecrets").items();
    for (size_t i = 0; i < pulls.size(); ++i)
      if (pulls[i].string("name").empty())
        add(cat(spec_path_, ".imagePullSecrets[", i, "].name"), "invalid empty name \"\"");
    std::map<std::string_view, size_t> seen;
    const std::span<Value> aliases = pod_.spec.get("hostAliases").items();
    for (size_t i = 0; i < aliases.size(); ++i) {
      const auto [at, fresh] = seen.try_emplace(aliases[i].string("ip"), i);
      if (!fresh)
        add(cat(spec_path_, ".hostAliases[", i, "].ip"),
            cat("duplicate ip ", quoted(aliases[i].string("ip")), " already set in ", spec_path_, ".hostAliases[",
                at->second, "].ip"));
    }
  }

  void container(const Value& container, const std::string& path) {
    for (const std::string_view list : {"limits", "requests"})
      for (const std::string_view name : {"memory", "ephemeral-storage"}) {
        const std::string_view text = container.get({"resources", list}).string(name);
        const auto amount = Quantity::parse(text);
        if (!text.empty() && amount && !amount->whole())
          add(cat(path, ".resources.", list, "[", name, "]"),
              cat("fractional byte value ", quoted(text), " is invalid, must be an integer"));
      }
    ports(container, path);
    std::map<std::string_view, bool> names;
    const std::span<Value> variables = container.get("env").items();
    for (size_t i = 0; i < variables.size(); ++i) {
      const std::string_view name = variables[i].string("name");
      if (!names.try_emplace(name, true).second)
        add(cat(path, ".env[", i, "]"),
            cat("hides previous definition of ", quoted(name), ", which may be dropped when using apply"));
    }
  }

  void ports(const Value& container, const std::string& path) {
    const std::span<Value> all = container.get("ports").items();
    for (size_t i = 0; i < all.size(); ++i)
      for (size_t j = 0; j < i; ++j) {
        const auto same = [&](std::string_view field) { return equal(all[i].get(field), all[j].get(field)); };
        if (!same("containerPort") || !same("protocol")) continue;
        const std::string here = cat(path, ".ports[", i, "]"), there = cat(path, ".ports[", j, "]");
        if (same("hostPort") && same("hostIP")) {
          add(here, cat("duplicate port definition with ", there));
          break;
        }
        const bool no_ip = all[i].string("hostIP").empty() || all[j].string("hostIP").empty();
        if (same("hostPort") && all[i].get("hostPort").as_int() != 0 && no_ip) {
          add(here, cat("overlapping port definition with ", there));
          break;
        }
      }
  }

  std::vector<std::string>& out_;
  const PodPart pod_;
  const std::string spec_path_, metadata_path_;
};

void warn_of_name(Admission& w, std::string_view text, Faults (*faults)(std::string_view) = dns_label_faults) {
  if (!creates(w)) return;
  const Faults found = faults(w.object.string({"metadata", "name"}));
  if (!found.empty()) w.warnings.push_back(cat("metadata.name: ", text, ": [", join(found, ", "), "]"));
}

}  // namespace

void warn_of_pod(Admission& w) {
  if (!w.subresource.empty()) return;
  if (creates(w) && w.object.string({"spec", "hostname"}).empty())
    warn_of_name(
        w, "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended");
  // Of an update only what is new is said.
  std::vector<std::string> now, before;
  PodWarnings(now, {w.object.get("metadata"), w.object.get("spec")}, "spec", "metadata").all();
  if (!creates(w))
    PodWarnings(before, {w.old_object.get("metadata"), w.old_object.get("spec")}, "spec", "metadata").all();
  for (std::string& text : now)
    if (std::ranges::find(before, text) == before.end()) w.warnings.push_back(std::move(text));
}

void warn_of_workload(Admission& w) {
  if (!w.subresource.empty()) return;
  const bool template_only = about(w, "", "podtemplates");
  if (!template_only && !about(w, "", "replicationcontrollers") && !about(w, "apps", "statefulsets"))
    warn_of_name(w,
                 "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is "
                 "recommended");
  const PodPart pod = pod_part(w.resource, w.object);
  if (!creates(w) && equal(pod.spec, pod_part(w.resource, w.old_object).spec)) return;
  const std::string_view base = template_only ? "template" : "spec.template";
  PodWarnings(w.warnings, pod, cat(base, ".spec"), cat(base, ".metadata")).all();
  if (about(w, "apps", "statefulsets") && w.object.get({"spec", "revisionHistoryLimit"}).as_int() < 0)
    w.warnings.emplace_back(
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended");
}

void warn_of_cron_job(Admission& w) {
  if (!w.subresource.empty()) return;
  warn_of_name(w,
               "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is "
               "recommended");
  PodWarnings(w.warnings, pod_part(w.resource, w.object), "spec.jobTemplate.spec.template.spec",
              "spec.jobTemplate.spec.template.metadata")
      .all();
  const std::string_view schedule = w.object.string({"spec", "schedule"});
  if (schedule.find("TZ") != std::string_view::npos)
    w.warnings.emplace_back("spec.schedule: cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
}

void warn_of_service(Admission& w) {
  if (!w.subresource.empty()) return;
  if (has_annotation(w.object, "service.kubernetes.io/topology-aware-hints"))
    w.warnings.emplace_back(
        "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
        "service.kubernetes.io/topology-mode instead");
  const Value spec = w.object.get("spec");
  if (spec.string("type") == "ExternalName" && spec.get("externalIPs").size() > 0)
    w.warnings.emplace_back("spec.externalIPs is ignored when spec.type is \"ExternalName\"");
}

void warn_of_ingress(Admission& w) {
  if (w.subresource.empty() && creates(w) && has_annotation(w.object, "kubernetes.io/ingress.class"))
    w.warnings.emplace_back(
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead");
}

namespace {

void warn_of_class_annotation(Admission& w) {
  if (has_annotation(w.object, "volume.beta.kubernetes.io/storage-class"))
    w.warnings.emplace_back(
        "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "
        "\"storageClassName\" "
        "attribute instead");
}

}  // namespace

void warn_of_volume(Admission& w) {
  if (!w.subresource.empty()) return;
  warn_of_class_annotation(w);
  const Value spec = w.object.get("spec");
  if (spec.string("persistentVolumeReclaimPolicy") == "Recycle")
    w.warnings.emplace_back(
        "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
        "approach "
        "is to use dynamic provisioning.");
  for (const Old& old : kOldVolumes)
    if (spec.find(old.name) != nullptr) w.warnings.push_back(cat("spec.", volume_name(old.name), ": ", old.text));
  if (has_annotation(w.object, "volume.beta.kubernetes.io/mount-options"))
    w.warnings.emplace_back(
        "metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use \"mountOptions\" "
        "attribute instead");
}

void warn_of_claim(Admission& w) {
  if (!w.subresource.empty()) return;
  warn_of_class_annotation(w);
  const std::string_view size = w.object.string({"spec", "resources", "requests", "storage"});
  if (const auto amount = Quantity::parse(size); !size.empty() && amount && !amount->whole())
    w.warnings.push_back(cat("spec.resources.requests[storage]: fractional byte value ", quoted(size),
                             " is invalid, must be an integer"));
}

void warn_of_node(Admission& w) {
  if (!w.subresource.empty()) return;
  if (!w.object.get({"spec", "configSource"}).is_null())
    w.warnings.emplace_back("spec.configSource: the feature is no longer supported");
  if (!w.object.string({"spec", "externalID"}).empty())
    w.warnings.emplace_back("spec.externalID: this field is deprecated, and is unused by Kubernetes");
}

void warn_of_service_account(Admission& w) {
  if (!w.subresource.empty()) return;
  static constexpr std::string_view kKey = "kubernetes.io/enforce-mountable-secrets";
  if (has_annotation(w.object, kKey) && !has_annotation(w.old_object, kKey))
    w.warnings.push_back(
        cat("metadata.annotations[", kKey,
            "]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"));
}

}  // namespace proa::kube::api
