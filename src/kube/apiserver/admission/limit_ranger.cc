// LimitRanger: what containers ask for when they do not say, and the least and most of containers, pods and claims.
#include <algorithm>
#include <cstdio>
#include <functional>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/plugins.h"
#include "kube/apiserver/admission/pod_resources.h"

namespace proa::kube::api {
namespace {

// --- defaults

std::vector<std::string> set_missing(Arena& arena, Value& container, std::string_view list, const Value& defaults) {
  std::vector<std::string> set;
  if (defaults.size() == 0) return set;
  Value& target = container.child(arena, "resources").child(arena, list);
  for (const Member& member : defaults.members()) {
    if (target.find(member.key) != nullptr) continue;
    target.add(arena, arena.copy(member.key), Value::text(arena, member.value.as_string()));
    set.emplace_back(member.key);
  }
  std::ranges::sort(set);
  return set;
}

void set_defaults(Admission& w, const Value& limit_range) {
  std::vector<std::string> notes;
  const auto merge = [&](Value& container, std::string_view what) {
    for (const Value& limit : limit_range.get({"spec", "limits"}).items()) {
      if (limit.string("type") != "Container") continue;
      for (const auto& [field, list, word] :
           {std::tuple("defaultRequest", "requests", " request for "), std::tuple("default", "limits", " limit for ")})
        if (const auto set = set_missing(w.arena, container, list, limit.get(field)); !set.empty())
          notes.push_back(cat(join(set, ", "), word, what, " ", container.string("name")));
    }
  };
  const Value spec = w.object.get("spec");
  for (Value& container : spec.get("containers").items()) merge(container, "container");
  for (Value& container : spec.get("initContainers").items()) merge(container, "init container");
  if (notes.empty()) return;
  w.object.child(w.arena, "metadata")
      .child(w.arena, "annotations")
      .set(w.arena, "kubernetes.io/limit-ranger",
           Value::text(w.arena, cat("LimitRanger plugin set: ", join(notes, "; "))));
}

// --- bounds

struct Bounds {
  std::string_view type;
  const Amounts& requests;
  const Amounts& limits;
  std::vector<std::string>& faults;

  static const Quantity* in(const Amounts& amounts, std::string_view name) {
    const auto at = amounts.find(name);
    return at == amounts.end() ? nullptr : &at->second;
  }

  void least(std::string_view name, const Quantity& bound) const {
    const std::string head = cat("minimum ", name, " usage per ", type, " is ", bound.text());
    const Quantity *request = in(requests, name), *limit = in(limits, name);
    if (request == nullptr)
      faults.push_back(head + ".  No request is specified");
    else if (*request < bound)
      faults.push_back(cat(head, ", but request is ", request->text()));
    else if (limit != nullptr && *limit < bound)
      faults.push_back(cat(head, ", but limit is ", limit->text()));
  }

  void most(std::string_view name, const Quantity& bound) const {
    const std::string head = cat("maximum ", name, " usage per ", type, " is ", bound.text());
    const Quantity *request = in(requests, name), *limit = in(limits, name);
    if (limit == nullptr)
      faults.push_back(head + ".  No limit is specified");
    else if (*limit > bound)
      faults.push_back(cat(head, ", but limit is ", limit->text()));
    else if (request != nullptr && *request > bound)
      faults.push_back(cat(head, ", but request is ", request->text()));
  }

  void most_requested(std::string_view name, const Quantity& bound) const {
    const std::string head = cat("maximum ", name, " usage per ", type, " is ", bound.text());
    const Quantity* request = in(requests, name);
    if (request == nullptr)
      faults.push_back(head + ".  No request is specified");
    else if (*request > bound)
      faults.push_back(cat(head, ", but request is ", request->text()));
  }

