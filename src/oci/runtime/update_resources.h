// What `update` asks for, as limits.
#pragma once

#include "base/error.h"
#include "kernel/cgroup/resources.h"
#include "oci/runtime/runtime.h"

namespace proa::oci::runtime {

// From the resources document ("-" reads standard input) or from the flags. What is not asked for stays
// unset. Errors name the flag or the document's field.
Result<kernel::cgroup::Resources> resources_of(const UpdateOptions& options);

}  // namespace proa::oci::runtime
