// What `proa vm COMMAND` does.
#pragma once

#include "base/error.h"
#include "cli/invocation.h"

namespace proa::cli {

Result<int> vm_console(const Invocation&);
Result<int> vm_cp(const Invocation&);
Result<int> vm_exec(const Invocation&);
Result<int> vm_inspect(const Invocation&);
Result<int> vm_ls(const Invocation&);
Result<int> vm_pause(const Invocation&);
Result<int> vm_restore(const Invocation&);
Result<int> vm_resume(const Invocation&);
Result<int> vm_rm(const Invocation&);
Result<int> vm_run(const Invocation&);
Result<int> vm_snapshot(const Invocation&);
Result<int> vm_stats(const Invocation&);
Result<int> vm_stop(const Invocation&);

}  // namespace proa::cli