  void ratio(std::string_view name, const Quantity& bound) const {
    const std::string head = cat(name, " max limit to request ratio per ", type, " is ", bound.text());
    const Quantity *request = in(requests, name), *limit = in(limits, name);
    if (request == nullptr || request->is_zero()) {
      faults.push_back(head + ", but no request is specified or request is 0");
    } else if (limit == nullptr || limit->is_zero()) {
      faults.push_back(head + ", but no limit is specified or limit is 0");
    } else {
      const double observed = static_cast<double>(limit->millis()) / static_cast<double>(request->millis());
      if (observed * 1000 <= static_cast<double>(bound.millis())) return;
      char digits[64];
      std::snprintf(digits, sizeof digits, "%f", observed);
      faults.push_back(cat(head, ", but provided ratio is ", digits));
    }
  }

  void pod_or_container(const Value& limit) const {
    for (const auto& [name, bound] : amounts_of(limit.get("min"))) least(name, bound);
    for (const auto& [name, bound] : amounts_of(limit.get("max"))) most(name, bound);
    for (const auto& [name, bound] : amounts_of(limit.get("maxLimitRequestRatio"))) ratio(name, bound);
  }
};

void check_pod(const Value& pod, const Value& limit, std::vector<std::string>& faults) {
  const std::string_view type = limit.string("type");
  const Value spec = pod.get("spec");
  if (type == "Container") {
    for (const std::string_view list : {"containers", "initContainers"})
      for (const Value& container : spec.get(list).items()) {
        const Amounts requests = amounts_of(container.get({"resources", "requests"}));
        const Amounts limits = amounts_of(container.get({"resources", "limits"}));
        Bounds{type, requests, limits, faults}.pod_or_container(limit);
      }
  } else if (type == "Pod") {
    const PodResources sums = pod_resources(spec);
    Bounds{type, sums.requests, sums.limits, faults}.pod_or_container(limit);
  }
}

void check_claim(const Value& claim, const Value& limit, std::vector<std::string>& faults) {
  if (limit.string("type") != "PersistentVolumeClaim") return;
  const Amounts requests = amounts_of(claim.get({"spec", "resources", "requests"})), none;
  const Bounds bounds{"PersistentVolumeClaim", requests, none, faults};
  for (const auto& [name, bound] : amounts_of(limit.get("min"))) bounds.least(name, bound);
  for (const auto& [name, bound] : amounts_of(limit.get("max"))) bounds.most_requested(name, bound);
}

class LimitRanger final : public AdmissionPlugin {
 public:
  explicit LimitRanger(const Reader& reader) : reader_(reader) {}
  std::string_view name() const override { return "LimitRanger"; }

  Answer<> mutate(Admission& w) override {
    if (!concerned(w) || !about_pods(w)) return {};
    for (const StoredPtr& range : reader_.list("", "limitranges", w.ns)) set_defaults(w, range->root());
    return {};
  }

  Answer<> validate(Admission& w) override {
    if (!concerned(w)) return {};
    for (const StoredPtr& range : reader_.list("", "limitranges", w.ns)) {
      std::vector<std::string> faults;
      for (const Value& limit : range->root().get({"spec", "limits"}).items())
        about_pods(w) ? check_pod(w.object, limit, faults) : check_claim(w.object, limit, faults);
      if (!faults.empty()) return refuse(denied(w, joined(faults)));
    }
    return {};
  }

 private:
  // Containers' resources change only by the resize subresource once a pod is there.
  static bool concerned(const Admission& w) {
    const bool pods = about_pods(w);
    if (!pods && !about(w, "", "persistentvolumeclaims")) return false;
    if (w.operation != Operation::kCreate && w.operation != Operation::kUpdate) return false;
    if (w.operation == Operation::kUpdate && being_deleted(w.old_object)) return false;
    if (pods && w.operation == Operation::kUpdate) return w.subresource == "resize";
    return w.subresource.empty();
  }

  const Reader& reader_;
};

}  // namespace

PluginPtr limit_ranger(const Reader& reader) { return std::make_unique<LimitRanger>(reader); }

}  // namespace proa::kube::api
