#include "kube/apiserver/admission/pod_resources.h"

#include <algorithm>

namespace proa::kube::api {
namespace {

// Of a resize under way, the larger of what is wanted and what the node has given counts.
Amounts container_requests(const Value& container, const Value& statuses) {
  Amounts out = amounts_of(container.get({"resources", "requests"}));
  for (const Value& status : statuses.items())
    if (status.string("name") == container.string("name")) {
      raise_amounts(out, amounts_of(status.get({"resources", "requests"})));
      raise_amounts(out, amounts_of(status.get("allocatedResources")));
    }
  return out;
}

Amounts container_limits(const Value& container, const Value& statuses) {
  Amounts out = amounts_of(container.get({"resources", "limits"}));
  for (const Value& status : statuses.items())
    if (status.string("name") == container.string("name"))
      raise_amounts(out, amounts_of(status.get({"resources", "limits"})));
  return out;
}

template <typename Of>
Amounts total(const Value& spec, const Value& status, Of&& of) {
  Amounts sum, sidecars, inits;
  for (const Value& container : spec.get("containers").items())
    add_amounts(sum, of(container, status.get("containerStatuses")));
  for (const Value& container : spec.get("initContainers").items()) {
    Amounts here = of(container, status.get("initContainerStatuses"));
    if (is_sidecar(container)) {
      add_amounts(sum, here);
      add_amounts(sidecars, here);
      here = sidecars;
    } else {
      add_amounts(here, sidecars);
    }
    raise_amounts(inits, here);
  }
  raise_amounts(sum, inits);
  return sum;
}

// What may stand in a pod's own resources.
bool pod_level(std::string_view name) { return name == "cpu" || name == "memory" || name.starts_with("hugepages-"); }

void replace_by_pod_level(Amounts& sum, const Value& list) {
  for (const auto& [name, amount] : amounts_of(list))
    if (pod_level(name)) sum[name] = amount;
}

}  // namespace

Amounts amounts_of(const Value& list) {
  Amounts out;
  for (const Member& member : list.members())
    if (const auto amount = Quantity::parse(member.value.as_string())) out[std::string(member.key)] = *amount;
  return out;
}

Value amounts_value(Arena& arena, const Amounts& amounts) {
  Value out = Value::object(arena, amounts.size());
  for (const auto& [name, amount] : amounts) out.add(arena, arena.copy(name), Value::text(arena, amount.text()));
  return out;
}

void add_amounts(Amounts& sum, const Amounts& more) {
  for (const auto& [name, amount] : more) {
    const auto [at, fresh] = sum.try_emplace(name, amount);
    if (!fresh) at->second += amount;
  }
}

void raise_amounts(Amounts& most, const Amounts& other) {
  for (const auto& [name, amount] : other) {
    const auto [at, fresh] = most.try_emplace(name, amount);
    if (!fresh && at->second < amount) at->second = amount;
  }
}

bool is_sidecar(const Value& init_container) { return init_container.string("restartPolicy") == "Always"; }

PodResources pod_resources(const Value& spec, const Value& status) {
  PodResources out{total(spec, status, container_requests), total(spec, status, container_limits)};
  replace_by_pod_level(out.requests, spec.get({"resources", "requests"}));
  replace_by_pod_level(out.limits, spec.get({"resources", "limits"}));
  const Amounts overhead = amounts_of(spec.get("overhead"));
  add_amounts(out.requests, overhead);
  for (const auto& [name, amount] : overhead)
    if (const auto at = out.limits.find(name); at != out.limits.end()) at->second += amount;
  return out;
}

std::string_view qos_class(const Value& spec) {
  bool any = false, guaranteed = true;
  const auto compute = [](std::string_view name) { return name == "cpu" || name == "memory"; };
  const auto look = [&](const Value& resources) {
    const Amounts requests = amounts_of(resources.get("requests")), limits = amounts_of(resources.get("limits"));
    for (const Amounts* list : {&requests, &limits})
      for (const auto& [name, amount] : *list) any |= compute(name) && !amount.is_zero() && !amount.negative();
    for (const std::string_view name : {"cpu", "memory"}) {
      const auto limit = limits.find(name), request = requests.find(name);
      const bool limited = limit != limits.end() && !limit->second.is_zero();
      guaranteed &= limited && (request == requests.end() || request->second == limit->second);
    }
  };
  if (spec.get({"resources", "requests"}).size() + spec.get({"resources", "limits"}).size() > 0) {
    look(spec.get("resources"));
  } else {
    for (const std::string_view list : {"initContainers", "containers"})
      for (const Value& container : spec.get(list).items()) look(container.get("resources"));
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}

}  // namespace proa::kube::api
