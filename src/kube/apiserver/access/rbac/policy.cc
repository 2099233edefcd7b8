#include "kube/apiserver/access/rbac/policy.h"

#include "base/text.h"
#include "kube/apiserver/access/service_account.h"
#include "kube/object/json.h"
#include "kube/validation/names.h"

namespace proa::kube::api::rbac {
namespace {

constexpr std::string_view kPrefix = "/registry/rbac.authorization.k8s.io/";

// "clusterroles/view", "rolebindings/default/web" behind the prefix.
struct Place {
  std::string_view resource, ns, name;
};
Place place_of(std::string_view key) {
  key.remove_prefix(kPrefix.size());
  Place out{.resource = cut(key, '/'), .ns = {}, .name = {}};
  if (!out.resource.starts_with("cluster")) out.ns = cut(key, '/');
  out.name = key;
  return out;
}

Subject subject_of(const Value& in, std::string_view binding_ns) {
  const std::string_view kind = in.string("kind"), name = in.string("name");
  if (kind == "ServiceAccount") {
    const std::string_view own = in.string("namespace"), ns = own.empty() ? binding_ns : own;
    return {.kind = Subject::Kind::kUser,
            .name = ns.empty() ? std::string() : service_account_user(ns, name),
            .quoted = cat("ServiceAccount ", quoted(cat(name, "/", ns)))};
  }
  return {.kind = kind == "Group" ? Subject::Kind::kGroup : Subject::Kind::kUser,
          .name = std::string(name),
          .quoted = cat(kind, " ", quoted(name))};
}

BindingPtr binding_of(const Place& place, const Value& in) {
  auto out = std::make_shared<Binding>();
  out->ns = place.ns;
  out->name = place.name;
  out->role_name = in.string({"roleRef", "name"});
  out->cluster_role = in.string({"roleRef", "kind"}) == "ClusterRole";
  out->role = role_key(out->cluster_role ? "" : place.ns, out->role_name);
  for (const Value& subject : in.get("subjects").items()) out->subjects.push_back(subject_of(subject, place.ns));
  return out;
}

std::string reason_of(const Binding& binding, const Subject& subject) {
  const std::string where = binding.ns.empty() ? quoted(binding.name) : quoted(cat(binding.name, "/", binding.ns));
  const std::string role = cat(binding.cluster_role ? "ClusterRole " : "Role ", quoted(binding.role_name));
  return cat("RBAC: allowed by ", binding.ns.empty() ? "ClusterRoleBinding " : "RoleBinding ", where, " of ", role,
             " to ", subject.quoted);
}

}  // namespace

std::string role_key(std::string_view ns, std::string_view name) {
  return ns.empty() ? cat("ClusterRole/", name) : cat("Role/", ns, "/", name);
}

const Role* Policy::role(std::string_view ns, std::string_view name) const {
  const auto found = roles_.find(role_key(ns, name));
  return found == roles_.end() ? nullptr : found->second.get();
}

PolicyCache::PolicyCache(const Reader& reader)
    : follower_(reader.store(), std::string(kPrefix)), current_(std::make_shared<const Policy>()) {
  policy();  // nobody is judged by an empty one
}

void PolicyCache::put(const store::RecordPtr& record) {
  const auto document = read_json(record->value());
  if (!document) return;
  const Place place = place_of(record->key());
  if (place.resource.ends_with("bindings")) {
    bindings_.insert_or_assign(std::string(record->key()), binding_of(place, document->root));
  } else {
    auto role = std::make_shared<Role>();
    role->rules = parse_rules(document->root.get("rules"));
    roles_.insert_or_assign(role_key(place.ns, place.name), std::move(role));
  }
}

void PolicyCache::remove(std::string_view key) {
  const Place place = place_of(key);
  if (const auto found = bindings_.find(key); found != bindings_.end()) bindings_.erase(found);
  if (!place.resource.ends_with("bindings")) roles_.erase(role_key(place.ns, place.name));
}

PolicyPtr PolicyCache::build() const {
  auto out = std::make_shared<Policy>();
  out->roles_ = roles_;
  for (const auto& [key, binding] : bindings_) {
    const auto role = roles_.find(binding->role);
    Policy::Index& index = binding->ns.empty() ? out->cluster_ : out->namespaces_[binding->ns];
    for (const Subject& subject : binding->subjects) {
      auto& map = subject.kind == Subject::Kind::kGroup ? index.groups : index.users;
      map[subject.name].push_back(
          {role == roles_.end() ? nullptr : role->second, binding, reason_of(*binding, subject)});
    }
  }
  return out;
}

PolicyPtr PolicyCache::policy() const {
  if (follower_.current()) return current_.load(std::memory_order_acquire);
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (lock && !follower_.current()) {
    auto* self = const_cast<PolicyCache*>(this);  // a cache: what is asked does not change
    const Follower::Sink sink{.forget_all =
                                  [self] {
                                    self->roles_.clear();
                                    self->bindings_.clear();
                                  },
                              .put = [self](const store::RecordPtr& record) { self->put(record); },
                              .remove = [self](std::string_view key) { self->remove(key); }};
    if (follower_.refresh(sink)) current_.store(build(), std::memory_order_release);
  }
  return current_.load(std::memory_order_acquire);
}

}  // namespace proa::kube::api::rbac
