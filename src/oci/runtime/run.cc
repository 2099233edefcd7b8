// run: create, start, wait, delete in one process.
#include "oci/runtime/foreground.h"
#include "oci/runtime/launch.h"
#include "oci/runtime/runtime.h"

namespace proa::oci::runtime {

Result<int> run(const Globals& globals, const std::string& id, const CreateOptions& options) {
  if (options.detach) {
    Launched launched = TRY(launch(globals, id, options, false));
    TRY(run_poststart(launched.spec, launched.state));
    return 0;
  }
  Foreground foreground = TRY(Foreground::prepare(!options.no_subreaper));
  Launched launched = TRY(launch(globals, id, options, false));
  const auto started = run_poststart(launched.spec, launched.state);
  launched.folder.unlock();
  auto status = started ? foreground.wait(launched.child, std::move(launched.terminal)) : Result<int>(1);
  const bool there = TRY(launched.folder.lock_again());
  if (there && !options.keep) TRY(remove_container(launched.folder, launched.state, &launched.spec));
  if (!started) return std::unexpected(started.error());
  return status;
}

}  // namespace proa::oci::runtime
