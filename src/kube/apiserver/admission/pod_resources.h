// How much a pod asks for and may use at most, as the scheduler and quotas count it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "kube/codec/quantity.h"
#include "kube/object/value.h"

namespace proa::kube::api {

using Amounts = std::map<std::string, Quantity, std::less<>>;

// Of a map of quantities; what does not parse is left out.
Amounts amounts_of(const Value& list);
// As such a map, in canonical form.
Value amounts_value(Arena& arena, const Amounts& amounts);
void add_amounts(Amounts& sum, const Amounts& more);
// The larger of each.
void raise_amounts(Amounts& most, const Amounts& other);

struct PodResources {
  Amounts requests, limits;
};
// Containers and sidecars together, or an init container with the sidecars before it where that is more; what the pod
// as a whole asks for instead, where it does; and its overhead. The resources a status says are allocated are looked
// at as long as a resize is under way (`status` null: not at all).
PodResources pod_resources(const Value& spec, const Value& status = Value());

bool is_sidecar(const Value& init_container);
// "Guaranteed", "Burstable" or "BestEffort".
std::string_view qos_class(const Value& spec);

}  // namespace proa::kube::api
