// From a container on disk to a running program.
#include "base/log.h"
#include "base/text.h"
#include "engine/engine.h"

namespace proa::engine {
namespace {

std::string now() { return format_rfc3339(Clock::system().wall(), TimePrecision::kNanoseconds); }

}  // namespace

bool is_running(const State& state) {
  const Status status = status_of(state);
  return status == Status::kRunning || status == Status::kPaused || status == Status::kRestarting;
}

Result<> Engine::start_locked(const Locked& locked, Container& container, const StartOptions& options) {
  State& state = container.state;
  state.pending.clear();
  const State before = state;
  state.error.clear();
  state.oom_killed = false;
  state.stopped_by_user = state.stopped_by_host = false;
  TRY(begin(locked, container, "start"));
  auto launched = launch(locked, container, options);
  if (!launched) {
    const Error error = launched.error();
    state = before;
    state.pid = 0;
    state.error = error.message();
    state.exit_code = error.code() == ENOENT && error.message().starts_with("exec")   ? 127
                      : error.code() == EACCES && error.message().starts_with("exec") ? 126
                                                                                      : 128;
    if (status_of(state) != Status::kCreated) state.status = status_word(Status::kExited);
    (void)locked.save_state(state);
    return std::unexpected(error);
  }
  state.status = status_word(Status::kRunning);
  state.exit_code = 0;
  state.started_at = now();
  state.boot = boot_id();
  if (state.finished_at.empty()) state.finished_at = "0001-01-01T00:00:00Z";
  TRY(locked.save_state(state));
  tell(container, "start");
  return {};
}

Result<> Engine::start(const std::string& reference, const StartOptions& options) {
  auto [locked, container] = TRY(hold(reference));
  const Status status = status_of(container.state);
  if (status == Status::kRunning) return {};
  if (status == Status::kPaused) return fail("cannot start a paused container, try unpause instead");
  if (status == Status::kRemoving) return fail("container is marked for removal and cannot be started");
  container.state.restart_count = 0;
  container.state.backoff_ms = 0;
  return start_locked(locked, container, options);
}

}  // namespace proa::engine
