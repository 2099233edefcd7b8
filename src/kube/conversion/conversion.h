// Between the forms of built-in kinds that are served in several versions: HorizontalPodAutoscalers v1 and v2, Events
// of the core group and of events.k8s.io.
#pragma once

#include "kube/object/value.h"
#include "kube/schema/table.h"

namespace proa::kube {

// `object` conforms to `from`. Gives it as `to`, conformed without defaults; null if there is no way from one to the
// other. What the older form has no field for is kept in annotations, as upstream does, and comes back from them.
Value convert_builtin(Arena& arena, const ResourceView& from, const ResourceView& to, const Value& object);

// Annotations that an object in this form may not have, since they stand for fields that it has itself: taken out.
void drop_form_annotations(Arena& arena, const ResourceView& resource, Value& object);

}  // namespace proa::kube
