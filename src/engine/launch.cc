// The steps between a container's record and its running program: root file system, namespaces, specification, shim,
// networks, start.
#include <fcntl.h>
#include <linux/mount.h>
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
#include "kernel/mount.h"
#include "oci/runtime/idmap.h"
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

// A part of a volume, whose links must not lead out of it: mounted for the container alone, on a point of its own.
Result<std::string> Engine::mount_part(const std::string& volume, const std::string& part, const std::string& point,
                                       PrivateMounts& mounts) {
  const Fd root = TRY(kernel::open(volume.c_str(), O_PATH | O_DIRECTORY));
  const Fd found = TRY_CTX(kernel::open_in_root(root.get(), part.c_str(), O_PATH), "volume-subpath ", part);
  struct stat info{};
  if (::fstat(found.get(), &info) != 0) return fail_errno(errno, "volume-subpath ", part);
  TRY(kernel::make_dirs(point.substr(0, point.rfind('/')), 0711));
  if (S_ISDIR(info.st_mode))
    TRY(kernel::make_dirs(point, 0711));
  else [[maybe_unused]]
    const Fd made = TRY(kernel::open(point.c_str(), O_WRONLY | O_CREAT, 0600));
  mounts.emplace_back(TRY(kernel::clone_tree(found.get(), true)), point);
  return point;
}

// Where the container's mounts come from on the host.
Result<> Engine::find_sources(const Container& container, SpecInput& input, PrivateMounts& mounts) {
  for (const MountConfig& mount : container.resolved.mounts) {
    std::string source = mount.source;
    if (mount.type == "volume") source = TRY(volumes_.mount(mount.source));
    const std::string point = cat(folders_.bundle(container.id), "/mounts/", input.mount_sources.size());
    if (!mount.subpath.empty()) source = TRY(mount_part(source, mount.subpath, point, mounts));
    if (mount.type == "bind" && mount.make_source && !kernel::path_exists(source.c_str()))
      TRY(kernel::make_dirs(source, 0755));
    input.mount_sources.push_back(std::move(source));
  }
  return {};
}

// A folder of the user's, a snapshot of an image, or an empty one for a sandbox's holder.
Result<Fd> Engine::open_launch_root(const Container& container, const std::string& path) {
  const Resolved& r = container.resolved;
  const std::string& folder = container.config.rootfs.empty() ? path : container.config.rootfs;
  if (path != container.config.rootfs) TRY(kernel::make_dirs(path, 0711));
  Fd root;
  if (r.snapshot.empty())
    root = TRY_CTX(kernel::open(folder.c_str(), O_PATH | O_DIRECTORY), "--rootfs");
  else
    root = TRY_CTX(images_.mount(r.snapshot), "root file system");
  TRY(make_working_dir(root.get(), r.working_dir));
  if (r.ids_size == 0) return root;
  // The same once more, as the container's users are to see it.
  const std::vector<oci::IdMapping> ids = {{0, static_cast<uint32_t>(r.ids_first), static_cast<uint32_t>(r.ids_size)}};
  const Fd users = TRY(runtime::make_mapping_namespace(ids, ids));
  if (!r.snapshot.empty()) {
    root.reset();
    return TRY_CTX(images_.mount(r.snapshot, users.get()), "root file system");
  }
  Fd mapped = TRY(kernel::clone_tree(root.get(), false));
  TRY_CTX(kernel::set_attributes(mapped.get(), "", {.set = MOUNT_ATTR_IDMAP, .userns_fd = users.get()}, false),
          "--userns: map the ids of ", folder);
  return mapped;
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
  return std::unexpected(program_error(going.error()));
}

Result<> Engine::launch(const Locked& locked, Container& container, const StartOptions& options) {
  const ContainerConfig& config = container.config;
  const std::string bundle = folders_.bundle(container.id), shim = folders_.shim(container.id);
  const bool mapped = container.resolved.ids_size != 0;
  const std::string root_path = config.rootfs.empty() || mapped ? bundle + "/rootfs" : config.rootfs;
  (void)await_shim_gone(shim, 10000);
  TRY(kernel::make_dirs(bundle, 0711));
  if (kernel::path_exists(shim.c_str())) TRY(clear_shim(shim));
  const Fd root = TRY(open_launch_root(container, root_path));

  SpecInput input{.container = container, .root = root.get(), .root_path = root_path};
  TRY(choose_namespaces(locked, container, input));
  PrivateMounts mounts;
  TRY(find_sources(container, input, mounts));
  if (config.init || !config.shared.empty()) input.init = TRY(shim_program());
  if (input.ipc.join_pid != 0) {
    input.shared_memory = bundle + "/mounts/shm";
    TRY(kernel::make_dirs(input.shared_memory, 0711));
    Fd memory = TRY_CTX(mount_of_process(static_cast<pid_t>(input.ipc.join_pid), "/dev/shm"), "--ipc");
    mounts.emplace_back(std::move(memory), input.shared_memory);
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
  TRY(set_log(container, request));
  set_health_timer(container, bundle, request);
  if (!container.resolved.snapshot.empty() || (mapped && !config.rootfs.empty()))
    request.mounts.emplace_back(root.get(), root_path);
  for (const auto& [mount, point] : mounts) request.mounts.emplace_back(mount.get(), point);
  auto made = start_shim(request);
  if (!made) return std::unexpected(program_error(made.error()));
  if (!made->warning.empty()) log::debug(made->warning);
  container.state.pid = made->pid;
  container.state.shim = made->shim;
  return set_going(locked, container, options);
}

}  // namespace proa::engine
