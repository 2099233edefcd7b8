// The built-in kinds with several versions: HorizontalPodAutoscaler v1 and v2, Event of the core group and of
// events.k8s.io.
#pragma once

#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/catalog.h"
#include "kube/object/value.h"

namespace proa::kube::api {

Answer<Value> convert_builtin(Arena& arena, const Resource& from, const Resource& to, const Value& object);

}  // namespace proa::kube::api
