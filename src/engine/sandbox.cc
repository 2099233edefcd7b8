// Sandboxes: containers that share namespaces. A sandbox is a container of a kind of its own, whose one process is
// proa-shim as a holder: it has a name, networks, a shim and an end as any other, and is not listed among containers.
#include <algorithm>

#include "base/ids.h"
#include "base/text.h"
#include "engine/engine.h"

namespace proa::engine {
namespace {

constexpr std::string_view kShareable[] = {"ipc", "net", "pid", "uts"};

bool shares(const Container& holder, std::string_view name) {
  return std::ranges::find(holder.config.shared, name) != holder.config.shared.end();
}

Result<> check_shared(const Strings& shared) {
  for (const std::string& name : shared)
    if (std::ranges::find(kShareable, name) == std::end(kShareable))
      return fail("a sandbox cannot share '", name, "'").hint("net, ipc, uts and pid can be shared");
  return {};
}

Failure no_sandbox(const std::string& reference) {
  return Failure(Error(cat("No such sandbox: ", reference), ENOENT).hint("`proa sandbox ls` lists them"));
}

}  // namespace

Result<Container> Engine::holder_of(const std::string& reference) {
  auto holder = inspect(reference);
  if (!holder && holder.error().code() != ENOENT) return holder;
  if (!holder || holder->config.shared.empty()) return no_sandbox(reference);
  return holder;
}

Result<Created> Engine::create_sandbox(ContainerConfig config, const std::string& name) {
  if (config.shared.empty()) config.shared = {"ipc", "net", "uts"};
  TRY(check_shared(config.shared));
  config.cap_drop = {"ALL"};
  config.security_opt.emplace_back("no-new-privileges");
  config.read_only = true;
  config.log = {.driver = "none", .options = {}};
  return create(std::move(config), name);
}

// What the container shares becomes its modes: from here on it is one that joins another.
Result<> Engine::join_sandbox(ContainerConfig& config) {
  if (config.sandbox.empty()) return {};
  const Container holder = TRY(holder_of(config.sandbox));
  if (status_of(holder.state) == Status::kRemoving) return fail("sandbox ", holder.name, " is being removed");
  config.sandbox = holder.id;
  const std::string joined = "container:" + holder.id;
  const auto take = [&](std::string_view name, std::string& mode, const std::string& of_holder) -> Result<> {
    if (!shares(holder, name)) return {};
    if (!mode.empty() && mode != joined)
      return fail("conflicting options: the sandbox ", holder.name, " has the ", name, " namespace; '", mode,
                  "' cannot be chosen");
    mode = of_holder == "host" ? of_holder : joined;
    return {};
  };
  TRY(take("net", config.network_mode, holder.config.network_mode));
  TRY(take("ipc", config.ipc_mode, holder.config.ipc_mode));
  TRY(take("uts", config.uts_mode, holder.config.uts_mode));
  TRY(take("pid", config.pid_mode, holder.config.pid_mode));
  if (shares(holder, "uts") && !config.hostname.empty())
    return fail("conflicting options: the sandbox ", holder.name, " has the host name");
  if (config.cgroup_parent.empty()) config.cgroup_parent = holder.config.cgroup_parent;
  return {};
}

Result<> Engine::start_sandbox(const std::string& sandbox) { return start(TRY(holder_of(sandbox)).id); }

Result<std::vector<Container>> Engine::members_of(const std::string& id) {
  std::vector<Container> out = TRY(list());
  std::erase_if(out, [&](const Container& c) { return c.config.sandbox != id; });
  return out;
}

Result<> Engine::stop_sandbox(const std::string& sandbox, const StopOptions& options) {
  const Container holder = TRY(holder_of(sandbox));
  for (const Container& member : TRY(members_of(holder.id))) {
    const auto stopped = stop(member.id, options);
    if (!stopped && stopped.error().code() != ENOENT) return stopped;
  }
  return stop(holder.id, {.timeout = options.timeout, .signal = {}});
}

Result<> Engine::remove_sandbox(const std::string& sandbox, bool force) {
  const Container holder = TRY(holder_of(sandbox));
  {
    auto [locked, container] = TRY(hold(holder.id));
    const size_t members = TRY(members_of(holder.id)).size();
    if (!force && (members != 0 || is_running(container.state)))
      return fail("cannot remove sandbox ", holder.name, ": ",
                  members != 0 ? cat("it has ", members, members == 1 ? " container" : " containers") : "it is running")
          .hint("`proa sandbox rm --force` stops it and removes its containers with it");
    // From now on nobody can join it, and its end is not anybody else's to work on.
    container.state.stopped_by_user = true;
    if (is_running(container.state)) (void)signal_locked(container, 9);
    container.state.status = status_word(Status::kRemoving);
    TRY(locked.save_state(container.state));
  }
  for (const Container& member : TRY(members_of(holder.id))) {
    const auto removed = remove(member.id, {.force = true, .volumes = true});
    if (!removed && removed.error().code() != ENOENT) return removed;
  }
  auto [locked, container] = TRY(hold(holder.id));
  return remove_locked(locked, container, false);
}

Result<Sandbox> Engine::inspect_sandbox(const std::string& sandbox) {
  Sandbox out{.holder = TRY(holder_of(sandbox)), .containers = {}};
  out.containers = TRY(members_of(out.holder.id));
  return out;
}

Result<std::vector<Sandbox>> Engine::sandboxes() {
  std::vector<Sandbox> out;
  std::vector<Container> members;
  for (Container& container : TRY(list_all())) {
    if (!container.config.shared.empty())
      out.push_back({.holder = std::move(container), .containers = {}});
    else if (!container.config.sandbox.empty())
      members.push_back(std::move(container));
  }
  for (Container& member : members) {
    const auto home = std::ranges::find(out, member.config.sandbox, [](const Sandbox& s) { return s.holder.id; });
    if (home != out.end()) home->containers.push_back(std::move(member));
  }
  return out;
}

}  // namespace proa::engine
