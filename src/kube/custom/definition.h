// CustomResourceDefinitions as they go through their life: names accepted, established, terminating. Objects are
// conformed; what comes back shares texts with them.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "kube/object/value.h"
#include "kube/schema/table.h"

namespace proa::kube {

inline constexpr std::string_view kCleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";
inline constexpr std::string_view kApprovedAnnotation = "api-approved.kubernetes.io";

// What other definitions of the same group are called.
struct NamesInUse {
  std::set<std::string, std::less<>> resources, kinds;
  void add(const Value& definition);  // the names it was accepted with
  void add(const ResourceView& resource);
};

bool definition_is(const Value& definition, std::string_view condition);

// With the status that follows from its spec and from the names in use: names accepted or in conflict, and established
// at once; the version that is stored among those that were. `now` in seconds since 1970.
Value settle_definition(Arena& arena, const Value& definition, const NamesInUse& in_use, int64_t now);

// Sets a condition; its time stays when its status does.
void set_definition_condition(Arena& arena, Value& definition, std::string_view type, bool status,
                              std::string_view reason, std::string_view message, int64_t now);

// At the beginning of its deletion: with the finalizer that keeps it while its objects go.
void begin_definition_end(Arena& arena, Value& definition, int64_t now);

}  // namespace proa::kube
