// PodSecurity: pods keep to the level their namespace asks for; workloads are told when theirs will not.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/plugins.h"
#include "kube/apiserver/admission/pod_security/levels.h"
#include "kube/validation/names.h"
#include "kube/validation/validate.h"

namespace proa::kube::api {
namespace {

using namespace pod_security;

// When a namespace gets stricter, at most so many of its pods are looked at.
constexpr size_t kMostPods = 3000;

bool contains(const std::vector<std::string>& list, std::string_view name) {
  return !name.empty() && std::ranges::find(list, name) != list.end();
}

// Not for images that change: only those make a pod do other things than before.
bool significant(const Value& pod, const Value& old_pod) {
  for (const std::string_view list : {"initContainers", "containers", "ephemeralContainers"}) {
    const std::span<Value> now = pod.get({"spec", list}).items(), before = old_pod.get({"spec", list}).items();
    if (now.size() != before.size()) return true;
    for (size_t i = 0; i < now.size(); ++i)
      if (now[i].string("image") != before[i].string("image")) return true;
  }
  const auto profiles = [](const Value& object) {
    std::map<std::string_view, std::string_view> out;
    for (const Member& member : object.get({"metadata", "annotations"}).members())
      if (member.key.starts_with("seccomp.security.alpha.kubernetes.io/pod") ||
          member.key.starts_with("container.seccomp.security.alpha.kubernetes.io/") ||
          member.key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        out[member.key] = member.value.as_string();
    return out;
  };
  return profiles(pod) != profiles(old_pod);
}

class PodSecurity final : public AdmissionPlugin {
 public:
  PodSecurity(const Reader& reader, const PodSecurityOptions& options) : reader_(reader), options_(options) {
    // What does not parse is the strictest; whoever reads the options has checked them.
    const auto parse = [](const std::string& text, LevelVersion& out) {
      if (!parse_level_version(text, out)) out = {Level::kRestricted, kLatest};
    };
    parse(options.enforce, defaults_.enforce);
    parse(options.audit, defaults_.audit);
    parse(options.warn, defaults_.warn);
  }
  std::string_view name() const override { return "PodSecurity"; }

  Answer<> validate(Admission& w) override {
    if (w.operation != Operation::kCreate && w.operation != Operation::kUpdate) return {};
    if (about(w, "", "namespaces")) return w.subresource.empty() ? check_namespace(w) : Answer<>{};
    if (about_pods(w)) return check_pod(w);
    if (w.subresource.empty()) check_template(w);
    return {};
  }

 private:
  static void note(Admission& w, std::string_view key, std::string value) {
    w.annotations.emplace_back(cat("pod-security.kubernetes.io/", key), std::move(value));
  }

  // Whether namespace or user are not asked.
  bool exempt(Admission& w) const {
    if (contains(options_.exempt_namespaces, w.ns)) {
      note(w, "exempt", "namespace");
      return true;
    }
    if (contains(options_.exempt_users, w.user.name)) {
      note(w, "exempt", "user");
      return true;
    }
    return false;
  }

  Answer<> check_pod(Admission& w) const {
    if (!w.subresource.empty() && w.subresource != "ephemeralcontainers" && w.subresource != "resize") return {};
    if (exempt(w)) return {};
    const StoredPtr space = reader_.get("", "namespaces", "", w.ns);
    if (space == nullptr) return refuse(internal_error(cat("failed to lookup namespace ", quoted(w.ns))));
    std::vector<LabelFault> faults;
    const Policy policy = policy_of(space->root().get({"metadata", "labels"}), defaults_, faults);
    if (faults.empty() && policy.privileged()) {
      note(w, "enforce-policy", "privileged:latest");
      return {};
    }
    if (w.operation == Operation::kUpdate && !significant(w.object, w.old_object)) return {};
    return evaluate(w, policy, faults, {w.object.get("metadata"), w.object.get("spec")}, true);
  }

  void check_template(Admission& w) const {
    const PodPart part = pod_part(w.resource, w.object);
    if (!part.spec.is_object() || exempt(w)) return;
    const StoredPtr space = reader_.get("", "namespaces", "", w.ns);
    if (space == nullptr) return;
    std::vector<LabelFault> faults;
    const Policy policy = policy_of(space->root().get({"metadata", "labels"}), defaults_, faults);
    if (faults.empty() && policy.warn.level == Level::kPrivileged && policy.audit.level == Level::kPrivileged) return;
    static_cast<void>(evaluate(w, policy, faults, part, false));
  }

  Answer<> evaluate(Admission& w, const Policy& policy, const std::vector<LabelFault>& faults, const PodPart& pod,
                    bool enforce) const {
    if (contains(options_.exempt_runtime_classes, pod.spec.string("runtimeClassName"))) {
      note(w, "exempt", "runtimeClass");
      return {};
    }
    if (!faults.empty()) {
      std::vector<FieldError> errors = field_errors(faults);
      note(w, "error", cat("Failed to parse policy: ", aggregate(errors)));
    }
    std::string refusal;
    if (enforce) {
      note(w, "enforce-policy", policy.enforce.text());
      if (const auto found = violations(policy.enforce, pod.metadata, pod.spec); !found.empty())
        refusal = cat("violates PodSecurity ", quoted(policy.enforce.text()), ": ", details(found));
    }
    if (const auto found = violations(policy.audit, pod.metadata, pod.spec); !found.empty())
      note(w, "audit-violations", cat("would violate PodSecurity ", quoted(policy.audit.text()), ": ", details(found)));
    if (!refusal.empty()) return refuse(denied(w, refusal));
    if (const auto found = violations(policy.warn, pod.metadata, pod.spec); !found.empty())
      w.warnings.push_back(cat("would violate PodSecurity ", quoted(policy.warn.text()), ": ", details(found)));
    return {};
  }

  static std::vector<FieldError> field_errors(const std::vector<LabelFault>& faults) {
    std::vector<FieldError> out;
    for (const LabelFault& fault : faults)
      out.push_back(
          {FieldError::Type::kInvalid, cat("metadata.labels[", fault.label, "]"), quoted(fault.value), fault.detail});
    return out;
  }

  Answer<> check_namespace(Admission& w) const {
    std::vector<LabelFault> faults, old_faults;
    const Value labels = w.object.get({"metadata", "labels"});
    const Policy policy = policy_of(labels, defaults_, faults);
    const std::string_view name = w.object.string({"metadata", "name"});
    if (w.operation == Operation::kCreate) {
      if (!faults.empty()) return refuse(invalid("", "Namespace", name, field_errors(faults)));
      if (contains(options_.exempt_namespaces, name)) warn_exempt(w, name, policy, labels);
      return {};
    }
    const Policy before = policy_of(w.old_object.get({"metadata", "labels"}), defaults_, old_faults);
    if (!faults.empty() && faults != old_faults) return refuse(invalid("", "Namespace", name, field_errors(faults)));
    if (policy.enforce == before.enforce || policy.enforce.level == Level::kPrivileged) return {};
    if (policy.enforce.minor == before.enforce.minor && policy.enforce.level <= before.enforce.level) return {};
    if (contains(options_.exempt_namespaces, name))
      warn_exempt(w, name, policy, labels);
    else
      warn_of_pods(w, name, policy.enforce);
    return {};
  }

  void warn_exempt(Admission& w, std::string_view name, const Policy& policy, const Value& labels) const {
    const auto same = [](const LevelVersion& a, const LevelVersion& b) {
      return a == b || (a.level == Level::kPrivileged && b.level == Level::kPrivileged);
    };
    if (policy.privileged() || (same(policy.enforce, defaults_.enforce) && same(policy.audit, defaults_.audit) &&
                                same(policy.warn, defaults_.warn)))
      return;
    std::vector<std::string> parts;
    const auto part = [&](std::string_view mode, const LevelVersion& asked) {
      const bool labelled = labels.find(cat("pod-security.kubernetes.io/", mode)) != nullptr ||
                            labels.find(cat("pod-security.kubernetes.io/", mode, "-version")) != nullptr;
      if (asked.level != Level::kPrivileged && labelled) parts.push_back(cat(mode, "=", asked.text()));
    };
    part("enforce", policy.enforce);
    part("audit", policy.audit);
    part("warn", policy.warn);
    w.warnings.push_back(cat("namespace ", quoted(name), " is exempt from Pod Security, and the policy (",
                             join(parts, ", "), ") will be ignored"));
  }

  // Of each controller one pod is looked at before its others are.
  std::vector<StoredPtr> pods_of(std::string_view ns) const {
    std::vector<StoredPtr> first, others;
    std::map<std::string, bool, std::less<>> seen;
    for (StoredPtr& pod : reader_.list("", "pods", ns)) {
      if (contains(options_.exempt_runtime_classes, pod->root().string({"spec", "runtimeClassName"}))) continue;
      std::string_view controller;
      for (const Value& owner : pod->root().get({"metadata", "ownerReferences"}).items())
        if (owner.get("controller").as_bool()) controller = owner.string("uid");
      const bool fresh = controller.empty() || seen.try_emplace(std::string(controller), true).second;
      (fresh ? first : others).push_back(std::move(pod));
    }
    std::ranges::move(others, std::back_inserter(first));
    return first;
  }

  void warn_of_pods(Admission& w, std::string_view ns, const LevelVersion& enforce) const {
    struct Group {
      std::string first;
      size_t count = 0;
    };
    std::map<std::string, Group> groups;
    const std::vector<StoredPtr> pods = pods_of(ns);
    const size_t looked_at = std::min(pods.size(), kMostPods);
    for (size_t i = 0; i < looked_at; ++i) {
      const Value& pod = pods[i]->root();
      const auto found = violations(enforce, pod.get("metadata"), pod.get("spec"));
      if (found.empty()) continue;
      Group& group = groups[reasons(found)];
      const std::string_view name = pod.string({"metadata", "name"});
      if (group.count++ == 0 || name < group.first) group.first = name;
    }
    if (looked_at < pods.size())
      w.warnings.push_back(cat("new PodSecurity enforce level only checked against the first ", looked_at, " of ",
                               pods.size(), " existing pods"));
    if (groups.empty()) return;
    w.warnings.push_back(cat("existing pods in namespace ", quoted(ns), " violate the new PodSecurity enforce level ",
                             quoted(enforce.text())));
    std::vector<std::string> lines;
    for (const auto& [why, group] : groups)
      lines.push_back(group.count == 1   ? cat(group.first, ": ", why)
                      : group.count == 2 ? cat(group.first, " (and 1 other pod): ", why)
                                         : cat(group.first, " (and ", group.count - 1, " other pods): ", why));
    std::ranges::sort(lines);
    std::ranges::move(lines, std::back_inserter(w.warnings));
  }

  const Reader& reader_;
  const PodSecurityOptions options_;
  Policy defaults_;
};

}  // namespace

PluginPtr pod_security_standards(const Reader& reader, const PodSecurityOptions& options) {
  return std::make_unique<PodSecurity>(reader, options);
}

}  // namespace proa::kube::api
