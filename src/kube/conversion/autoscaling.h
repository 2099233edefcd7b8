// HorizontalPodAutoscalers of autoscaling/v1 and v2. For conversion.cc.
#pragma once

#include "kube/object/value.h"

namespace proa::kube {

// What they give is still to be conformed.
Value autoscaler_v1_to_v2(Arena& arena, const Value& object);
Value autoscaler_v2_to_v1(Arena& arena, const Value& object);
void drop_autoscaler_annotations(Arena& arena, Value& object);

}  // namespace proa::kube
