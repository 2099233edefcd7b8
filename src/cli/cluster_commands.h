// What `proa cluster COMMAND` does.
#pragma once

#include "base/error.h"
#include "cli/invocation.h"

namespace proa::cli {

Result<int> cluster_backup(const Invocation&);
Result<int> cluster_restore(const Invocation&);

}  // namespace proa::cli
