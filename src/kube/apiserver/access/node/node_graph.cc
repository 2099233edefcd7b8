#include "kube/apiserver/access/node/node_graph.h"

#include "base/error.h"
#include "kube/object/json.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kMirror = "kubernetes.io/config.mirror";

std::string thing(NodeObject kind, std::string_view ns, std::string_view name) {
  return cat(static_cast<char>('a' + static_cast<int>(kind)), ns, "/", name);
}

// Collects what a pod uses.
class Uses {
 public:
  explicit Uses(const Value& pod)
      : spec_(pod.get("spec")), ns_(pod.string({"metadata", "namespace"})), pod_(pod.string({"metadata", "name"})) {
    for (const std::string_view list : {"containers", "initContainers", "ephemeralContainers"})
      for (const Value& container : spec_.get(list).items()) add_container(container);
    for (const Value& secret : spec_.get("imagePullSecrets").items()) add(NodeObject::kSecret, secret.string("name"));
    for (const Value& volume : spec_.get("volumes").items()) add_volume(volume);
    add(NodeObject::kServiceAccount, spec_.string("serviceAccountName"));
    for (const Value& claim : spec_.get("resourceClaims").items())
      add(NodeObject::kResourceClaim, claim.string("resourceClaimName"));
    for (const Value& claim : pod.get({"status", "resourceClaimStatuses"}).items())
      add(NodeObject::kResourceClaim, claim.string("resourceClaimName"));
    add(NodeObject::kResourceClaim, pod.string({"status", "extendedResourceClaimStatus", "resourceClaimName"}));
  }
  std::vector<std::string> take() { return std::move(out_); }

 private:
  void add(NodeObject kind, std::string_view name) {
    if (!name.empty()) out_.push_back(thing(kind, ns_, name));
  }
  void add_container(const Value& container) {
    for (const Value& from : container.get("envFrom").items()) {
      add(NodeObject::kSecret, from.string({"secretRef", "name"}));
      add(NodeObject::kConfigMap, from.string({"configMapRef", "name"}));
    }
    for (const Value& variable : container.get("env").items()) {
      add(NodeObject::kSecret, variable.string({"valueFrom", "secretKeyRef", "name"}));
      add(NodeObject::kConfigMap, variable.string({"valueFrom", "configMapKeyRef", "name"}));
    }
  }
  void add_volume(const Value& volume) {
    add(NodeObject::kConfigMap, volume.string({"configMap", "name"}));
    add(NodeObject::kClaim, volume.string({"persistentVolumeClaim", "claimName"}));
    if (volume.find("ephemeral") != nullptr) add(NodeObject::kClaim, cat(pod_, "-", volume.string("name")));
    for (const Value& source : volume.get({"projected", "sources"}).items()) {
      add(NodeObject::kSecret, source.string({"secret", "name"}));
      add(NodeObject::kConfigMap, source.string({"configMap", "name"}));
    }
    // Each sort of volume names its secret in one of these.
    for (const Member& source : volume.members()) {
      add(NodeObject::kSecret, source.value.string("secretName"));
      add(NodeObject::kSecret, source.value.string({"secretRef", "name"}));
      add(NodeObject::kSecret, source.value.string({"nodePublishSecretRef", "name"}));
    }
  }

  const Value spec_;
  const std::string_view ns_, pod_;
  std::vector<std::string> out_;
};

// Whether a volume names the secret; without a namespace it is the claim's.
bool names_secret(const Value& volume, std::string_view claim_ns, std::string_view ns, std::string_view secret) {
  const auto is = [&](const Value& reference, std::string_view name) {
    const std::string_view own = reference.string("namespace");
    return reference.string(name) == secret && (own.empty() ? claim_ns : own) == ns;
  };
  for (const Member& source : volume.get("spec").members()) {
    if (!source.value.is_object()) continue;
    for (const std::string_view reference : {"secretRef", "nodePublishSecretRef", "nodeStageSecretRef",
                                             "controllerPublishSecretRef", "nodeExpandSecretRef"})
      if (is(source.value.get(reference), "name")) return true;
    const std::string_view own = source.value.string("secretNamespace");
    if (source.value.string("secretName") == secret && (own.empty() ? claim_ns : own) == ns) return true;
  }
  return false;
}

}  // namespace

