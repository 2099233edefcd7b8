// Lifecycle hooks (runtime-spec config.md, "POSIX-platform Hooks"): programs run in the runtime's
// namespaces with the state document on stdin.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {

// Runs them in order; the first failure ends it. `name` is the list's name in config.json; errors
// read "hooks.prestart[1]: /bin/hook: exit status 3: <last lines of its output>".
Result<> run_hooks(std::string_view name, const std::vector<Hook>& hooks, std::string_view state);
// The same for the lists whose failures are only warned of (poststart, poststop).
void run_hooks_warning(std::string_view name, const std::vector<Hook>& hooks, std::string_view state);

// One hook with the rights of the container: `program` is the stage, `plan` the hook as a plan for it.
Result<> run_hook_by_stage(const Hook& hook, std::string_view state, int program, int plan);

// What a hook printed, fit for an error's one line: its end, control characters and broken UTF-8
// taken out, at most `limit` bytes.
std::string summarize_output(std::string_view output, size_t limit = 512);

}  // namespace proa::oci::runtime
