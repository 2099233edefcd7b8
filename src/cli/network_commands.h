// What `proa network COMMAND` does: flags into the structs of fabric/fabric.h, results out.
#pragma once

#include "base/error.h"
#include "cli/invocation.h"

namespace proa::cli {

Result<int> network_connect(const Invocation&);
Result<int> network_create(const Invocation&);
Result<int> network_disconnect(const Invocation&);
Result<int> network_inspect(const Invocation&);
Result<int> network_ls(const Invocation&);
Result<int> network_prune(const Invocation&);
Result<int> network_repair(const Invocation&);
Result<int> network_rm(const Invocation&);

}  // namespace proa::cli
