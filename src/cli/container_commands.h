// What the commands about containers and volumes do: flags into the engine's structs, results out.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "cli/invocation.h"

namespace proa::engine {
class Engine;
}

namespace proa::cli {

// container_run.cc
Result<int> container_create(const Invocation&);
Result<int> container_run(const Invocation&);
Result<int> container_start(const Invocation&);
Result<int> container_attach(const Invocation&);
Result<int> container_exec(const Invocation&);
// container_life.cc
// Each named one by itself: one that fails does not keep the others from it. Names are printed as they were given.
Result<int> for_each(const Invocation& in, const std::function<Result<>(engine::Engine&, const std::string&)>& work);
Result<int> container_stop(const Invocation&);
Result<int> container_restart(const Invocation&);
Result<int> container_kill(const Invocation&);
Result<int> container_pause(const Invocation&);
Result<int> container_unpause(const Invocation&);
Result<int> container_rm(const Invocation&);
Result<int> container_wait(const Invocation&);
Result<int> container_rename(const Invocation&);
Result<int> container_update(const Invocation&);
Result<int> container_prune(const Invocation&);
Result<int> container_commit(const Invocation&);
// container_look.cc
Result<int> container_ls(const Invocation&);
Result<int> container_logs(const Invocation&);
Result<int> container_top(const Invocation&);
Result<int> container_stats(const Invocation&);
Result<int> container_port(const Invocation&);
Result<int> container_diff(const Invocation&);
Result<int> program_events(const Invocation&);
// inspect_commands.cc
Result<int> program_inspect(const Invocation&);
// container_cp.cc
Result<int> container_cp(const Invocation&);
Result<int> container_export(const Invocation&);
// volume_commands.cc
Result<int> volume_create(const Invocation&);
Result<int> volume_ls(const Invocation&);
Result<int> volume_inspect(const Invocation&);
Result<int> volume_rm(const Invocation&);
Result<int> volume_prune(const Invocation&);
// sandbox_commands.cc
Result<int> sandbox_create(const Invocation&);
Result<int> sandbox_ls(const Invocation&);
Result<int> sandbox_inspect(const Invocation&);
Result<int> sandbox_start(const Invocation&);
Result<int> sandbox_stop(const Invocation&);
Result<int> sandbox_rm(const Invocation&);
// system_commands.cc
Result<int> system_df(const Invocation&);
Result<int> system_prune(const Invocation&);
Result<int> system_info(const Invocation&);
Result<int> system_boot(const Invocation&);
Result<int> system_shutdown(const Invocation&);
// What shims call: `proa __exited ID`, `proa __health ID`.
Result<int> engine_exited(const Invocation&);
Result<int> engine_health(const Invocation&);
// ... `proa __logs ID`, `proa __compress FILE`.
Result<int> engine_forward_log(const Invocation&);
Result<int> engine_compress(const Invocation&);

}  // namespace proa::cli
