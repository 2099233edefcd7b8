// Subresources that have a kind of their own: Scale, Binding, Eviction. (TokenRequest is access/'s.)
#pragma once

#include <string_view>

#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/object/value.h"

namespace proa::kube::api {

// --- scale of Deployments, ReplicaSets, ReplicationControllers and StatefulSets (custom resources: custom/)

// autoscaling/v1 Scale of the object.
Value scale_of(Arena& arena, const Resource& resource, const Value& object);
// The object with the replicas of `scale`; its metadata.resourceVersion and uid are preconditions. A copy.
Answer<Value> with_scale(Arena& arena, const Resource& resource, const Value& scale, const Value& object);

// --- POST; `context` names the pod (or, for bindings, the name stands in the body) and has the subresource. The answer
// is a Status "Success", 201.

net::Task<Answer<Written>> bind_pod(Objects& objects, Context& context, Value binding, WriteOptions options);
// 429 with a cause DisruptionBudget as long as budgets do not allow it.
net::Task<Answer<Written>> evict_pod(Objects& objects, Context& context, Value eviction, WriteOptions options);

// --- log, exec, attach, portforward and proxy of pods, proxy of nodes and services: what is said when there is no node
// to ask. `query` is the request's. An error with code 0: the answer is empty text (the log of a pod that never ran).
ApiError connect_refused(const Reader& reader, const Context& context, std::string_view query);

// All of these, for the server.
void add_subresources(Subresources& out);

}  // namespace proa::kube::api
