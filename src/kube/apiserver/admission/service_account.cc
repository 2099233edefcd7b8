// ServiceAccount: every pod runs as an account of its namespace, and finds its token, the cluster's CA and the name of
// its namespace where client libraries look for them.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/plugins.h"
#include "kube/object/json.h"
#include "kube/validation/names.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kMountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr std::string_view kVolumePrefix = "kube-api-access-";
// An hour and a bit, so that tokens that are renewed at 80 % of their life last an hour.
constexpr std::string_view kTokenSources = R"({"defaultMode":420,"sources":[
  {"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},
  {"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},
  {"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}]}}]})";

bool mounts_token(const Value& account, const Value& spec) {
  for (const Value& holder : {spec, account})
    if (const Value asked = holder.get("automountServiceAccountToken"); asked.is_bool()) return asked.as_bool();
  return true;
}

Value token_volume(Arena& arena, std::string_view name) {
  Value volume = Value::object(arena, 2);
  volume.add(arena, "name", Value::view(name));
  volume.add(arena, "projected", *read_json(arena, kTokenSources));
  return volume;
}

Value token_mount(Arena& arena, std::string_view volume) {
  Value mount = Value::object(arena, 3);
  mount.add(arena, "name", Value::view(volume));
  mount.add(arena, "readOnly", Value::boolean(true));
  mount.add(arena, "mountPath", Value::view(kMountPath));
  return mount;
}

void mount_token(Arena& arena, Value& spec) {
  std::string_view volume;
  std::set<std::string_view> names;
  for (const Value& known : spec.get("volumes").items()) {
    names.insert(known.string("name"));
    if (volume.empty() && known.string("name").starts_with(kVolumePrefix)) volume = known.string("name");
  }
  const bool there = !volume.empty();
  while (volume.empty())
    if (const std::string name = cat(kVolumePrefix, random_suffix()); !names.contains(name)) volume = arena.copy(name);
  bool used = false;
  for (const std::string_view list : {"initContainers", "containers"})
    for (Value& container : spec.get(list).items()) {
      const std::span<Value> mounts = container.get("volumeMounts").items();
      // What is mounted there on purpose stays.
      if (std::ranges::any_of(mounts, [](const Value& mount) { return mount.string("mountPath") == kMountPath; }))
        continue;
      list_in(arena, container, "volumeMounts").push(arena, token_mount(arena, volume));
      used = true;
    }
  if (used && !there) list_in(arena, spec, "volumes").push(arena, token_volume(arena, volume));
}

// --- what mirror pods may not have

std::string mirror_fault(const Value& spec) {
  if (!spec.string("serviceAccountName").empty()) return "a mirror pod may not reference service accounts";
  std::string fault;
  const auto refers = [&](const Value& holder, std::string_view field, std::string_view what) {
    if (fault.empty() && holder.find(field) != nullptr) fault = cat("a mirror pod may not reference ", what);
  };
  each_container(spec, [&](const Value& container, std::string_view) {
    for (const Value& source : container.get("envFrom").items()) {
      refers(source, "secretRef", "secrets");
      refers(source, "configMapRef", "configmaps");
    }
    for (const Value& variable : container.get("env").items()) {
      refers(variable.get("valueFrom"), "secretKeyRef", "secrets");
      refers(variable.get("valueFrom"), "configMapKeyRef", "configmaps");
    }
  });
  for (const Value& volume : spec.get("volumes").items()) {
    refers(volume, "secret", "secrets");
    refers(volume, "configMap", "configmaps");
    refers(volume, "persistentVolumeClaim", "persistentvolumeclaims");
    refers(volume, "ephemeral", "persistentvolumeclaims");
    for (const Value& source : volume.get({"projected", "sources"}).items()) {
      refers(source, "secret", "secrets");
      refers(source, "configMap", "configmaps");
      if (fault.empty() && source.find("serviceAccountToken") != nullptr)
        fault = "a mirror pod may not use ServiceAccountToken volume projections";
      refers(source, "clusterTrustBundle", "clustertrustbundles");
    }
  }
  refers(spec, "resourceClaims", "resourceclaims");
  return fault;
}

// --- accounts that say which secrets may be mounted

std::set<std::string_view> names_in(const Value& references) {
  std::set<std::string_view> out;
  for (const Value& reference : references.items()) out.insert(reference.string("name"));
  return out;
}

std::string secret_fault(const Value& account, const Value& spec) {
  const std::set<std::string_view> mountable = names_in(account.get("secrets"));
  const std::set<std::string_view> pullable = names_in(account.get("imagePullSecrets"));
  const std::string end = cat(" is not allowed because service account ", account.string({"metadata", "name"}),
                              " does not reference that ");
  for (const Value& volume : spec.get("volumes").items())
    if (const Value secret = volume.get("secret");
        secret.is_object() && !mountable.contains(secret.string("secretName")))
      return cat("volume with secret.secretName=", quoted(secret.string("secretName")), end, "secret");
  std::string fault;
  each_container(spec, [&](const Value& container, std::string_view list) {
    const std::string_view kind = list == "initContainers" ? "init container "
                                  : list == "containers"   ? "container "
                                                           : "ephemeral container ";
    const auto check = [&](const Value& reference, const std::string& where) {
      if (fault.empty() && reference.is_object() && !mountable.contains(reference.string("name")))
        fault = cat(kind, container.string("name"), " with ", where,
                    " referencing secret.secretName=", quoted(reference.string("name")), end, "secret");
    };
    for (const Value& variable : container.get("env").items())
      check(variable.get({"valueFrom", "secretKeyRef"}), cat("envVar ", variable.string("name")));
    for (const Value& source : container.get("envFrom").items()) check(source.get("secretRef"), "envFrom");
  });
  if (!fault.empty()) return fault;
  const std::span<Value> pulls = spec.get("imagePullSecrets").items();
  for (size_t i = 0; i < pulls.size(); ++i)
    if (!pullable.contains(pulls[i].string("name")))
      return cat("imagePullSecrets[", i, "].name=", quoted(pulls[i].string("name")), end, "imagePullSecret");
  return {};
}

bool enforces(const Value& account) {
  const std::string_view value = annotation(account, "kubernetes.io/enforce-mountable-secrets");
  static constexpr std::string_view kTrue[] = {"1", "t", "T", "TRUE", "true", "True"};
  return std::ranges::find(kTrue, value) != std::end(kTrue);
}

class ServiceAccount final : public AdmissionPlugin {
 public:
  explicit ServiceAccount(const Reader& reader) : reader_(reader) {}
  std::string_view name() const override { return "ServiceAccount"; }

  Answer<> mutate(Admission& w) override {
    if (!about_pods(w) || w.operation != Operation::kCreate || !w.subresource.empty()) return {};
    if (has_annotation(w.object, kMirrorAnnotation)) return {};  // the kubelet would not know it again
    Value& spec = w.object.child(w.arena, "spec");
    if (spec.string("serviceAccountName").empty()) spec.set(w.arena, "serviceAccountName", Value::view("default"));
    const StoredPtr account = find_account(w, spec);
    if (account == nullptr) return refuse(missing(w, spec));
    if (mounts_token(account->root(), spec)) mount_token(w.arena, spec);
    const Value pulls = account->root().get("imagePullSecrets");
    if (spec.get("imagePullSecrets").size() == 0 && pulls.size() > 0)
      spec.set(w.arena, "imagePullSecrets", clone(w.arena, pulls));
    return {};
  }

  Answer<> validate(Admission& w) override {
    if (!about_pods(w)) return {};
    const bool create = w.operation == Operation::kCreate && w.subresource.empty();
    if (!create && w.subresource != "ephemeralcontainers") return {};
    const Value spec = w.object.get("spec");
    if (has_annotation(w.object, kMirrorAnnotation)) {
      const std::string fault = mirror_fault(spec);
      return fault.empty() ? Answer<>{} : refuse(denied(w, fault));
    }
    const StoredPtr account = find_account(w, spec);
    if (account == nullptr) return refuse(missing(w, spec));
    if (!enforces(account->root())) return {};
    const std::string fault = secret_fault(account->root(), spec);
    return fault.empty() ? Answer<>{} : refuse(denied(w, fault));
  }

 private:
  StoredPtr find_account(const Admission& w, const Value& spec) const {
    return reader_.get("", "serviceaccounts", w.ns, spec.string("serviceAccountName"));
  }
  static ApiError missing(const Admission& w, const Value& spec) {
    const std::string_view account = spec.string("serviceAccountName");
    return denied(w, cat("error looking up service account ", w.ns, "/", account, ": serviceaccount ", quoted(account),
                         " not found"));
  }

  const Reader& reader_;
};

}  // namespace

PluginPtr service_account(const Reader& reader) { return std::make_unique<ServiceAccount>(reader); }

}  // namespace proa::kube::api
