// What `proa runtime COMMAND` does: flags into the options of oci/runtime/runtime.h, results out.
#pragma once

#include "base/error.h"
#include "cli/invocation.h"

namespace proa::cli {

Result<int> runtime_checkpoint(const Invocation&);
Result<int> runtime_create(const Invocation&);
Result<int> runtime_delete(const Invocation&);
Result<int> runtime_events(const Invocation&);
Result<int> runtime_exec(const Invocation&);
Result<int> runtime_features(const Invocation&);
Result<int> runtime_kill(const Invocation&);
Result<int> runtime_list(const Invocation&);
Result<int> runtime_pause(const Invocation&);
Result<int> runtime_ps(const Invocation&);
Result<int> runtime_restore(const Invocation&);
Result<int> runtime_resume(const Invocation&);
Result<int> runtime_run(const Invocation&);
Result<int> runtime_spec(const Invocation&);
Result<int> runtime_start(const Invocation&);
Result<int> runtime_state(const Invocation&);
Result<int> runtime_update(const Invocation&);

// Applies --log, --log-format, --log-level and --debug. Works on a command line that failed to parse.
Result<> configure_runtime_log(const Invocation&);

}  // namespace proa::cli
