// What `proa up` does.
#pragma once

#include "base/error.h"
#include "cli/invocation.h"

namespace proa::cli {

Result<int> program_up(const Invocation&);

}  // namespace proa::cli
