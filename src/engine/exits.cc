// The end of a container's program, and what comes after it.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "engine/engine.h"
#include "engine/shim_client.h"
#include "kernel/file.h"
#include "oci/runtime/runtime.h"

namespace proa::engine {
namespace {

namespace runtime = oci::runtime;

constexpr int64_t kFirstBackoff = 100, kLongestBackoff = 60000;  // milliseconds
constexpr int kUndoTries = 1000;                                 // of 10 ms each
constexpr const char* kEngaged = "/engaged";
constexpr size_t kIdSize = 64;
constexpr std::chrono::seconds kLate{2};     // after its time a restart is overdue
constexpr std::chrono::seconds kSteady{10};  // a run this long starts the backoff anew

std::string now() { return format_rfc3339(Clock::system().wall(), TimePrecision::kNanoseconds); }

bool is_locked(const std::string& path) {
  auto file = kernel::open(path.c_str(), O_RDONLY);
  return file && ::flock(file->get(), LOCK_SH | LOCK_NB) != 0;
}

bool wants_restart(const Container& container) {
  const RestartPolicy& policy = container.config.restart;
  const State& state = container.state;
  if (state.stopped_by_user || state.stopped_by_host) return false;
  if (policy.name == "always" || policy.name == "unless-stopped") return true;
  if (policy.name != "on-failure" || state.exit_code == 0) return false;
  return policy.max_retries == 0 || state.restart_count < policy.max_retries;
}

int64_t next_backoff(const State& state) {
  const auto started = parse_rfc3339(state.started_at), ended = parse_rfc3339(state.finished_at);
  if (started && ended && *ended - *started >= kSteady) return kFirstBackoff;
  return state.backoff_ms == 0 ? kFirstBackoff : std::min(state.backoff_ms * 2, kLongestBackoff);
}

}  // namespace

bool removes_itself(const Container& container) {
  const State& state = container.state;
  return container.config.auto_remove && status_of(state) == Status::kExited && !state.started_at.empty() &&
         state.pending.empty();
}

// Gives back all that a running container holds but its record.
Result<> Engine::release(const Locked&, Container& container) {
  auto removed = runtime::remove({.root = folders_.runtime()}, container.id, true);
  if (!removed) log::debug("remove ", container.id, ": ", removed.error().message());
  // For the exit command, which is in the shim's mount namespace, and where the shim has none of its own.
  const std::string bundle = folders_.bundle(container.id);
  (void)::umount2((bundle + "/rootfs").c_str(), MNT_DETACH);
  for (const std::string& point : kernel::names_in(bundle + "/mounts").value_or(Strings{}))
    (void)::umount2(cat(bundle, "/mounts/", point).c_str(), MNT_DETACH);
  if (network_kind(container.config.network_mode) == NetworkKind::kNamed)
    if (const auto detached = networks_.detach(container); !detached)
      log::warning("detach ", container.name, " from its networks: ", detached.error().message());
  // Its execs ended with it; their shims are about to say so.
  for (const std::string& exec : kernel::names_in(folders_.execs(container.id)).value_or(Strings{}))
    (void)await_shim_gone(cat(folders_.execs(container.id), "/", exec, "/shim"), 1000);
  (void)kernel::remove_tree(folders_.execs(container.id));
  container.state.networks.clear();
  container.state.ports.clear();
  return {};
}

Result<> Engine::record_exit(const Locked& locked, Container& container, bool& restart) {
  State& state = container.state;
  // Killed, or lost with the boot it ran in.
  const bool lost = !state.boot.empty() && state.boot != boot_id();
  ExitRecord end{.pid = state.pid, .exit_code = lost ? 255 : 137, .oom_killed = false, .finished_at = now()};
  if (auto record = read_exit(folders_.shim(container.id))) end = std::move(*record);
  state.exit_code = end.exit_code;
  state.oom_killed = end.oom_killed;
  state.finished_at = end.finished_at;
  TRY(release(locked, container));
  state.pid = 0;
  state.shim = 0;
  restart = wants_restart(container) && !(lost && container.config.restart.name == "on-failure");
  state.status = status_word(restart ? Status::kRestarting : Status::kExited);
  if (restart) state.backoff_ms = next_backoff(state);
  TRY(locked.save_state(state));
  if (!restart && !container.config.auto_remove) go_on_forwarding(container);
  if (end.oom_killed) tell(container, "oom");
  tell(container, "die", {{"exitCode", std::to_string(end.exit_code)}});
  return {};
}

// The shim may still be having the container created: it is gone when the shim is.
Result<> Engine::undo_start(const Locked& locked, Container& container) {
  const std::string shim = folders_.shim(container.id);
  for (int tries = 0; tries < kUndoTries; ++tries) {
    (void)runtime::remove({.root = folders_.runtime()}, container.id, true);
    if (await_shim_gone(shim, 10)) break;
  }
  TRY(release(locked, container));
  if (network_kind(container.config.network_mode) == NetworkKind::kNamed)
    if (const auto swept = networks_.sweep(); !swept) log::warning(swept.error().message());
  State& state = container.state;
  state.pending.clear();
  state.pid = 0;
  state.shim = 0;
  state.error = "the start was interrupted";
  if (container.config.auto_remove) {
    state.status = status_word(Status::kExited);
    state.started_at = state.finished_at = now();
  }
  return locked.save_state(state);
}

Result<bool> Engine::take_up(const Locked& locked, Container& container) {
  State& state = container.state;
  if (state.pending.empty() || status_of(state) == Status::kRemoving) return false;
  if (state.pending == "start") {
    TRY(undo_start(locked, container));
    return true;
  }
  const bool longer = state.pending == "commit" || state.pending == "restart";
  if (longer && is_locked(folders_.bundle(container.id) + kEngaged)) return false;
  if (state.pending != "restart") {
    // Frozen or not, the program is to run on.
    (void)runtime::resume({.root = folders_.runtime()}, container.id);
    if (status_of(state) == Status::kPaused) state.status = status_word(Status::kRunning);
  }
  state.pending.clear();
  TRY(locked.save_state(state));
  return true;
}

bool Engine::unsettled(const Container& container) const {
  const State& state = container.state;
  if (!state.pending.empty()) return true;
  switch (status_of(state)) {
    case Status::kRunning:
    case Status::kPaused: return shim_phase(folders_.shim(container.id)) != ShimPhase::kHeld;
    case Status::kRemoving: return true;
    default: return removes_itself(container);
  }
}

Result<bool> Engine::reconcile(const Locked& locked, Container& container) {
  const bool changed = TRY(take_up(locked, container));
  const Status status = status_of(container.state);
  if (status != Status::kRunning && status != Status::kPaused) return changed;
  switch (shim_phase(folders_.shim(container.id))) {
    case ShimPhase::kHeld: return changed;
    case ShimPhase::kEnded:
    case ShimPhase::kKilled:
    case ShimPhase::kNone: break;
  }
  bool restart = false;
  TRY(record_exit(locked, container, restart));
  return true;
}

Result<Fd> Engine::engage(const std::string& id) const {
  TRY(kernel::make_dirs(folders_.bundle(id), 0711));
  const std::string path = folders_.bundle(id) + kEngaged;
  Fd file = TRY(kernel::open(path.c_str(), O_RDWR | O_CREAT, 0600));
  while (::flock(file.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno(errno, "lock ", path);
  return file;
}

// Whoever waits for a restart holds the lock of RUN/ID/restart.
void Engine::revive(const Container& container) {
  const auto ended = parse_rfc3339(container.state.finished_at);
  const auto patience = std::chrono::milliseconds(container.state.backoff_ms) + kLate;
  if (ended && Clock::system().wall() - *ended < patience) return;
  const std::string bundle = folders_.bundle(container.id);
  if (!kernel::make_dirs(bundle, 0711)) return;
  auto lock = kernel::open((bundle + "/restart").c_str(), O_RDWR | O_CREAT, 0600);
  if (!lock || ::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) return;
  lock->reset();
  if (const auto program = own_program()) (void)start_detached({*program, "__exited", container.id});
}

Result<> Engine::wait_and_restart(const std::string& id) {
  TRY(kernel::make_dirs(folders_.bundle(id), 0711));
  Fd waiting = TRY(kernel::open((folders_.bundle(id) + "/restart").c_str(), O_RDWR | O_CREAT, 0600));
  // One that has just started it is about to let go; after one that waits there is nothing to do.
  if (::flock(waiting.get(), LOCK_EX) != 0) return fail_errno(errno, "lock ", folders_.bundle(id), "/restart");
  auto found = records_.lock(id);
  if (!found) {
    // Removed meanwhile: nobody else comes by.
    if (found.error().code() == ENOENT) return kernel::remove_tree(folders_.bundle(id));
    return std::unexpected(found.error());
  }
  Locked locked = std::move(*found);
  Container container = TRY(locked.load());
  for (;;) {
    if (status_of(container.state) != Status::kRestarting) return {};
    locked.unlock();
    ::usleep(static_cast<useconds_t>(container.state.backoff_ms) * 1000);
    locked = TRY(records_.lock(id));
    container = TRY(locked.load());
    TRY(reconcile(locked, container));
    if (status_of(container.state) != Status::kRestarting) return {};
    ++container.state.restart_count;
    auto started = start_locked(locked, container, {});
    if (started) return {};
    // It could not be started: that counts as an end with failure.
    container.state.finished_at = container.state.started_at = now();
    container.state.backoff_ms = next_backoff(container.state);
    container.state.status = status_word(wants_restart(container) ? Status::kRestarting : Status::kExited);
    TRY(locked.save_state(container.state));
  }
}

Result<Engine::Settled> Engine::settle(const std::string& id, bool wait) {
  auto locked = records_.lock(id, wait);
  if (!locked) {
    if (locked.error().code() == ENOENT || locked.error().code() == EWOULDBLOCK) return Settled();
    return std::unexpected(locked.error());
  }
  Settled out{.container = TRY(locked->load()), .removed = false};
  TRY(reconcile(*locked, *out.container));
  const bool itself = removes_itself(*out.container);
  if (itself || status_of(out.container->state) == Status::kRemoving) {
    Container removed = *out.container;
    TRY(remove_locked(*locked, removed, itself));
    out.removed = true;
  }
  return out;
}

Result<> Engine::exited(const std::string& id) {
  auto locked = records_.lock(id);
  if (!locked) {
    // Removed already.
    if (locked.error().code() == ENOENT) return {};
    return std::unexpected(locked.error());
  }
  Container container = TRY(locked->load());
  TRY(reconcile(*locked, container));
  if (status_of(container.state) == Status::kRestarting) {
    locked->unlock();
    return wait_and_restart(id);
  }
  return removes_itself(container) ? remove_locked(*locked, container, true) : Result<>();
}

Result<> Engine::bury(const std::string& id) {
  auto locked = records_.take_over(id);
  if (!locked) return {};
  Container container;
  if (auto config = locked->load_config()) container = std::move(*config);
  container.id = id;
  TRY(images_.remove(id));
  TRY(remove_anonymous(container));
  return records_.remove(*locked, container);
}

// Folders of containers that are not there.
Result<> Engine::remove_dead_bundles() {
  for (const std::string& name : TRY(kernel::names_in(folders_.run))) {
    if (name.size() != kIdSize || kernel::path_exists(folders_.container(name).c_str())) continue;
    (void)await_shim_gone(folders_.shim(name), 1000);
    TRY(kernel::remove_tree(folders_.bundle(name)));
  }
  return {};
}

Result<> Engine::clean_up() {
  std::vector<std::string> dead;
  for (const std::string& id : TRY(records_.ids(&dead))) {
    const auto settled = settle(id, false);
    if (!settled || settled->removed || !settled->container) continue;
    const Container& left = *settled->container;
    if (!left.config.shared.empty() && status_of(left.state) == Status::kRemoving) (void)remove_sandbox(id, true);
  }
  for (const std::string& id : dead) TRY(bury(id));
  TRY(records_.release_dead_names());
  TRY(remove_dead_bundles());
  return empty_trash();
}

}  // namespace proa::engine
