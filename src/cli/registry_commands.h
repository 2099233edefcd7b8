// What `proa registry COMMAND` does: flags into oci/registry, results out.
#pragma once

#include "base/error.h"
#include "cli/invocation.h"

namespace proa::cli {

Result<int> registry_gc(const Invocation&);
Result<int> registry_ls(const Invocation&);
Result<int> registry_passwd(const Invocation&);
Result<int> registry_rm(const Invocation&);
Result<int> registry_serve(const Invocation&);
Result<int> registry_tags(const Invocation&);

}  // namespace proa::cli
