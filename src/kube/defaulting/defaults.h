// Default values that depend on other fields: what the schema's own defaults (codec/conform.h) cannot say. The
// result is conformed again by the caller only if it was not before: what is set here is in canonical form.
#pragma once

#include "kube/object/value.h"
#include "kube/schema/table.h"

namespace proa::kube {

// `object` was conformed with the schema's defaults. Sets what upstream's defaulting functions of the kind set; does
// nothing for kinds without such. Applying it twice changes nothing more.
void set_defaults(Arena& arena, const ResourceView& resource, Value& object);

}  // namespace proa::kube
