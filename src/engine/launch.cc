// The steps between a container's record and its running program: root file system, namespaces, specification, shim,
// networks, start.
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
constexpr std::string_view kJoin = "container:";

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

void set_health_timer(const Container& container, const std::string& bundle, ShimRequest& request) {
  const HealthConfig& health = container.resolved.health;
  if (!has_health_check(health)) return;
  int64_t interval = health.interval > 0 ? health.interval : 30 * kSecond;
  if (health.start_period > 0)
    interval = std::min(interval, health.start_interval > 0 ? health.start_interval : 5 * kSecond);
  request.timer_ms = std::max<int64_t>(interval / 1000000, 1);
  request.timer_command = {request.exit_command.front(), "__health", container.id};
  (void)kernel::replace_file(bundle + "/health.json", "{\"status\":\"starting\"}\n", 0600);
}

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

Result<Container> Engine::running(const std::string& reference, const char* what) {
  Container other = TRY_CTX(inspect(reference), what);
  if (is_running(other.state) && other.state.pid != 0) return other;
  if (!other.config.shared.empty())
    return fail("sandbox ", other.name, " is not running").hint(cat("start it: `proa sandbox start ", other.name, "`"));
  return fail("cannot join ", what, " of a non running container: ", other.id);
}

// "host", "container:ID", or nothing for one of its own.
Result<NamespaceChoice> Engine::choose_namespace(const std::string& mode, const char* what) {
  if (mode == "host") return NamespaceChoice{.host = true};
  if (!mode.starts_with(kJoin)) return NamespaceChoice{};
  const Container other = TRY(running(mode.substr(kJoin.size()), what));
  return NamespaceChoice{.join_pid = other.state.pid};
}

Result<> Engine::choose_namespaces(const Locked& locked, const Container& container, SpecInput& input) {
  const ContainerConfig& config = container.config;
  input.network = TRY(choose_namespace(config.network_mode, "network namespace"));
  input.pid = TRY(choose_namespace(config.pid_mode, "PID namespace"));
  input.ipc = TRY(choose_namespace(config.ipc_mode, "IPC namespace"));
  input.uts = TRY(choose_namespace(config.uts_mode, "UTS namespace"));
  input.cgroup.host = config.cgroupns_mode == "host";
  if (network_kind(config.network_mode) != NetworkKind::kContainer) {
    TRY(write_network_files(container, locked.path()));
    input.folder = locked.path();
    return {};
  }
  const std::string other = TRY(records_.resolve(std::string_view(config.network_mode).substr(kJoin.size())));
  input.folder = folders_.container(other);
  return {};
}

// Where the container's mounts come from on the host.
Result<> Engine::find_sources(const Container& container, SpecInput& input) {
  for (const MountConfig& mount : container.resolved.mounts) {
    std::string source = mount.source;
    if (mount.type == "volume") source = TRY(volumes_.mount(mount.source));
    if (mount.type == "bind" && mount.make_source && !kernel::path_exists(source.c_str()))
      TRY(kernel::make_dirs(source, 0755));
    input.mount_sources.push_back(std::move(source));
  }
  return {};
}

// A folder of the user's, a snapshot of an image, or an empty one for a sandbox's holder.
Result<Fd> Engine::open_launch_root(const Container& container, const std::string& path) {
  if (!container.config.shared.empty() || !container.resolved.snapshot.empty()) TRY(kernel::make_dirs(path, 0711));
  if (container.resolved.snapshot.empty()) return TRY_CTX(kernel::open(path.c_str(), O_PATH | O_DIRECTORY), "--rootfs");
  return TRY_CTX(images_.mount(container.resolved.snapshot), "root file system");
}

// From "created" to "running": networks, the caller's part, the program.
Result<> Engine::set_going(const Locked& locked, Container& container, const StartOptions& options) {
  const std::string shim = folders_.shim(container.id);
  const bool own_network = network_kind(container.config.network_mode) == NetworkKind::kNamed;
  const runtime::Globals globals{.root = folders_.runtime()};
  const auto going = [&]() -> Result<> {
    if (own_network) {
      TRY(networks_.attach(container, static_cast<pid_t>(container.state.pid), shim));
      TRY(write_network_files(container, locked.path()));
    }
    if (options.before) TRY(options.before(shim));
    return runtime::start(globals, container.id);
  }();
  if (going) return {};
  if (own_network) (void)networks_.detach(container);
  (void)runtime::remove(globals, container.id, true);
  container.state.networks.clear();
  container.state.ports.clear();
  container.state.pid = 0;
  return std::unexpected(start_error(going.error()));
}

Result<> Engine::launch(const Locked& locked, Container& container, const StartOptions& options) {
  const ContainerConfig& config = container.config;
  const std::string bundle = folders_.bundle(container.id), shim = folders_.shim(container.id);
  const std::string root_path = config.rootfs.empty() ? bundle + "/rootfs" : config.rootfs;
  (void)await_shim_gone(shim, 10000);
  TRY(kernel::make_dirs(bundle, 0711));
  if (kernel::path_exists(shim.c_str())) TRY(clear_shim(shim));
  const Fd root = TRY(open_launch_root(container, root_path));
  TRY(make_working_dir(root.get(), container.resolved.working_dir));

  SpecInput input{.container = container, .root = root.get(), .root_path = root_path};
  TRY(choose_namespaces(locked, container, input));
  TRY(find_sources(container, input));
  if (config.init || !config.shared.empty()) input.init = TRY(shim_program());
  Fd shared_memory;
  if (input.ipc.join_pid != 0) {
    input.shared_memory = bundle + "/shm";
    TRY(kernel::make_dirs(input.shared_memory, 0711));
    shared_memory = TRY_CTX(mount_of_process(static_cast<pid_t>(input.ipc.join_pid), "/dev/shm"), "--ipc");
  }
  Fd file = TRY(kernel::open((bundle + "/config.json").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
  const std::string spec = TRY(build_spec(input));
  TRY(kernel::write_all(file.get(), spec));
  file.reset();

  ShimRequest request{.id = container.id,
                      .bundle = bundle,
                      .state = shim,
                      .runtime_root = folders_.runtime(),
                      .terminal = config.tty,
                      .in = config.open_stdin,
                      .in_once = config.stdin_once,
                      .exit_command = {TRY(own_program()), "__exited", container.id}};
  set_log(container, locked.path(), request);
  set_health_timer(container, bundle, request);
  if (!container.resolved.snapshot.empty()) request.mounts.emplace_back(root.get(), root_path);
  if (shared_memory) request.mounts.emplace_back(shared_memory.get(), input.shared_memory);
  auto made = start_shim(request);
  if (!made) return std::unexpected(start_error(made.error()));
  if (!made->warning.empty()) log::debug(made->warning);
  container.state.pid = made->pid;
  container.state.shim = made->shim;
  return set_going(locked, container, options);
}

}  // namespace proa::engine
