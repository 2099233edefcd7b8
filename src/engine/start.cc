// From a container on disk to a running program.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ids.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/shim_client.h"
#include "engine/spec_builder.h"
#include "kernel/file.h"
#include "oci/runtime/runtime.h"

namespace proa::engine {
namespace {

namespace runtime = oci::runtime;

constexpr int64_t kSecond = 1000000000;

std::string now() { return format_rfc3339(Clock::system().wall(), TimePrecision::kNanoseconds); }

// mkdir -p beneath the root.
Result<> make_working_dir(int root, const std::string& path) {
  if (path.empty() || path == "/" || kernel::open_in_root(root, path.c_str(), O_PATH | O_DIRECTORY)) return {};
  Fd folder = TRY(kernel::open_in_root(root, "/", O_PATH | O_DIRECTORY));
  std::string reached;
  for (const std::string_view part : split(path, '/')) {
    reached += cat("/", part);
    auto next = kernel::open_in_root(root, reached.c_str(), O_PATH | O_DIRECTORY);
    if (!next && next.error().code() == ENOENT) {
      if (::mkdirat(folder.get(), std::string(part).c_str(), 0755) != 0 && errno != EEXIST)
        return fail_errno(errno, "working directory ", path);
      next = kernel::open_in_root(root, reached.c_str(), O_PATH | O_DIRECTORY);
    }
    if (!next) return fail("Cannot mkdir: ", path, " is not a directory");
    folder = std::move(*next);
  }
  return {};
}

// "10m"; 0 when there is none.
uint64_t size_option(const LogConfig& log, const char* name, uint64_t otherwise) {
  const auto found = log.options.find(name);
  if (found == log.options.end()) return otherwise;
  if (found->second == "-1") return 0;
  std::string_view text = found->second;
  uint64_t unit = 1;
  if (!text.empty()) {
    const char last = static_cast<char>(text.back() | 0x20);
    unit = last == 'k' ? 1u << 10 : last == 'm' ? 1u << 20 : last == 'g' ? 1u << 30 : 1;
    if (unit != 1) text.remove_suffix(1);
  }
  return parse_number<uint64_t>(text).value_or(0) * unit;
}

// Logs are rotated unless the user says otherwise: nobody wants a disk full of them.
void set_log(const Container& container, const std::string& folder, ShimRequest& request) {
  const LogConfig& log = container.config.log;
  if (log.driver == "none") return;
  request.log = folder + "/log";
  if (log.driver == "k8s-file" || log.driver == "cri") request.log_format = "cri";
  request.log_max_size = size_option(log, "max-size", 100u << 20);
  request.log_max_files = std::max<uint64_t>(size_option(log, "max-file", 2), 1);
}

bool has_health_check(const HealthConfig& health) { return !health.test.empty() && health.test[0] != "NONE"; }

// The program's own errors, as the caller's exit status wants them told apart. They may have come as text.
Error start_error(Error error) {
  std::string text = error.message();
  const size_t at = text.find("exec: \"");
  if (at == std::string::npos) return error;
  text.erase(0, at);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const bool missing = text.find("not found") != std::string::npos || text.find("no such file") != std::string::npos;
  return Error(error.message().substr(at), missing ? ENOENT : EACCES);
}

}  // namespace

bool is_running(const State& state) {
  const Status status = status_of(state);
  return status == Status::kRunning || status == Status::kPaused || status == Status::kRestarting;
}

Result<int64_t> Engine::running_pid(const std::string& mode, const char* flag) {
  const std::string id = TRY_CTX(records_.resolve(std::string_view(mode).substr(10)), flag);
  const Container other = TRY(inspect(id));
  if (!is_running(other.state) || other.state.pid == 0)
    return fail("cannot join ", flag, " of a non running container: ", other.id);
  return other.state.pid;
}

Result<> Engine::launch(const Locked& locked, Container& container, const StartOptions& options) {
  const ContainerConfig& config = container.config;
  const std::string bundle = folders_.bundle(container.id), shim = folders_.shim(container.id);
  const std::string root_path = container.resolved.snapshot.empty() ? config.rootfs : bundle + "/rootfs";
  (void)await_shim_gone(shim, 10000);
  TRY(kernel::make_dirs(bundle + (container.resolved.snapshot.empty() ? "" : "/rootfs"), 0711));
  if (kernel::path_exists(shim.c_str())) TRY(clear_shim(shim));

  Fd root;
  if (container.resolved.snapshot.empty())
    root = TRY_CTX(kernel::open(config.rootfs.c_str(), O_PATH | O_DIRECTORY), "--rootfs");
  else
    root = TRY_CTX(images_.mount(container.resolved.snapshot), "root file system");
  TRY(make_working_dir(root.get(), container.resolved.working_dir));

  const NetworkKind kind = network_kind(config.network_mode);
  SpecInput input{.container = container, .root = root.get(), .root_path = root_path};
  input.network.host = kind == NetworkKind::kHost;
  if (kind == NetworkKind::kContainer) {
    input.network.join_pid = TRY(running_pid(config.network_mode, "network namespace"));
    const std::string other = TRY(records_.resolve(std::string_view(config.network_mode).substr(10)));
    input.folder = folders_.container(other);
  } else {
    TRY(write_network_files(container, locked.path()));
    input.folder = locked.path();
  }
  input.pid.host = config.pid_mode == "host";
  if (config.pid_mode.starts_with("container:"))
    input.pid.join_pid = TRY(running_pid(config.pid_mode, "PID namespace"));
  input.ipc.host = config.ipc_mode == "host";
  if (config.ipc_mode.starts_with("container:"))
    input.ipc.join_pid = TRY(running_pid(config.ipc_mode, "IPC namespace"));
  Fd shared_memory;
  if (input.ipc.join_pid != 0) {
    input.shared_memory = bundle + "/shm";
    TRY(kernel::make_dirs(input.shared_memory, 0711));
    shared_memory = TRY_CTX(mount_of_process(static_cast<pid_t>(input.ipc.join_pid), "/dev/shm"), "--ipc");
  }
  input.uts.host = config.uts_mode == "host";
  input.cgroup.host = config.cgroupns_mode == "host";
  if (config.init) input.init = TRY(shim_program());
  for (const MountConfig& mount : container.resolved.mounts) {
    std::string source = mount.source;
    if (mount.type == "volume") source = TRY(volumes_.mount(mount.source));
    if (mount.type == "bind" && mount.make_source && !kernel::path_exists(source.c_str()))
      TRY(kernel::make_dirs(source, 0755));
    input.mount_sources.push_back(std::move(source));
  }
  Fd file = TRY(kernel::open((bundle + "/config.json").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
  const std::string spec = TRY(build_spec(input));
  TRY(kernel::write_all(file.get(), spec));
  file.reset();

  const std::string program = TRY(own_program());
  ShimRequest request{.id = container.id,
                      .bundle = bundle,
                      .state = shim,
                      .runtime_root = folders_.runtime(),
                      .terminal = config.tty,
                      .in = config.open_stdin,
                      .in_once = config.stdin_once,
                      .exit_command = {program, "__exited", container.id}};
  set_log(container, locked.path(), request);
  if (has_health_check(container.resolved.health)) {
    const HealthConfig& health = container.resolved.health;
    int64_t interval = health.interval > 0 ? health.interval : 30 * kSecond;
    if (health.start_period > 0)
      interval = std::min(interval, health.start_interval > 0 ? health.start_interval : 5 * kSecond);
    request.timer_ms = std::max<int64_t>(interval / 1000000, 1);
    request.timer_command = {program, "__health", container.id};
    (void)kernel::replace_file(bundle + "/health.json", "{\"status\":\"starting\"}\n", 0600);
  }
  if (!container.resolved.snapshot.empty()) request.mounts.emplace_back(root.get(), root_path);
  if (shared_memory) request.mounts.emplace_back(shared_memory.get(), input.shared_memory);
  auto made = start_shim(request);
  if (!made) return std::unexpected(start_error(made.error()));
  const ShimReport report = std::move(*made);
  if (!report.warning.empty()) log::debug(report.warning);
  container.state.pid = report.pid;
  container.state.shim = report.shim;

  const runtime::Globals globals{.root = folders_.runtime()};
  const auto going = [&]() -> Result<> {
    if (kind == NetworkKind::kNamed) {
      TRY(networks_.attach(container, static_cast<pid_t>(report.pid), shim));
      TRY(write_network_files(container, locked.path()));
    }
    if (options.before) TRY(options.before(shim));
    return runtime::start(globals, container.id);
  }();
  if (!going) {
    if (kind == NetworkKind::kNamed) (void)networks_.detach(container);
    (void)runtime::remove(globals, container.id, true);
    container.state.networks.clear();
    container.state.ports.clear();
    container.state.pid = 0;
    return std::unexpected(start_error(going.error()));
  }
  return {};
}

Result<> Engine::start_locked(const Locked& locked, Container& container, const StartOptions& options) {
  State& state = container.state;
  state.pending.clear();
  const State before = state;
  state.error.clear();
  state.oom_killed = false;
  state.stopped_by_user = false;
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
  if (state.finished_at.empty()) state.finished_at = "0001-01-01T00:00:00Z";
  TRY(locked.save_state(state));
  tell(container, "start");
  return {};
}

Result<> Engine::start(const std::string& reference, const StartOptions& options) {
  const std::string id = TRY(records_.resolve(reference));
  Locked locked = TRY(records_.lock(id));
  Container container = TRY(locked.load());
  TRY(reconcile(locked, container));
  const Status status = status_of(container.state);
  if (status == Status::kRunning) return {};
  if (status == Status::kPaused) return fail("cannot start a paused container, try unpause instead");
  if (status == Status::kRemoving) return fail("container is marked for removal and cannot be started");
  container.state.restart_count = 0;
  container.state.backoff_ms = 0;
  return start_locked(locked, container, options);
}

}  // namespace proa::engine
