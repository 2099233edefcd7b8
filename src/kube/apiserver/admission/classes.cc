// Claims, volumes and ingresses: DefaultStorageClass, StorageObjectInUseProtection, PersistentVolumeClaimResize,
// DefaultIngressClass.
#include <algorithm>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/plugins.h"
#include "kube/codec/quantity.h"

namespace proa::kube::api {
namespace {

bool creates(const Admission& w, std::string_view group, std::string_view resource) {
  return w.operation == Operation::kCreate && w.subresource.empty() && about(w, group, resource);
}

class DefaultStorageClass final : public AdmissionPlugin {
 public:
  explicit DefaultStorageClass(const Reader& reader) : reader_(reader) {}
  std::string_view name() const override { return "DefaultStorageClass"; }
  Answer<> mutate(Admission& w) override {
    if (!creates(w, "", "persistentvolumeclaims")) return {};
    // "" asks for none.
    if (!w.object.get({"spec", "storageClassName"}).is_null()) return {};
    if (has_annotation(w.object, "volume.beta.kubernetes.io/storage-class")) return {};
    const StoredPtr found = default_of_kind(
        reader_, "storage.k8s.io", "storageclasses",
        {"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"});
    if (found != nullptr)
      w.object.child(w.arena, "spec")
          .set(w.arena, "storageClassName", Value::text(w.arena, found->root().string({"metadata", "name"})));
    return {};
  }

 private:
  const Reader& reader_;
};

class DefaultIngressClass final : public AdmissionPlugin {
 public:
  explicit DefaultIngressClass(const Reader& reader) : reader_(reader) {}
  std::string_view name() const override { return "DefaultIngressClass"; }
  Answer<> mutate(Admission& w) override {
    if (!creates(w, "networking.k8s.io", "ingresses")) return {};
    if (!w.object.get({"spec", "ingressClassName"}).is_null()) return {};
    if (has_annotation(w.object, "kubernetes.io/ingress.class")) return {};
    const StoredPtr found = default_of_kind(reader_, "networking.k8s.io", "ingressclasses",
                                            {"ingressclass.kubernetes.io/is-default-class"});
    if (found != nullptr)
      w.object.child(w.arena, "spec")
          .set(w.arena, "ingressClassName", Value::text(w.arena, found->root().string({"metadata", "name"})));
    return {};
  }

 private:
  const Reader& reader_;
};

// What is in use goes only when its controller says so.
class StorageObjectInUseProtection final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "StorageObjectInUseProtection"; }
  Answer<> mutate(Admission& w) override {
    if (creates(w, "", "persistentvolumes")) add(w, "kubernetes.io/pv-protection");
    if (creates(w, "", "persistentvolumeclaims")) add(w, "kubernetes.io/pvc-protection");
    if (creates(w, "storage.k8s.io", "volumeattributesclasses")) add(w, "kubernetes.io/vac-protection");
    return {};
  }

 private:
  static void add(Admission& w, std::string_view finalizer) {
    Value& finalizers = list_in(w.arena, w.object.child(w.arena, "metadata"), "finalizers");
    if (std::ranges::none_of(finalizers.items(), [&](const Value& known) { return known.as_string() == finalizer; }))
      finalizers.push(w.arena, Value::view(finalizer));
  }
};

class PersistentVolumeClaimResize final : public AdmissionPlugin {
 public:
  explicit PersistentVolumeClaimResize(const Reader& reader) : reader_(reader) {}
  std::string_view name() const override { return "PersistentVolumeClaimResize"; }
  Answer<> validate(Admission& w) override {
    if (!about(w, "", "persistentvolumeclaims") || w.operation != Operation::kUpdate || !w.subresource.empty())
      return {};
    const auto size = [](const Value& claim) {
      return Quantity::parse(claim.string({"spec", "resources", "requests", "storage"})).value_or(Quantity());
    };
    if (size(w.object) <= size(w.old_object)) return {};
    if (may_grow(w.object)) return {};
    return refuse(denied(w,
                         "only dynamically provisioned pvc can be resized and the storageclass that provisions the "
                         "pvc must support resize"));
  }

 private:
  bool may_grow(const Value& claim) const {
    std::string_view name = annotation(claim, "volume.beta.kubernetes.io/storage-class");
    if (name.empty()) name = claim.string({"spec", "storageClassName"});
    if (name.empty()) return false;
    const StoredPtr found = reader_.get("storage.k8s.io", "storageclasses", "", name);
    return found != nullptr && found->root().get("allowVolumeExpansion").as_bool();
  }

  const Reader& reader_;
};

}  // namespace

PluginPtr default_storage_class(const Reader& reader) { return std::make_unique<DefaultStorageClass>(reader); }
PluginPtr default_ingress_class(const Reader& reader) { return std::make_unique<DefaultIngressClass>(reader); }
PluginPtr storage_object_in_use_protection() { return std::make_unique<StorageObjectInUseProtection>(); }
PluginPtr persistent_volume_claim_resize(const Reader& reader) {
  return std::make_unique<PersistentVolumeClaimResize>(reader);
}

}  // namespace proa::kube::api
