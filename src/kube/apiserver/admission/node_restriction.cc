// NodeRestriction: a node's agent changes its own node and the pods that run there, and nothing of what decides which
// pods those are.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/plugins.h"
#include "kube/codec/quantity.h"
#include "kube/validation/names.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kNodePrefix = "system:node:";
constexpr std::string_view kNodesGroup = "system:nodes";

// Labels below kubernetes.io that kubelets set themselves.
bool own_label(std::string_view key) {
  static constexpr std::string_view kKnown[] = {"kubernetes.io/hostname",
                                                "kubernetes.io/arch",
                                                "kubernetes.io/os",
                                                "beta.kubernetes.io/instance-type",
                                                "node.kubernetes.io/instance-type",
                                                "failure-domain.beta.kubernetes.io/region",
                                                "failure-domain.beta.kubernetes.io/zone",
                                                "topology.kubernetes.io/region",
                                                "topology.kubernetes.io/zone",
                                                "beta.kubernetes.io/arch",
                                                "beta.kubernetes.io/os"};
  if (std::ranges::find(kKnown, key) != std::end(kKnown)) return true;
  const std::string_view domain = key.substr(0, key.find('/'));
  return domain == "kubelet.kubernetes.io" || domain.ends_with(".kubelet.kubernetes.io") ||
         domain == "node.kubernetes.io" || domain.ends_with(".node.kubernetes.io");
}

bool reserved(std::string_view key) {
  const size_t slash = key.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view domain = key.substr(0, slash);
  const auto below = [&](std::string_view of) {
    return domain == of ||
           (domain.ends_with(of) && domain.size() > of.size() && domain[domain.size() - of.size() - 1] == '.');
  };
  if (below("node-restriction.kubernetes.io")) return true;
  return (below("kubernetes.io") || below("k8s.io")) && !own_label(key);
}

std::set<std::string> changed_labels(const Value& now, const Value& before) {
  std::set<std::string> out;
  for (const Member& member : now.members())
    if (before.string(member.key) != member.value.as_string() || before.find(member.key) == nullptr)
      out.emplace(member.key);
  for (const Member& member : before.members())
    if (now.find(member.key) == nullptr) out.emplace(member.key);
  return out;
}

class NodeRestriction final : public AdmissionPlugin {
 public:
  explicit NodeRestriction(const Reader& reader) : reader_(reader) {}
  std::string_view name() const override { return "NodeRestriction"; }

  Answer<> validate(Admission& w) override {
    if (!w.user.name.starts_with(kNodePrefix) || !w.user.in(kNodesGroup)) return {};
    const std::string_view node = std::string_view(w.user.name).substr(kNodePrefix.size());
    if (node.empty()) return refuse(denied(w, cat("could not determine node from user ", quoted(w.user.name))));
    if (about_pods(w)) return pods(w, node);
    if (about(w, "", "nodes")) return nodes(w, node);
    if (about(w, "", "persistentvolumeclaims")) return claims(w, node);
    if (about(w, "", "serviceaccounts")) return tokens(w, node);
    if (about(w, "coordination.k8s.io", "leases")) return leases(w, node);
    if (about(w, "storage.k8s.io", "csinodes")) return csi_nodes(w, node);
    if (about(w, "resource.k8s.io", "resourceslices")) return slices(w, node);
    return {};
  }

 private:
  template <typename... Parts>
  static Answer<> no(const Admission& w, std::string_view node, const Parts&... parts) {
    return refuse(denied(w, cat("node ", quoted(node), " ", parts...)));
  }

  Answer<> pods(Admission& w, std::string_view node) const {
    if (w.subresource == "status")
      return own_pod(w, node, "can only update pod status for pods with spec.nodeName set to itself");
    if (w.subresource == "eviction") return evict(w, node);
    if (!w.subresource.empty()) return no(w, node, "unexpected pod subresource ", quoted(w.subresource));
    if (w.operation == Operation::kDelete)
      return own_pod(w, node, "can only delete pods with spec.nodeName set to itself");
    if (w.operation == Operation::kCreate) return create_pod(w, node);
    return no(w, node, "unexpected operation \"UPDATE\"");
  }

  Answer<> own_pod(Admission& w, std::string_view node, std::string_view why) const {
    if (w.old_object.string({"spec", "nodeName"}) != node) return no(w, node, why);
    if (w.operation == Operation::kUpdate) {
      if (!equal(w.object.get({"metadata", "labels"}), w.old_object.get({"metadata", "labels"})))
        return no(w, node, "cannot update labels through pod status");
      if (!equal(w.object.get({"status", "resourceClaimStatuses"}),
                 w.old_object.get({"status", "resourceClaimStatuses"})))
        return no(w, node, "cannot update resource claim statuses");
    }
    return {};
  }

  Answer<> evict(Admission& w, std::string_view node) const {
    const StoredPtr pod = reader_.get("", "pods", w.ns, name_of(w));
    if (pod != nullptr && pod->root().string({"spec", "nodeName"}) != node)
      return no(w, node, "can only evict pods with spec.nodeName set to itself");
    return {};
  }

