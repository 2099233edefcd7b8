#include "kube/controllers/storage_protection.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"

namespace proa::kube::api {
namespace {

bool has_finalizer(const Value& object, std::string_view finalizer) {
  const std::span<Value> all = object.get({"metadata", "finalizers"}).items();
  return std::ranges::any_of(all, [&](const Value& one) { return one.as_string() == finalizer; });
}

// Keys are "namespace/name", or "/name" of what has no namespace.
std::string key_of(std::string_view ns, std::string_view name) { return cat(ns, "/", name); }
std::string key_of(const Value& object) {
  return key_of(object.string({"metadata", "namespace"}), object.string({"metadata", "name"}));
}

class Protection : public Controller {
 public:
  Protection(std::string_view group, std::string_view resource, std::string_view finalizer)
      : group_(group), resource_(resource), finalizer_(finalizer) {}

  void begin(Frame& frame) override {
    around_ = &frame.surroundings();
    client_ = around_->client(name());
    WorkQueue& queue = frame.queue(*this);
    frame.informer(group_, resource_).add_handler([this, &queue](const Change& change) {
      if (!change.deleted() && waits(change.object())) queue.add(key_of(change.object()));
    });
    follow_users(frame, queue);
  }

  net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string key) override {
    const size_t slash = key.find('/');
    const std::string ns = key.substr(0, slash), object = key.substr(slash + 1);
    const StoredPtr found = around_->reader.get(group_, resource_, ns, object);
    if (found == nullptr || !waits(found->root()) || used(found->root())) co_return kDone;
    Arena arena;
    CO_TRY(co_await client_->write(arena,
                                   {.group = std::string(group_),
                                    .version = {},
                                    .resource = std::string(resource_),
                                    .ns = ns,
                                    .name = object,
                                    .subresource = {}},
                                   [this](Arena& memory, const Value& now) { return released(memory, now); }));
    co_return kDone;
  }

 protected:
  // Subscribes to what uses it, to look again when that goes.
  virtual void follow_users(Frame& frame, WorkQueue& queue) = 0;
  virtual bool used(const Value& object) const = 0;

  bool waits(const Value& object) const { return being_deleted(object) && has_finalizer(object, finalizer_); }
  void look_again(WorkQueue& queue, std::string_view ns, std::string_view name) const {
    const StoredPtr found = around_->reader.get(group_, resource_, ns, name);
    if (found != nullptr && waits(found->root())) queue.add(key_of(ns, name));
  }
  const Surroundings* around_ = nullptr;

 private:
  Answer<Value> released(Arena& memory, const Value& now) const {
    Value out = clone_shape(memory, now);
    Value kept = Value::array(memory);
    for (const Value& one : now.get({"metadata", "finalizers"}).items())
      if (one.as_string() != finalizer_) kept.push(memory, one);
    Value& metadata = out.child(memory, "metadata");
    kept.size() > 0 ? static_cast<void>(metadata.set(memory, "finalizers", kept))
                    : static_cast<void>(metadata.erase("finalizers"));
    return out;
  }

  const std::string_view group_, resource_, finalizer_;
  std::unique_ptr<Client> client_;
};

// --- claims

// A pod that is on no node will not get a claim that is being deleted; one that has ended needs it no more.
bool holds(const Value& pod) {
  const std::string_view phase = pod.string({"status", "phase"});
  return !pod.string({"spec", "nodeName"}).empty() && phase != "Succeeded" && phase != "Failed";
}

template <typename Visit>
void each_claim(const Value& pod, Visit&& visit) {
  for (const Value& volume : pod.get({"spec", "volumes"}).items()) {
    if (const std::string_view name = volume.string({"persistentVolumeClaim", "claimName"}); !name.empty()) visit(name);
    if (volume.get("ephemeral").is_object())
      visit(std::string_view(cat(pod.string({"metadata", "name"}), "-", volume.string("name"))));
  }
}

class ClaimProtection final : public Protection {
 public:
  ClaimProtection() : Protection("", "persistentvolumeclaims", "kubernetes.io/pvc-protection") {}
  std::string_view name() const override { return "pvc-protection-controller"; }

 protected:
  void follow_users(Frame& frame, WorkQueue& queue) override {
    frame.informer("", "pods").add_handler([this, &queue](const Change& change) {
      if (!change.deleted() && holds(change.object())) return;
      const Value& pod = change.object();
      each_claim(pod, [&](std::string_view claim) { look_again(queue, pod.string({"metadata", "namespace"}), claim); });
    });
  }
  bool used(const Value& claim) const override {
    const std::string_view name = claim.string({"metadata", "name"});
    bool found = false;
    for (const StoredPtr& pod : around_->reader.list("", "pods", claim.string({"metadata", "namespace"})))
      if (holds(pod->root())) each_claim(pod->root(), [&](std::string_view one) { found |= one == name; });
    return found;
  }
};

// --- volumes

class VolumeProtection final : public Protection {
 public:
  VolumeProtection() : Protection("", "persistentvolumes", "kubernetes.io/pv-protection") {}
  std::string_view name() const override { return "pv-protection-controller"; }

 protected:
  void follow_users(Frame&, WorkQueue&) override {}  // the volume itself says that it is bound
  bool used(const Value& volume) const override { return volume.string({"status", "phase"}) == "Bound"; }
};

// --- classes of attributes

class AttributesClassProtection final : public Protection {
 public:
  AttributesClassProtection()
      : Protection("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection") {}
  std::string_view name() const override { return "volumeattributesclass-protection-controller"; }

 protected:
  void follow_users(Frame& frame, WorkQueue& queue) override {
    for (const std::string_view resource : {"persistentvolumeclaims", "persistentvolumes"})
      frame.informer("", resource).add_handler([this, &queue](const Change& change) {
        for (const Value* object : {&change.object(), &change.object_before()})
          for (const std::string_view name : classes_of(*object))
            if (!name.empty()) look_again(queue, "", name);
      });
  }
  bool used(const Value& attributes) const override {
    const std::string_view name = attributes.string({"metadata", "name"});
    for (const std::string_view resource : {"persistentvolumeclaims", "persistentvolumes"})
      for (const StoredPtr& object : around_->reader.list("", resource))
        for (const std::string_view one : classes_of(object->root()))
          if (one == name) return true;
    return false;
  }

 private:
  static std::array<std::string_view, 3> classes_of(const Value& object) {
    return {object.string({"spec", "volumeAttributesClassName"}),
            object.string({"status", "currentVolumeAttributesClassName"}),
            object.string({"status", "modifyVolumeStatus", "targetVolumeAttributesClassName"})};
  }
};

}  // namespace

std::unique_ptr<Controller> claim_protection() { return std::make_unique<ClaimProtection>(); }
std::unique_ptr<Controller> volume_protection() { return std::make_unique<VolumeProtection>(); }
std::unique_ptr<Controller> attributes_class_protection() { return std::make_unique<AttributesClassProtection>(); }

}  // namespace proa::kube::api
