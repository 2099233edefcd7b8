// create, start, state, kill, delete, pause, resume, list.
#include <signal.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "base/json.h"
#include "base/log.h"
#include "kernel/file.h"
#include "kernel/names.h"
#include "kernel/process.h"
#include "oci/runtime/hooks.h"
#include "oci/runtime/launch.h"
#include "oci/runtime/plan.h"
#include "oci/runtime/runtime.h"
#include "oci/runtime/state.h"

namespace proa::oci::runtime {
namespace bj = boost::json;
namespace {

struct Opened {
  StateFolder folder;
  ContainerState state;
};

// ENOENT: its maker is at it, or died, and no record is there yet.
template <typename T>
Result<T> of_container(const std::string& id, Result<T> loaded) {
  if (!loaded && loaded.error().code() == ENOENT) return fail_errno(ENOENT, "container does not exist: ", id);
  return loaded;
}

Result<Opened> open_container(const Globals& globals, const std::string& id, bool lock) {
  StateFolder folder = TRY(StateFolder::open(globals, id, lock));
  ContainerState state = TRY(of_container(id, folder.load()));
  return Opened{std::move(folder), std::move(state)};
}

bj::object describe(const ContainerState& state, Status status) {
  bj::object annotations;
  for (const auto& [key, value] : state.annotations) annotations.emplace(key, value);
  return {{"ociVersion", state.oci_version},
          {"id", state.id},
          {"pid", status == Status::kStopped ? 0 : state.pid},
          {"status", status_name(status)},
          {"bundle", state.bundle},
          {"rootfs", state.rootfs},
          {"created", state.created},
          {"annotations", std::move(annotations)},
          {"owner", ""}};
}

Result<kernel::cgroup::Cgroup> open_cgroup(const Opened& container) {
  if (container.state.cgroup.hierarchies.empty())
    return fail("container ", container.state.id, " has no cgroup of its own");
  return kernel::cgroup::Cgroup::open(container.state.cgroup);
}

constexpr size_t kMaxReport = 16u << 10;

// The stage's answer to "start": its end of the connection closes when the program is executed.
Result<> await_execution(const Fd& connection) {
  const auto report = kernel::read_all(connection.get(), kMaxReport);
  if (!report && report.error().code() != ECONNRESET) return fail_errno(report.error().code(), "wait for the program");
  if (!report || report->empty()) return {};
  const std::string_view body = std::string_view(*report).substr(1);
  if (report->front() == 'S') return std::unexpected(decode_report(body));
  return std::unexpected(decode_error(body));
}

Result<> check_startable(const Opened& container, Status status, const Spec& spec) {
  switch (status) {
    case Status::kCreated: break;
    case Status::kStopped: return fail("cannot start a container that has stopped");
    case Status::kCreating: return fail("cannot start a container that is still being created");
    case Status::kPaused: return fail("cannot start a container that is paused").hint("let it go on with `resume`");
    default: return fail("cannot start an already running container");
  }
  if (!spec.process) return fail("cannot start container ", container.state.id, ": its configuration has no process");
  return {};
}

// runtime-spec 1.3 ("Lifecycle", step 9) stops a container whose poststart hook fails; before it was a warning.
bool poststart_must_succeed(const std::string& version) {
  return !version.starts_with("1.0") && !version.starts_with("1.1") && !version.starts_with("1.2");
}

}  // namespace

Result<> run_poststart(const Spec& spec, const ContainerState& state) {
  if (spec.hooks.poststart.empty()) return {};
  const std::string document = state_document(state, Status::kRunning, state.pid);
  if (poststart_must_succeed(spec.oci_version)) return run_hooks("poststart", spec.hooks.poststart, document);
  run_hooks_warning("poststart", spec.hooks.poststart, document);
  return {};
}

Result<> remove_container(StateFolder& folder, const ContainerState& state, const Spec* spec) {
  std::optional<Spec> loaded;
  if (spec == nullptr) {
    if (auto read = folder.load_config()) spec = &loaded.emplace(*std::move(read));
  }
  TRY(destroy(folder, state));
  if (spec != nullptr) run_hooks_warning("poststop", spec->hooks.poststop, state_document(state, Status::kStopped, 0));
  return {};
}

Result<> create(const Globals& globals, const std::string& id, const CreateOptions& options) {
  TRY(launch(globals, id, options, true));
  return {};
}

Result<> start(const Globals& globals, const std::string& id) {
  StateFolder folder = TRY(StateFolder::open(globals, id, true));
  auto [state, spec] = TRY(of_container(id, folder.load_whole()));
  const Opened container{std::move(folder), std::move(state)};
  const Status status = TRY(current_status(container.folder, container.state));
  TRY(check_startable(container, status, spec));
  Fd connection = TRY(container.folder.connect());
  if (::write(connection.get(), "s", 1) != 1) return fail_errno(errno, "order the start");
  // From here on the socket is gone, which is what tells a running container from a created one.
  container.folder.forget_start();
  TRY(await_execution(connection));
  auto done = run_poststart(spec, container.state);
  if (!done) (void)kill(globals, id, "KILL", false);
  return done;
}

Result<std::string> state(const Globals& globals, const std::string& id) {
  const Opened container = TRY(open_container(globals, id, false));
  return json::to_pretty(describe(container.state, TRY(current_status(container.folder, container.state))));
}

Result<> kill(const Globals& globals, const std::string& id, std::string_view signal, bool all) {
  const int number = TRY_CTX(kernel::parse_signal(signal), "signal");
  const Opened container = TRY(open_container(globals, id, false));
  const Status status = TRY(current_status(container.folder, container.state));
  const bool has_cgroup = !container.state.cgroup.hierarchies.empty();
  if (all && has_cgroup) return TRY(open_cgroup(container)).signal_all(number);
  if (status == Status::kStopped) return fail("container not running");
  if (status == Status::kCreating) return fail("container ", id, " is still being created");
  // Without a pid namespace of its own the container's other processes outlive the first.
  const auto spec = container.folder.load_config();
  const bool shares_pids = spec && spec->linux_ && spec->linux_->find(NamespaceType::kPid) == nullptr;
  if (number == SIGKILL && shares_pids && has_cgroup) return TRY(open_cgroup(container)).signal_all(SIGKILL);
  Fd pidfd = TRY(kernel::pidfd_open(container.state.pid));
  if (TRY(kernel::process_start_time(container.state.pid)) != container.state.start_time)
    return fail("container not running");
  TRY(kernel::send_signal(pidfd.get(), number));
  // A frozen process dies only when thawed.
  if (number == SIGKILL && status == Status::kPaused) return TRY(open_cgroup(container)).thaw();
  return {};
}

Result<> remove(const Globals& globals, const std::string& id, bool force) {
  auto folder = StateFolder::open(globals, id, true);
  if (!folder) {
    if (force && folder.error().code() == ENOENT) return {};
    return std::unexpected(std::move(folder).error());
  }
  auto state = folder->load();
  if (!state) {
    if (state.error().code() != ENOENT && !force) return std::unexpected(std::move(state).error());
    return destroy(*folder, ContainerState{});  // its creator died before it wrote a word
  }
  const Status status = TRY(current_status(*folder, *state));
  // runtime-spec "Delete": an error unless stopped, without effect. A creator that lives would hold the lock.
  if (!force && status != Status::kStopped && status != Status::kCreating)
    return fail("cannot delete container ", id, " that is not stopped: ", status_name(status))
        .hint("stop it with `kill`, or use --force");
  if (status == Status::kPaused) {
    auto cgroup = TRY(kernel::cgroup::Cgroup::open(state->cgroup));
    TRY(cgroup.signal_all(SIGKILL));
  }
  return remove_container(*folder, *state);
}

Result<> pause(const Globals& globals, const std::string& id) {
  const Opened container = TRY(open_container(globals, id, true));
  const Status status = TRY(current_status(container.folder, container.state));
  if (status != Status::kRunning && status != Status::kCreated)
    return fail("container not running or created: ", status_name(status));
  return TRY(open_cgroup(container)).freeze();
}

Result<> resume(const Globals& globals, const std::string& id) {
  const Opened container = TRY(open_container(globals, id, true));
  const Status status = TRY(current_status(container.folder, container.state));
  auto cgroup = TRY(open_cgroup(container));
  if (status != Status::kPaused) return fail("container not paused");
  return cgroup.thaw();
}

Result<std::string> list(const Globals& globals, const ListOptions& options) {
  bj::array entries;
  std::string table =
      options.quiet ? "" : "ID          PID         STATUS      BUNDLE      CREATED                          OWNER\n";
  for (const std::string& id : TRY(container_ids(globals))) {
    auto container = open_container(globals, id, false);
    if (!container) {
      log::warning("container ", id, ": ", container.error().message());
      continue;
    }
    const auto status = current_status(container->folder, container->state);
    if (!status) continue;
    const ContainerState& state = container->state;
    if (options.quiet) {
      table += state.id + "\n";
    } else if (options.json) {
      bj::object entry = describe(state, *status);
      entry["owner"] = state.owner == 0 ? "root" : cat("#", state.owner);
      entries.push_back(std::move(entry));
    } else {
      const auto pad = [](std::string text, size_t width) {
        text.resize(std::max(width, text.size() + 1), ' ');
        return text;
      };
      table += cat(pad(state.id, 12), pad(std::to_string(*status == Status::kStopped ? 0 : state.pid), 12),
                   pad(std::string(status_name(*status)), 12), pad(state.bundle, 12), pad(state.created, 33),
                   state.owner == 0 ? "root" : cat("#", state.owner), "\n");
    }
  }
  return options.json && !options.quiet ? json::to_line(entries) + "\n" : table;
}

}  // namespace proa::oci::runtime