  // Only mirrors of what runs there anyway.
  Answer<> create_pod(Admission& w, std::string_view node) const {
    const Value spec = w.object.get("spec");
    if (!has_annotation(w.object, kMirrorAnnotation))
      return refuse(denied(w, cat("pod does not have ", quoted(kMirrorAnnotation), " annotation, node ", quoted(node),
                                  " can only create mirror pods")));
    if (spec.string("nodeName") != node) return no(w, node, "can only create pods with spec.nodeName set to itself");
    const std::span<Value> owners = w.object.get({"metadata", "ownerReferences"}).items();
    if (owners.size() > 1) return no(w, node, "can only create pods with a single owner reference set to itself");
    if (owners.empty()) return no(w, node, "can only create pods with an owner reference set to itself");
    const Value& owner = owners[0];
    if (owner.string("apiVersion") != "v1" || owner.string("kind") != "Node" || owner.string("name") != node)
      return no(w, node, "can only create pods with an owner reference set to itself");
    if (!owner.get("controller").as_bool())
      return no(w, node, "can only create pods with a controller owner reference set to itself");
    if (owner.get("blockOwnerDeletion").as_bool())
      return no(w, node, "must not set blockOwnerDeletion on an owner reference");
    const StoredPtr found = reader_.get("", "nodes", "", node);
    if (found == nullptr || found->root().string({"metadata", "uid"}) != owner.string("uid"))
      return no(w, node, "can only create pods with an owner reference set to itself: uid does not match");
    if (!spec.string("serviceAccountName").empty())
      return no(w, node, "can not create pods that reference a service account");
    for (const Value& volume : spec.get("volumes").items())
      for (const std::string_view source : {"secret", "configMap", "persistentVolumeClaim"})
        if (volume.find(source) != nullptr) return no(w, node, "can not create pods that reference ", source, "s");
    if (spec.get("resourceClaims").size() > 0) return no(w, node, "can not create pods that reference resourceclaims");
    return {};
  }

  Answer<> nodes(Admission& w, std::string_view node) const {
    if (name_of(w) != node) return no(w, node, "is not allowed to modify node ", quoted(name_of(w)));
    const Value labels = w.object.get({"metadata", "labels"});
    if (w.operation == Operation::kCreate) {
      if (!w.object.get({"spec", "configSource"}).is_null())
        return no(w, node, "is not allowed to create pods with a non-nil configSource");
      std::vector<std::string> bad;
      for (const std::string& key : changed_labels(labels, Value()))
        if (reserved(key)) bad.push_back(key);
      if (!bad.empty()) return no(w, node, "is not allowed to set the following labels: ", join(bad, ", "));
      return w.object.get({"metadata", "ownerReferences"}).size() == 0
                 ? Answer<>{}
                 : no(w, node, "is not allowed to set ownerReferences");
    }
    if (w.operation != Operation::kUpdate) return {};
    if (!equal(w.object.get({"metadata", "ownerReferences"}), w.old_object.get({"metadata", "ownerReferences"})))
      return no(w, node, "is not allowed to modify ownerReferences");
    if (!equal(w.object.get({"spec", "taints"}), w.old_object.get({"spec", "taints"})))
      return no(w, node, "is not allowed to modify taints");
    std::vector<std::string> bad;
    for (const std::string& key : changed_labels(labels, w.old_object.get({"metadata", "labels"})))
      if (reserved(key)) bad.push_back(key);
    if (!bad.empty()) return no(w, node, "is not allowed to modify labels: ", join(bad, ", "));
    return {};
  }

  // The size that was reached, of claims that are used there.
  Answer<> claims(Admission& w, std::string_view node) const {
    if (w.subresource != "status" || w.operation != Operation::kUpdate)
      return no(w, node, "may only update PVC status");
    Value before = clone_shape(w.arena, w.old_object), after = clone_shape(w.arena, w.object);
    for (Value* side : {&before, &after}) {
      if (Value* status = side->find("status"); status != nullptr)
        for (const std::string_view field :
             {"capacity", "conditions", "allocatedResources", "allocatedResourceStatuses", "resizeStatus"})
          status->erase(field);
      if (Value* metadata = side->find("metadata"); metadata != nullptr)
        for (const std::string_view field : {"managedFields", "resourceVersion"}) metadata->erase(field);
    }
    if (!equal(before, after))
      return no(w, node, "is not allowed to update fields other than status.capacity and status.conditions");
    return {};
  }

  // Tokens of the accounts of pods that run there, bound to them.
  Answer<> tokens(Admission& w, std::string_view node) const {
    if (w.subresource != "token") return {};
    const Value bound = w.object.get({"spec", "boundObjectRef"});
    if (bound.string("kind") != "Pod" || bound.string("apiVersion") != "v1" || bound.string("name").empty())
      return no(w, node, "requested token not bound to a pod");
    if (bound.string("uid").empty()) return no(w, node, "requested token with a pod binding without a uid");
    const StoredPtr pod = reader_.get("", "pods", w.ns, bound.string("name"));
    if (pod == nullptr) return refuse(not_found("pods", bound.string("name")));
    if (pod->root().string({"metadata", "uid"}) != bound.string("uid"))
      return no(w, node, "requested token bound to a pod with a UID that does not match the existing pod");
    if (pod->root().string({"spec", "nodeName"}) != node)
      return no(w, node, "requested token bound to a pod scheduled on a different node");
    return {};
  }

  Answer<> leases(Admission& w, std::string_view node) const {
    if (w.ns != "kube-node-lease")
      return no(w, node, "can only access leases in the \"kube-node-lease\" system namespace");
    const std::string name = name_of(w);
    if (name != node) return no(w, node, "can only access node lease with the same name as the requesting node");
    return {};
  }

  Answer<> csi_nodes(Admission& w, std::string_view node) const {
    if (name_of(w) != node) return no(w, node, "can only access CSINode with the same name as the requesting node");
    return {};
  }

  Answer<> slices(Admission& w, std::string_view node) const {
    if (w.operation != Operation::kCreate) return {};
    if (w.object.string({"spec", "nodeName"}) != node)
      return no(w, node, "can only create ResourceSlice with the same NodeName as the requesting node");
    return {};
  }

  const Reader& reader_;
};

}  // namespace

PluginPtr node_restriction(const Reader& reader) { return std::make_unique<NodeRestriction>(reader); }

}  // namespace proa::kube::api
