// The scale subresource: replicas of whatever has a number of them, under one kind.
#include <limits>

#include "base/error.h"
#include "base/text.h"
#include "kube/apiserver/registry/subresources.h"
#include "kube/selector/label_selector.h"
#include "kube/validation/validate.h"

namespace proa::kube::api {
namespace {

// The value at ".spec.replicas".
Value at_path(Value object, std::string_view path) {
  for (const std::string_view key : split(path, '.')) object = object.get(key);
  return object;
}

// Sets it on copies of the objects on the way.
Value with_path(Arena& arena, const Value& object, std::string_view path, const Value& value) {
  const std::string_view key = cut(path, '.');
  if (key.empty()) return path.empty() ? value : with_path(arena, object, path, value);
  Value out = object.is_object() ? Value::object_of(arena, object.members()) : Value::object(arena);
  out.set(arena, arena.copy(key), path.empty() ? value : with_path(arena, object.get(key), path, value));
  return out;
}

std::string selector_text(const Resource& resource, const Value& object) {
  const Value selector = at_path(object, resource.custom ? resource.view.scale_selector() : ".spec.selector");
  if (selector.is_string()) return std::string(selector.as_string());
  if (!selector.is_object()) return {};
  if (resource.view.plural() == "replicationcontrollers") return LabelSelector::of_map(selector).text();
  const auto parsed = LabelSelector::of(selector);
  return parsed ? parsed->text() : std::string();
}

}  // namespace

Value scale_of(Arena& arena, const Resource& resource, const Value& object) {
  Value out = Value::object(arena, 5);
  out.add(arena, "kind", Value::view("Scale"));
  out.add(arena, "apiVersion", Value::view("autoscaling/v1"));
  Value metadata = Value::object(arena, 5);
  for (const std::string_view field : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"})
    if (const Value* found = object.find({"metadata", field})) metadata.add(arena, field, *found);
  out.add(arena, "metadata", metadata);
  Value spec = Value::object(arena, 1), status = Value::object(arena, 2);
  const int64_t wanted = at_path(object, resource.view.scale_spec()).as_int();
  if (wanted != 0) spec.add(arena, "replicas", Value::integer(wanted));
  status.add(arena, "replicas", Value::integer(at_path(object, resource.view.scale_status()).as_int()));
  if (const std::string selector = selector_text(resource, object); !selector.empty())
    status.add(arena, "selector", Value::text(arena, selector));
  out.add(arena, "spec", spec);
  out.add(arena, "status", status);
  return out;
}

Answer<Value> with_scale(Arena& arena, const Resource& resource, const Value& scale, const Value& object) {
  const std::string_view name = object.string({"metadata", "name"});
  const std::string_view version = scale.string({"metadata", "resourceVersion"});
  if (!version.empty() && version != object.string({"metadata", "resourceVersion"}))
    return refuse(conflict(resource.qualified, name));
  const std::string_view uid = scale.string({"metadata", "uid"});
  if (!uid.empty() && uid != object.string({"metadata", "uid"}))
    return refuse(conflict(resource.qualified, name,
                           cat("Precondition failed: UID in precondition: ", uid,
                               ", UID in object meta: ", object.string({"metadata", "uid"}))));
  const Value replicas = scale.get({"spec", "replicas"});
  const int64_t wanted = replicas.as_int();
  // Of custom resources their own validation says so.
  if (!resource.custom && (wanted < 0 || wanted > std::numeric_limits<int32_t>::max()))
    return refuse(
        invalid("autoscaling", "Scale", name,
                {{FieldError::Type::kInvalid, "spec.replicas", cat(wanted), "must be greater than or equal to 0"}}));
  return with_path(arena, object, resource.view.scale_spec(), Value::integer(wanted));
}

}  // namespace proa::kube::api
