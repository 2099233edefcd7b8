// What decides where and when pods run: TaintNodesByCondition, Priority, DefaultTolerationSeconds, RuntimeClass.
#include <algorithm>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/plugins.h"
#include "kube/apiserver/admission/pod_resources.h"
#include "kube/validation/names.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kNotReady = "node.kubernetes.io/not-ready";
constexpr std::string_view kUnreachable = "node.kubernetes.io/unreachable";

// --- TaintNodesByCondition

class TaintNodesByCondition final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "TaintNodesByCondition"; }
  // A node gets no pods before its conditions have been looked at.
  Answer<> mutate(Admission& w) override {
    if (w.operation != Operation::kCreate || !about(w, "", "nodes") || !w.subresource.empty()) return {};
    Value& taints = list_in(w.arena, w.object.child(w.arena, "spec"), "taints");
    if (std::ranges::any_of(taints.items(), [](const Value& taint) {
          return taint.string("key") == kNotReady && taint.string("effect") == "NoSchedule";
        }))
      return {};
    Value taint = Value::object(w.arena, 2);
    taint.add(w.arena, "key", Value::view(kNotReady));
    taint.add(w.arena, "effect", Value::view("NoSchedule"));
    taints.push(w.arena, taint);
    return {};
  }
};

// --- Priority

class Priority final : public AdmissionPlugin {
 public:
  explicit Priority(const Reader& reader) : reader_(reader) {}
  std::string_view name() const override { return "Priority"; }

  Answer<> mutate(Admission& w) override {
    if (!about_pods(w) || !w.subresource.empty()) return {};
    if (w.operation == Operation::kUpdate) return keep(w);
    return w.operation == Operation::kCreate ? decide(w) : Answer<>{};
  }

  Answer<> validate(Admission& w) override {
    if (!about(w, "scheduling.k8s.io", "priorityclasses") || !w.object.get("globalDefault").as_bool()) return {};
    if (w.operation != Operation::kCreate && w.operation != Operation::kUpdate) return {};
    for (const StoredPtr& other : reader_.list("scheduling.k8s.io", "priorityclasses")) {
      const std::string_view name = other->root().string({"metadata", "name"});
      if (other->root().get("globalDefault").as_bool() && name != name_of(w))
        return refuse(
            denied(w, cat("PriorityClass ", name, " is already marked as default. Only one default can exist")));
    }
    return {};
  }

 private:
  static Answer<> keep(Admission& w) {
    Value& spec = w.object.child(w.arena, "spec");
    for (const std::string_view field : {"priority", "preemptionPolicy"}) {
      const Value before = w.old_object.get({"spec", field});
      if (spec.get(field).is_null() && !before.is_null()) spec.set(w.arena, field, before);
    }
    return {};
  }

  Answer<> decide(Admission& w) const {
    Value& spec = w.object.child(w.arena, "spec");
    const std::string_view wanted = spec.string("priorityClassName");
    int64_t value = 0;
    std::string policy = "PreemptLowerPriority";
    const StoredPtr found =
        wanted.empty() ? default_class() : reader_.get("scheduling.k8s.io", "priorityclasses", "", wanted);
    if (found == nullptr && !wanted.empty())
      return refuse(denied(w, cat("no PriorityClass with name ", wanted, " was found")));
    if (found != nullptr) {
      value = found->root().get("value").as_int();
      if (const std::string_view text = found->root().string("preemptionPolicy"); !text.empty()) policy = text;
      spec.set(w.arena, "priorityClassName", Value::text(w.arena, found->root().string({"metadata", "name"})));
    }
    const Value given = spec.get("priority"), given_policy = spec.get("preemptionPolicy");
    if (!given.is_null() && given.as_int() != value)
      return refuse(denied(w, cat("the integer value of priority (", given.as_int(),
                                  ") must not be provided in pod spec; priority admission controller computed ", value,
                                  " from the given PriorityClass name")));
    if (!given_policy.is_null() && given_policy.as_string() != policy)
      return refuse(denied(w, cat("the string value of PreemptionPolicy (", given_policy.as_string(),
                                  ") must not be provided in pod spec; priority admission controller computed ", policy,
                                  " from the given PriorityClass name")));
    spec.set(w.arena, "priority", Value::integer(value));
    spec.set(w.arena, "preemptionPolicy", Value::text(w.arena, policy));
    return {};
  }

  // Should there be two, the lower.
  StoredPtr default_class() const {
    StoredPtr lowest;
    for (StoredPtr& candidate : reader_.list("scheduling.k8s.io", "priorityclasses"))
      if (candidate->root().get("globalDefault").as_bool() &&
          (lowest == nullptr || candidate->root().get("value").as_int() < lowest->root().get("value").as_int()))
        lowest = std::move(candidate);
    return lowest;
  }

  const Reader& reader_;
};

// --- DefaultTolerationSeconds

