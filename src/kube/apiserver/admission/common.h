// What several plugins and strategies do alike.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "kube/apiserver/admission/admission.h"
#include "kube/apiserver/registry/reader.h"

namespace proa::kube::api {

// Whether the request is about this resource, in whatever version.
bool about(const Admission& w, std::string_view group, std::string_view resource);
inline bool about_pods(const Admission& w) { return about(w, "", "pods"); }

// 403 as upstream's plugins give it: `pods "web" is forbidden: WHY`. An object that has no name yet is called by its
// generateName.
ApiError denied(const Admission& w, std::string_view why);
std::string name_of(const Admission& w);

// One message, or "[a, b]" of several.
std::string joined(const std::vector<std::string>& messages);
std::string join(const std::vector<std::string>& parts, std::string_view separator);

// Small letters and digits that make no words, as upstream's generated names end with.
std::string random_suffix(size_t length = 5);

// Whether an annotation or label is there, and what it says.
inline std::string_view annotation(const Value& object, std::string_view key) {
  return object.string({"metadata", "annotations", key});
}
inline bool has_annotation(const Value& object, std::string_view key) {
  return object.find({"metadata", "annotations", key}) != nullptr;
}
inline bool being_deleted(const Value& object) { return !object.get({"metadata", "deletionTimestamp"}).is_null(); }

inline constexpr std::string_view kMirrorAnnotation = "kubernetes.io/config.mirror";

// The member, an array: made if it is missing or something else.
Value& list_in(Arena& arena, Value& object, std::string_view key);

// Every container of a pod's spec, in upstream's order: init, containers, ephemeral. `visit(container, list)`.
template <typename Visit>
void each_container(const Value& spec, Visit&& visit) {
  for (const std::string_view list : {"initContainers", "containers", "ephemeralContainers"})
    for (Value& container : spec.get(list).items()) visit(container, list);
}

// The pod's spec in an object that is a pod or has a template of pods; null in others. `metadata`: of the pod.
struct PodPart {
  Value metadata, spec;
};
PodPart pod_part(const Resource& resource, const Value& object);

// The one of cluster-wide objects that is annotated as the default: the newest, then by name. Null without.
StoredPtr default_of_kind(const Reader& reader, std::string_view group, std::string_view resource,
                          std::initializer_list<std::string_view> annotations);

}  // namespace proa::kube::api
