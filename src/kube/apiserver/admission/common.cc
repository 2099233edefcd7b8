#include "kube/apiserver/admission/common.h"

#include <algorithm>

#include "base/error.h"
#include "base/ids.h"

namespace proa::kube::api {

bool about(const Admission& w, std::string_view group, std::string_view resource) {
  return w.resource.view.plural() == resource && w.resource.view.group_version().group() == group;
}

std::string name_of(const Admission& w) {
  if (!w.name.empty()) return std::string(w.name);
  for (const std::string_view field : {"name", "generateName"})
    if (const std::string_view name = w.object.string({"metadata", field}); !name.empty()) return std::string(name);
  return "Unknown";
}

ApiError denied(const Admission& w, std::string_view why) { return forbidden(w.resource.qualified, name_of(w), why); }

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (const std::string& part : parts) out.append(out.empty() ? "" : separator).append(part);
  return out;
}

std::string joined(const std::vector<std::string>& messages) {
  return messages.size() == 1 ? messages.front() : cat("[", join(messages, ", "), "]");
}

std::string random_suffix(size_t length) {
  static constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
  uint64_t number = random_number().value_or(0);
  std::string out;
  for (size_t i = 0; i < length; ++i, number /= kLetters.size()) out.push_back(kLetters[number % kLetters.size()]);
  return out;
}

Value& list_in(Arena& arena, Value& object, std::string_view key) {
  Value* found = object.find(key);
  if (found != nullptr && found->is_array()) return *found;
  return object.set(arena, key, Value::array(arena));
}

PodPart pod_part(const Resource& resource, const Value& object) {
  const std::string_view group = resource.view.group_version().group(), kind = resource.view.plural();
  const auto at = [&](std::initializer_list<std::string_view> path) {
    const Value holder = path.size() == 0 ? object : object.get(path);
    return PodPart{holder.get("metadata"), holder.get("spec")};
  };
  if (group.empty() && kind == "pods") return at({});
  if (group.empty() && kind == "podtemplates") return at({"template"});
  if (group.empty() && kind == "replicationcontrollers") return at({"spec", "template"});
  if (group == "batch" && kind == "cronjobs") return at({"spec", "jobTemplate", "spec", "template"});
  if (group == "batch" && kind == "jobs") return at({"spec", "template"});
  if (group == "apps" && kind != "controllerrevisions") return at({"spec", "template"});
  return {};
}

StoredPtr default_of_kind(const Reader& reader, std::string_view group, std::string_view resource,
                          std::initializer_list<std::string_view> annotations) {
  StoredPtr best;
  const auto better = [](const Value& a, const Value& b) {
    const std::string_view made_a = a.string({"metadata", "creationTimestamp"});
    const std::string_view made_b = b.string({"metadata", "creationTimestamp"});
    if (made_a != made_b) return made_a > made_b;
    return a.string({"metadata", "name"}) < b.string({"metadata", "name"});
  };
  for (StoredPtr& candidate : reader.list(group, resource)) {
    const bool marked = std::ranges::any_of(
        annotations, [&](std::string_view key) { return annotation(candidate->root(), key) == "true"; });
    if (marked && (best == nullptr || better(candidate->root(), best->root()))) best = std::move(candidate);
  }
  return best;
}

}  // namespace proa::kube::api