class DefaultTolerationSeconds final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "DefaultTolerationSeconds"; }
  // A pod stays five minutes on a node that does not answer.
  Answer<> mutate(Admission& w) override {
    if (!about_pods(w) || !w.subresource.empty()) return {};
    if (w.operation != Operation::kCreate && w.operation != Operation::kUpdate) return {};
    Value& spec = w.object.child(w.arena, "spec");
    for (const std::string_view key : {kNotReady, kUnreachable}) {
      const std::span<Value> known = spec.get("tolerations").items();
      if (std::ranges::any_of(known, [&](const Value& toleration) { return covers(toleration, key); })) continue;
      Value toleration = Value::object(w.arena, 4);
      toleration.add(w.arena, "key", Value::view(key));
      toleration.add(w.arena, "operator", Value::view("Exists"));
      toleration.add(w.arena, "effect", Value::view("NoExecute"));
      toleration.add(w.arena, "tolerationSeconds", Value::integer(300));
      list_in(w.arena, spec, "tolerations").push(w.arena, toleration);
    }
    return {};
  }

 private:
  static bool covers(const Value& toleration, std::string_view key) {
    const std::string_view its_key = toleration.string("key"), effect = toleration.string("effect");
    return (its_key.empty() || its_key == key) && (effect.empty() || effect == "NoExecute");
  }
};

// --- RuntimeClass

bool same_toleration(const Value& a, const Value& b) {
  const auto op = [](const Value& toleration) {
    const std::string_view text = toleration.string("operator");
    return text.empty() ? std::string_view("Equal") : text;
  };
  return a.string("key") == b.string("key") && a.string("effect") == b.string("effect") &&
         a.string("value") == b.string("value") && op(a) == op(b) &&
         equal(a.get("tolerationSeconds"), b.get("tolerationSeconds"));
}

class RuntimeClass final : public AdmissionPlugin {
 public:
  explicit RuntimeClass(const Reader& reader) : reader_(reader) {}
  std::string_view name() const override { return "RuntimeClass"; }

  Answer<> mutate(Admission& w) override {
    if (!concerned(w)) return {};
    const std::string_view wanted = w.object.string({"spec", "runtimeClassName"});
    if (wanted.empty()) return {};
    const StoredPtr found = reader_.get("node.k8s.io", "runtimeclasses", "", wanted);
    if (found == nullptr) return refuse(denied(w, cat("pod rejected: RuntimeClass ", quoted(wanted), " not found")));
    if (auto set = set_overhead(w, found->root()); !set) return set;
    return set_scheduling(w, found->root().get("scheduling"));
  }

  Answer<> validate(Admission& w) override {
    if (!concerned(w) || w.object.get({"spec", "overhead"}).size() == 0) return {};
    const std::string_view wanted = w.object.string({"spec", "runtimeClassName"});
    const StoredPtr found = wanted.empty() ? nullptr : reader_.get("node.k8s.io", "runtimeclasses", "", wanted);
    const Value fixed = found == nullptr ? Value() : found->root().get({"overhead", "podFixed"});
    if (fixed.is_null())
      return refuse(denied(w, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"));
    if (amounts_of(fixed) != amounts_of(w.object.get({"spec", "overhead"}))) return refuse(denied(w, kMismatch));
    return {};
  }

 private:
  static constexpr std::string_view kMismatch =
      "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

  static bool concerned(const Admission& w) {
    return about_pods(w) && w.operation == Operation::kCreate && w.subresource.empty();
  }

  static Answer<> set_overhead(Admission& w, const Value& found) {
    const Value fixed = found.get({"overhead", "podFixed"});
    if (found.get("overhead").is_null()) return {};
    Value& spec = w.object.child(w.arena, "spec");
    const Value given = spec.get("overhead");
    if (given.size() > 0 && amounts_of(given) != amounts_of(fixed)) return refuse(denied(w, kMismatch));
    spec.set(w.arena, "overhead", clone(w.arena, fixed));
    return {};
  }

  static Answer<> set_scheduling(Admission& w, const Value& scheduling) {
    if (scheduling.is_null()) return {};
    Value& spec = w.object.child(w.arena, "spec");
    if (const Value wanted = scheduling.get("nodeSelector"); wanted.size() > 0) {
      Value& selector = spec.child(w.arena, "nodeSelector");
      for (const Member& member : wanted.members()) {
        const Value* known = selector.find(member.key);
        if (known == nullptr)
          selector.add(w.arena, w.arena.copy(member.key), Value::text(w.arena, member.value.as_string()));
        else if (known->as_string() != member.value.as_string())
          return refuse(denied(
              w, cat("conflict: runtimeClass.scheduling.nodeSelector[", member.key, "] = ", member.value.as_string(),
                     "; pod.spec.nodeSelector[", member.key, "] = ", known->as_string())));
      }
    }
    for (const Value& toleration : scheduling.get("tolerations").items()) {
      const std::span<Value> known = spec.get("tolerations").items();
      if (std::ranges::any_of(known, [&](const Value& other) { return same_toleration(other, toleration); })) continue;
      list_in(w.arena, spec, "tolerations").push(w.arena, clone(w.arena, toleration));
    }
    return {};
  }

  const Reader& reader_;
};

}  // namespace

PluginPtr taint_nodes_by_condition() { return std::make_unique<TaintNodesByCondition>(); }
PluginPtr priority(const Reader& reader) { return std::make_unique<Priority>(reader); }
PluginPtr default_toleration_seconds() { return std::make_unique<DefaultTolerationSeconds>(); }
PluginPtr runtime_class(const Reader& reader) { return std::make_unique<RuntimeClass>(reader); }

}  // namespace proa::kube::api
