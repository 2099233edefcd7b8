// Stop, kill, pause, rename, update, remove, wait: changes to a container that exists.
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/ids.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/shim_client.h"
#include "engine/spec_builder.h"
#include "engine/userns.h"
#include "kernel/file.h"
#include "kernel/names.h"
#include "kernel/process.h"
#include "oci/runtime/runtime.h"

namespace proa::engine {
namespace {

namespace runtime = oci::runtime;

constexpr int64_t kDefaultStop = 10;  // seconds
constexpr int kAfterKill = 10000;     // milliseconds

constexpr const char* kWithVolumes = "volumes";

bool ends_program(int signal) { return signal == SIGKILL; }

}  // namespace

Result<Engine::Held> Engine::hold(const std::string& reference) {
  const std::string id = TRY(records_.resolve(reference));
  Held held{.locked = TRY(records_.lock(id)), .container = {}};
  held.container = TRY(held.locked.load());
  TRY(reconcile(held.locked, held.container));
  return held;
}

int64_t stop_timeout(const Container& container) { return container.config.stop_timeout.value_or(kDefaultStop); }

Result<> Engine::signal_locked(const Container& container, int signal) {
  const runtime::Globals globals{.root = folders_.runtime()};
  auto sent = runtime::kill(globals, container.id, std::to_string(signal), false);
  // A frozen process does not even see SIGKILL on the first hierarchy.
  if (sent && status_of(container.state) == Status::kPaused && ends_program(signal))
    (void)runtime::resume(globals, container.id);
  return sent;
}

Result<bool> Engine::await_exit(const std::string& id, int64_t pid, int64_t timeout_ms) {
  auto process = kernel::pidfd_open(static_cast<pid_t>(pid));
  if (process && !TRY(kernel::wait_gone(process->get(), static_cast<int>(timeout_ms)))) return false;
  // The shim writes the record as soon as the process is reaped; whoever has the lock first takes it in.
  for (int i = 0; i < kAfterKill && shim_phase(folders_.shim(id)) == ShimPhase::kHeld; ++i)
    ::usleep(i < 20 ? 100 : 1000);
  TRY(settle(id));
  return true;
}

Result<std::optional<Engine::Stopping>> Engine::begin_stop(const std::string& reference, const StopOptions& options,
                                                           bool with_host) {
  auto [locked, container] = TRY(hold(reference));
  if (!is_running(container.state)) return std::nullopt;
  (with_host ? container.state.stopped_by_host : container.state.stopped_by_user) = true;
  const bool waiting = status_of(container.state) == Status::kRestarting;
  if (waiting) container.state.status = status_word(Status::kExited);
  TRY(locked.save_state(container.state));
  if (waiting) return std::nullopt;
  const std::string name = options.signal.empty() ? container.resolved.stop_signal : options.signal;
  const int signal = TRY_CTX(kernel::parse_signal(name), "--signal");
  tell(container, "kill", {{"signal", std::to_string(signal)}});
  const bool sent = signal_locked(container, signal).has_value();
  if (status_of(container.state) == Status::kPaused) (void)runtime::resume({.root = folders_.runtime()}, container.id);
  const int64_t seconds = options.timeout.value_or(stop_timeout(container));
  return Stopping{.container = std::move(container), .timeout_ms = !sent ? 0 : seconds < 0 ? -1 : seconds * 1000};
}

Result<> Engine::end_stop(const Stopping& stopping) {
  const std::string& id = stopping.container.id;
  const int64_t pid = stopping.container.state.pid;
  if (!TRY(await_exit(id, pid, stopping.timeout_ms))) {
    auto again = records_.lock(id);
    if (again) {
      tell(stopping.container, "kill", {{"signal", "9"}});
      (void)signal_locked(stopping.container, SIGKILL);
      again->unlock();
      if (!TRY(await_exit(id, pid, kAfterKill)))
        return fail("container ", short_id(id), " did not end though it was killed");
    }
  }
  tell(stopping.container, "stop");
  return {};
}

Result<> Engine::stop(const std::string& reference, const StopOptions& options) {
  const auto begun = TRY(begin_stop(reference, options, false));
  return begun ? end_stop(*begun) : Result<>();
}

Result<> Engine::kill(const std::string& reference, const std::string& signal_name) {
  const int signal = TRY_CTX(kernel::parse_signal(signal_name.empty() ? "KILL" : signal_name), "Invalid signal");
  auto [locked, container] = TRY(hold(reference));
  const std::string id = container.id;
  if (status_of(container.state) == Status::kRestarting && ends_program(signal)) {
    container.state.stopped_by_user = true;
    container.state.status = status_word(Status::kExited);
    return locked.save_state(container.state);
  }
  if (!is_running(container.state)) return fail("container ", id, " is not running");
  if (ends_program(signal) || signal == TRY(kernel::parse_signal(container.resolved.stop_signal))) {
    container.state.stopped_by_user = true;
    TRY(locked.save_state(container.state));
  }
  const int64_t pid = container.state.pid;
  TRY(signal_locked(container, signal));
  tell(container, "kill", {{"signal", std::to_string(signal)}});
  locked.unlock();
  if (ends_program(signal)) TRY(await_exit(id, pid, kAfterKill));
  return {};
}

Result<> Engine::restart(const std::string& reference, const StopOptions& options) {
  const std::string id = TRY(records_.resolve(reference));
  Fd engaged;
  if (TRY(records_.load(id)).config.auto_remove) {
    // It would be gone before it could start again.
    engaged = TRY(engage(id));
    auto [locked, container] = TRY(hold(id));
    if (is_running(container.state)) TRY(begin(locked, container, "restart"));
  }
  TRY(stop(id, options));
  TRY(start(id));
  tell(TRY(records_.load(id)), "restart");
  return {};
}

// What save_state() writes next ends it.
Result<> Engine::begin(const Locked& locked, Container& container, const char* pending) {
  State state = container.state;
  state.pending = pending;
  return locked.save_state(state);
}

Result<> Engine::pause(const std::string& container) { return pause_for(container, ""); }

Result<> Engine::pause_for(const std::string& reference, const char* pending) {
  auto [locked, container] = TRY(hold(reference));
  const std::string id = container.id;
  if (status_of(container.state) == Status::kPaused) return fail("Container ", id, " is already paused");
  if (status_of(container.state) != Status::kRunning) return fail("Container ", id, " is not running");
  TRY(begin(locked, container, "pause"));
  TRY(runtime::pause({.root = folders_.runtime()}, id));
  container.state.status = status_word(Status::kPaused);
  container.state.pending = pending;
  TRY(locked.save_state(container.state));
  tell(container, "pause");
  return {};
}

Result<> Engine::unpause(const std::string& reference) {
  auto [locked, container] = TRY(hold(reference));
  const std::string id = container.id;
  if (status_of(container.state) != Status::kPaused) return fail("Container ", id, " is not paused");
  TRY(begin(locked, container, "unpause"));
  TRY(runtime::resume({.root = folders_.runtime()}, id));
  container.state.pending.clear();
  container.state.status = status_word(Status::kRunning);
  TRY(locked.save_state(container.state));
  tell(container, "unpause");
  return {};
}

Result<> Engine::rename(const std::string& reference, const std::string& name) {
  TRY(check_container_name(name));
  auto [locked, container] = TRY(hold(reference));
  if (container.name == name) return fail("Renaming a container with the same name as its current name");
  TRY(records_.claim_name(name, container.id));
  const std::string old = std::exchange(container.name, name);
  TRY(locked.save_config(container));
  if (is_running(container.state) && network_kind(container.config.network_mode) == NetworkKind::kNamed)
    TRY(networks_.rename(container));
  TRY(records_.release_name(old, container.id));
  tell(container, "rename", {{"oldName", "/" + old}});
  return {};
}

Result<std::vector<std::string>> Engine::update(const std::string& reference, const UpdateRequest& request) {
  auto [locked, container] = TRY(hold(reference));
  const std::string id = container.id;
  std::vector<std::string> warnings;
  ResourceConfig& r = container.config.resources;
  const auto set = [](auto& field, const auto& value) {
    if (value) field = *value;
  };
  set(r.nano_cpus, request.nano_cpus), set(r.cpu_shares, request.cpu_shares), set(r.cpu_quota, request.cpu_quota);
  set(r.cpu_period, request.cpu_period), set(r.memory, request.memory), set(r.memory_swap, request.memory_swap);
  set(r.memory_reservation, request.memory_reservation), set(r.pids_limit, request.pids_limit);
  set(r.blkio_weight, request.blkio_weight), set(r.cpu_rt_runtime, request.cpu_rt_runtime);
  set(r.cpu_rt_period, request.cpu_rt_period), set(r.cpuset_cpus, request.cpuset_cpus);
  set(r.cpuset_mems, request.cpuset_mems), set(container.config.restart, request.restart);
  if (request.restart && request.restart->name != "no" && container.config.auto_remove)
    return fail("Restart policy cannot be updated because AutoRemove is enabled for the container");
  if (request.memory && !request.memory_swap && r.memory_swap > 0 && r.memory > r.memory_swap)
    return fail(
        "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
  const std::string resources = TRY(build_resources(container.config));
  const Status status = status_of(container.state);
  if ((status == Status::kRunning || status == Status::kPaused) && resources != "{}") {
    const std::string file = folders_.bundle(id) + "/resources.json";
    TRY(kernel::replace_file(file, resources, 0600));
    TRY(runtime::update({.root = folders_.runtime()}, id, {.resources_file = file}));
  }
  TRY(locked.save_config(container));
  tell(container, "update");
  return warnings;
}

Result<> Engine::connect(const std::string& reference, const NetworkConfig& network, const Strings& links,
                         int gateway_priority) {
  auto [locked, container] = TRY(hold(reference));
  ContainerConfig& config = container.config;
  if (network_kind(config.network_mode) == NetworkKind::kHost ||
      network_kind(config.network_mode) == NetworkKind::kContainer)
    return fail(
        "container sharing network namespace with another container or host cannot be connected to any other network");
  if (std::ranges::any_of(config.networks, [&](const NetworkConfig& n) { return n.name == network.name; }))
    return fail("endpoint with name ", container.name, " already exists in network ", network.name);
  config.networks.push_back(network);
  config.links.insert(config.links.end(), links.begin(), links.end());
  if (config.network_mode == "none") config.network_mode = network.name;
  TRY(networks_.check(config));
  if (status_of(container.state) == Status::kRunning || status_of(container.state) == Status::kPaused) {
    TRY(networks_.connect(container, network, gateway_priority));
    TRY(write_network_files(container, locked.path()));
    TRY(locked.save_state(container.state));
  }
  return locked.save_config(container);
}

Result<> Engine::disconnect(const std::string& reference, const std::string& network) {
  auto [locked, container] = TRY(hold(reference));
  const std::string id = container.id;
  ContainerConfig& config = container.config;
  const size_t had = config.networks.size();
  std::erase_if(config.networks, [&](const NetworkConfig& n) { return n.name == network; });
  // Connecting may have been killed between the two.
  const bool there =
      std::ranges::any_of(container.state.networks, [&](const Attachment& a) { return a.network == network; });
  if (config.networks.size() == had && !there)
    return Failure(Error(cat("container ", id, " is not connected to network ", network), ENOENT));
  config.network_mode = config.networks.empty() ? "none" : config.networks.front().name;
  if (is_running(container.state) && container.state.pid != 0) {
    TRY(networks_.disconnect(container, network));
    TRY(write_network_files(container, locked.path()));
    TRY(locked.save_state(container.state));
  }
  return locked.save_config(container);
}

Result<> Engine::unlink(const std::string& reference, std::string_view alias) {
  auto [locked, container] = TRY(hold(reference));
  const bool gone = std::erase_if(container.config.links, [&](const std::string& link) {
    const auto parsed = parse_link(link);
    return parsed && parsed->second == alias;
  });
  if (!gone) return fail_errno(ENOENT, "container ", container.name, " has no link ", alias);
  TRY(locked.save_config(container));
  return is_running(container.state) ? networks_.relink(container) : Result<>();
}

Result<> Engine::remove_locked(Locked& locked, Container& container, bool volumes) {
  // Whoever has to go on with it must know how.
  volumes = volumes || container.state.pending == kWithVolumes;
  container.state.pending = volumes ? kWithVolumes : "";
  container.state.status = status_word(Status::kRemoving);
  TRY(locked.save_state(container.state));
  const std::string bundle = folders_.bundle(container.id);
  TRY(release(locked, container));
  (void)await_shim_gone(folders_.shim(container.id), 2000);
  finish_forwarding(container);
  (void)kernel::remove_tree(bundle);
  if (!container.resolved.snapshot.empty()) TRY_CTX(images_.remove(container.resolved.snapshot), "remove snapshot");
  if (volumes) TRY(remove_anonymous(container));
  release_id_range(folders_, container.id, {container.resolved.ids_first, container.resolved.ids_size});
  TRY(records_.remove(locked, container));
  tell(container, "destroy");
  return {};
}

Result<> Engine::remove(const std::string& reference, const RemoveOptions& options) {
  auto [locked, container] = TRY(hold(reference));
  const std::string id = container.id;
  if (!container.config.shared.empty())
    return fail(container.name, " is a sandbox").hint(cat("`proa sandbox rm ", container.name, "` removes it"));
  if (is_running(container.state)) {
    if (!options.force)
      return fail("cannot remove container \"", container.name, "\": container is ", container.state.status,
                  ": stop the container before removing or force remove");
    // Nothing is to come back, and nobody else is to remove it under our hands.
    container.state.stopped_by_user = true;
    container.config.restart = {};
    const int64_t pid = container.state.pid;
    if (status_of(container.state) != Status::kRestarting) {
      (void)signal_locked(container, SIGKILL);
      if (auto process = kernel::pidfd_open(static_cast<pid_t>(pid)))
        (void)kernel::wait_gone(process->get(), kAfterKill);
      for (int i = 0; i < 2000 && shim_phase(folders_.shim(id)) == ShimPhase::kHeld; ++i) ::usleep(500);
      bool restart = false;
      TRY(record_exit(locked, container, restart));
    }
  }
  return remove_locked(locked, container, options.volumes || container.config.auto_remove);
}

Result<int> Engine::wait(const std::string& reference, WaitFor condition) {
  const std::string id = TRY(records_.resolve(reference));
  // One that removes itself is gone before its record could be read: its shim tells.
  auto ending = shim_wait(folders_.shim(id));
  const auto [container, removed] = TRY(look(id));
  int code = static_cast<int>(container->state.exit_code);
  if (removed || (condition == WaitFor::kNotRunning && !is_running(container->state))) return code;
  Fd watch(::inotify_init1(IN_CLOEXEC));
  if (!watch) return fail_errno(errno, "inotify");
  const std::string folder = folders_.container(id), seen = container->state.finished_at;
  (void)::inotify_add_watch(watch.get(), folder.c_str(), IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF);
  for (std::optional<ExitRecord> told;;) {
    const auto looked = look(id);
    if (!looked) {  // removed
      if (ending) told = awaited_record(*ending);
      return told ? static_cast<int>(told->exit_code) : code;
    }
    const State& now = looked->container->state;
    code = static_cast<int>(now.exit_code);
    if (looked->removed) return code;
    const bool ended = !is_running(now);
    if (condition == WaitFor::kNotRunning && ended) return code;
    if (condition == WaitFor::kNextExit && ended && now.finished_at != seen) return code;
    std::array<pollfd, 2> waits = {pollfd{watch.get(), POLLIN, 0}, pollfd{ending ? ending->get() : -1, POLLIN, 0}};
    ::poll(waits.data(), waits.size(), 1000);
    std::array<char, 4096> ignored;
    if ((waits[0].revents & POLLIN) != 0) [[maybe_unused]]
      const ssize_t got = ::read(watch.get(), ignored.data(), ignored.size());
    if (waits[1].revents != 0) {
      told = awaited_record(*ending);
      ending = fail("told");
    }
    if (!ending) ending = shim_wait(folders_.shim(id));  // of the next run
  }
}

Result<Container> Engine::inspect(const std::string& reference) {
  const std::string id = TRY(records_.resolve(reference));
  auto [container, removed] = TRY(look(id));
  if (removed) return fail_errno(ENOENT, "No such container: ", reference);
  return *std::move(container);
}

// The container is set, even where it was removed.
Result<Engine::Settled> Engine::look(const std::string& id) {
  Settled out{.container = TRY(records_.load(id)), .removed = false};
  if (status_of(out.container->state) == Status::kRestarting) revive(*out.container);
  if (!unsettled(*out.container)) return out;
  // An end is waited for, anything else is somebody's at work unless the lock is free.
  Settled settled = TRY(settle(id, is_running(out.container->state) && out.container->state.pending.empty()));
  if (settled.container) return settled;
  out.container = TRY(records_.load(id));
  return out;
}

Result<std::vector<Container>> Engine::list() {
  std::vector<Container> out = TRY(list_all());
  std::erase_if(out, [](const Container& c) { return !c.config.shared.empty(); });
  return out;
}

Result<std::vector<Container>> Engine::list_all() {
  std::vector<std::string> dead;
  std::vector<Container> out = TRY(records_.all(&dead));
  for (const std::string& id : dead)
    if (const auto buried = bury(id); !buried) log::warning("remains of ", id, ": ", buried.error().message());
  for (Container& container : out) {
    if (status_of(container.state) == Status::kRestarting) revive(container);
    if (!unsettled(container)) continue;
    // Somebody is about to put it right, or died: then we do.
    auto settled = settle(container.id, false);
    if (!settled || !settled->container) continue;
    container = std::move(*settled->container);
    if (settled->removed) container.id.clear();
  }
  std::erase_if(out, [](const Container& container) { return container.id.empty(); });
  return out;
}

}  // namespace proa::engine
