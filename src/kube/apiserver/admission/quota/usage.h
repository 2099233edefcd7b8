// What an object takes of a quota, and which quotas look at it.
#pragma once

#include <string>
#include <string_view>

#include "kube/apiserver/admission/admission.h"
#include "kube/apiserver/admission/pod_resources.h"
#include "kube/apiserver/registry/catalog.h"
#include "kube/apiserver/registry/reader.h"
#include "kube/object/value.h"

namespace proa::kube::api::quota {

// Events are never counted.
bool counted(const Resource& resource);

// All that an object of this resource takes: "count/pods", "pods", "requests.cpu", … A pod that has ended only counts
// as an object.
Amounts usage_of(const Resource& resource, const Value& object);

// Whether the object is in the scopes of a ResourceQuota's spec.
bool in_scope(const Resource& resource, const Value& object, const Value& quota_spec);

// ... of it what the quota limits; nothing out of its scope.
Amounts usage_in(const Resource& resource, const Value& object, const Value& quota_spec);

// Names of compute resources that a quota limits and containers of the pod do not give: "must specify limits.cpu for:
// web". Empty if there are none.
std::string missing_resources(const Value& pod, const Value& quota_spec);

// All that is there of what the quota limits.
Amounts current_usage(const Reader& reader, std::string_view ns, const Value& quota_spec);

// Status with these amounts in use: of `hard` as the spec has it.
Value quota_status(Arena& arena, const Value& quota_spec, const Amounts& used);

// A quota is made or changed in the transaction of `w`. Objects compare with the epoch they knew (`expect_epoch`), so
// that none is created in the namespace that was checked against other quotas than there are.
void begin_epoch(Admission& w, const Reader& reader);
void expect_epoch(Admission& w, const Reader& reader);

}  // namespace proa::kube::api::quota