void NodeGraph::put(const store::RecordPtr& record) {
  remove(record->key());
  const auto document = read_json(record->value());
  if (!document) return;
  const Value& pod = document->root;
  const std::string_view node = pod.string({"spec", "nodeName"});
  if (node.empty() || pod.find({"metadata", "annotations", kMirror}) != nullptr) return;
  Pod entry{.node = std::string(node), .uses = Uses(pod).take()};
  for (const std::string& use : entry.uses) ++uses_[use][entry.node];
  pods_.insert_or_assign(std::string(record->key()), std::move(entry));
}

void NodeGraph::remove(std::string_view key) {
  const auto pod = pods_.find(key);
  if (pod == pods_.end()) return;
  for (const std::string& use : pod->second.uses) {
    const auto nodes = uses_.find(use);
    if (nodes == uses_.end()) continue;
    if (--nodes->second[pod->second.node] <= 0) nodes->second.erase(pod->second.node);
    if (nodes->second.empty()) uses_.erase(nodes);
  }
  pods_.erase(pod);
}

void NodeGraph::refresh() {
  if (follower_.current()) return;
  follower_.refresh({.forget_all =
                         [this] {
                           pods_.clear();
                           uses_.clear();
                         },
                     .put = [this](const store::RecordPtr& record) { put(record); },
                     .remove = [this](std::string_view key) { remove(key); }});
}

bool NodeGraph::used_by_pod(std::string_view node, NodeObject kind, std::string_view ns, std::string_view name) const {
  const auto nodes = uses_.find(thing(kind, ns, name));
  return nodes != uses_.end() && nodes->second.contains(node);
}

// Through claims of the node's pods and the volumes bound to them.
bool NodeGraph::used_by_volume(std::string_view node, std::string_view ns, std::string_view secret) const {
  for (const StoredPtr& volume : reader_.list("", "persistentvolumes")) {
    const Value claim = volume->root().get({"spec", "claimRef"});
    if (!names_secret(volume->root(), claim.string("namespace"), ns, secret)) continue;
    if (used_by_pod(node, NodeObject::kClaim, claim.string("namespace"), claim.string("name"))) return true;
  }
  return false;
}

bool NodeGraph::is_of_node(std::string_view node, std::string_view group, std::string_view resource,
                           std::string_view name) const {
  const StoredPtr object = reader_.get(group, resource, "", name);
  return object && object->root().string({"spec", "nodeName"}) == node;
}

bool NodeGraph::related(std::string_view node, NodeObject kind, std::string_view ns, std::string_view name) {
  if (kind == NodeObject::kVolumeAttachment) return is_of_node(node, "storage.k8s.io", "volumeattachments", name);
  if (kind == NodeObject::kResourceSlice) return is_of_node(node, "resource.k8s.io", "resourceslices", name);
  if (kind == NodeObject::kPod) {
    const StoredPtr pod = reader_.get("", "pods", ns, name);
    return pod && pod->root().string({"spec", "nodeName"}) == node;
  }
  const std::lock_guard lock(mutex_);
  refresh();
  if (kind == NodeObject::kVolume) {
    const StoredPtr volume = reader_.get("", "persistentvolumes", "", name);
    if (!volume) return false;
    const Value claim = volume->root().get({"spec", "claimRef"});
    return used_by_pod(node, NodeObject::kClaim, claim.string("namespace"), claim.string("name"));
  }
  if (used_by_pod(node, kind, ns, name)) return true;
  return kind == NodeObject::kSecret && used_by_volume(node, ns, name);
}

}  // namespace proa::kube::api
