// Pods.
#include <algorithm>

#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/pod_resources.h"
#include "kube/apiserver/registry/strategies/strategies.h"
#include "kube/validation/validate.h"

namespace proa::kube::api {

void keep_all_but(Admission& w, std::initializer_list<std::initializer_list<std::string_view>> paths) {
  const Value sent = w.object;
  Value out = clone_shape(w.arena, w.old_object);
  // Who owns what, and the version the client knows, are the request's own.
  for (const std::string_view field : {"managedFields", "resourceVersion"})
    if (const Value* given = sent.find({"metadata", field})) out.child(w.arena, "metadata").set(w.arena, field, *given);
  for (const auto& path : paths) {
    Value* parent = &out;
    for (auto key = path.begin(); key + 1 != path.end(); ++key) parent = &parent->child(w.arena, *key);
    const std::string_view last = *(path.end() - 1);
    const Value* given = sent.find(path);
    if (given != nullptr)
      parent->set(w.arena, last, *given);
    else
      parent->erase(last);
  }
  w.object = out;
}

namespace {

// The keys of a term are made conditions of its selector, with the values that the pod has.
void merge_label_keys(Arena& arena, Value& term, const Value& labels) {
  for (const auto& [field, op] : {std::pair("matchLabelKeys", "In"), std::pair("mismatchLabelKeys", "NotIn")})
    for (const Value& key : term.get(field).items()) {
      const Value* value = labels.find(key.as_string());
      if (value == nullptr || !term.get("labelSelector").is_object()) continue;
      Value requirement = Value::object(arena, 3);
      requirement.add(arena, "key", key);
      requirement.add(arena, "operator", Value::view(op));
      Value values = Value::array(arena, 1);
      values.push(arena, *value);
      requirement.add(arena, "values", values);
      list_in(arena, term.child(arena, "labelSelector"), "matchExpressions").push(arena, requirement);
    }
}

void merge_all_label_keys(Arena& arena, const Value& pod) {
  const Value labels = pod.get({"metadata", "labels"});
  for (const std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
    const Value affinity = pod.get({"spec", "affinity", kind});
    for (Value& term : affinity.get("requiredDuringSchedulingIgnoredDuringExecution").items())
      merge_label_keys(arena, term, labels);
    for (Value& wish : affinity.get("preferredDuringSchedulingIgnoredDuringExecution").items())
      if (Value* term = wish.find("podAffinityTerm")) merge_label_keys(arena, *term, labels);
  }
  for (Value& constraint : pod.get({"spec", "topologySpreadConstraints"}).items())
    merge_label_keys(arena, constraint, labels);
}

Value gated_condition(Arena& arena) {
  Value out = Value::object(arena, 4);
  out.add(arena, "type", Value::view("PodScheduled"));
  out.add(arena, "status", Value::view("False"));
  out.add(arena, "reason", Value::view("SchedulingGated"));
  out.add(arena, "message", Value::view("Scheduling is blocked due to non-empty scheduling gates"));
  return out;
}

void prepare_new(Admission& w) {
  Value status = Value::object(w.arena, 3);
  status.add(w.arena, "phase", Value::view("Pending"));
  const Value spec = w.object.get("spec");
  if (spec.get("schedulingGates").size() > 0)
    list_in(w.arena, status, "conditions").push(w.arena, gated_condition(w.arena));
  status.add(w.arena, "qosClass", Value::view(qos_class(spec)));
  w.object.set(w.arena, "status", status);
  merge_all_label_keys(w.arena, w.object);
}

// Of a resize only the resources of containers that are there.
void prepare_resize(Admission& w) {
  const Value sent = w.object.get("spec");
  keep_all_but(w, {});
  for (const std::string_view list : {"containers", "initContainers"})
    for (Value& container : w.object.get({"spec", list}).items())
      for (const Value& given : sent.get(list).items()) {
        if (given.string("name") != container.string("name")) continue;
        for (const std::string_view field : {"resources", "resizePolicy"}) {
          if (const Value* wanted = given.find(field))
            container.set(w.arena, field, *wanted);
          else
            container.erase(field);
        }
      }
  if (const Value* pod_level = sent.find("resources");
      pod_level != nullptr && w.object.get({"spec", "resources"}).is_object())
    w.object.child(w.arena, "spec").set(w.arena, "resources", *pod_level);
}

}  // namespace

void prepare_pod(Admission& w) {
  if (creates(w)) return prepare_new(w);
  if (w.subresource == "ephemeralcontainers") return keep_all_but(w, {{"spec", "ephemeralContainers"}});
  if (w.subresource == "resize") return prepare_resize(w);
  if (w.subresource != "status") return;
  Value& metadata = w.object.child(w.arena, "metadata");
  if (const Value* owners = w.old_object.find({"metadata", "ownerReferences"}))
    metadata.set(w.arena, "ownerReferences", *owners);
  else
    metadata.erase("ownerReferences");
  if (const Value* known = w.old_object.find({"status", "qosClass"}))
    w.object.child(w.arena, "status").set(w.arena, "qosClass", *known);
}

Answer<> check_pod_change(Admission& w, const Reader&) {
  if (w.subresource != "resize" || qos_class(w.object.get("spec")) == qos_class(w.old_object.get("spec"))) return {};
  return refuse(invalid("", "Pod", w.name,
                        {{FieldError::Type::kInvalid, "spec", quoted(qos_class(w.object.get("spec"))),
                          "Pod QOS Class may not change as a result of resizing"}}));
}

// What runs nowhere has nothing to end.
int64_t pod_grace_seconds(const Value& pod) {
  const std::string_view phase = pod.string({"status", "phase"});
  if (pod.string({"spec", "nodeName"}).empty() || phase == "Succeeded" || phase == "Failed") return -1;
  const Value grace = pod.get({"spec", "terminationGracePeriodSeconds"});
  if (!grace.is_int()) return 0;
  return grace.as_int() < 0 ? 1 : grace.as_int();
}

}  // namespace proa::kube::api
