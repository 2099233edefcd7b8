// From what was asked to a container on disk.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/ids.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/spec_builder.h"
#include "engine/userns.h"
#include "kernel/file.h"
#include "kernel/names.h"
#include "oci/runtime/copy_tree.h"

namespace proa::engine {
namespace {

// Later entries take the place of earlier ones of their name; a name alone takes it away.
Strings merge_env(const Strings& base, const Strings& given) {
  Strings out = base;
  for (const std::string& entry : given) {
    const std::string name = entry.substr(0, entry.find('='));
    std::erase_if(out, [&](const std::string& e) { return e.substr(0, e.find('=')) == name; });
    if (entry.find('=') != std::string::npos) out.push_back(entry);
  }
  return out;
}

HealthConfig merge_health(const HealthConfig& image, const HealthConfig& given) {
  HealthConfig out = image;
  if (!given.test.empty()) out.test = given.test;
  for (auto field : {&HealthConfig::interval, &HealthConfig::timeout, &HealthConfig::start_period,
                     &HealthConfig::start_interval, &HealthConfig::retries})
    if (given.*field != 0) out.*field = given.*field;
  return out;
}

Result<> check_user_namespace(const ContainerConfig& config) {
  if (config.userns_mode.empty() || config.userns_mode == "host") return {};
  if (config.privileged)
    return fail("privileged mode is incompatible with user namespaces")
        .hint("use --userns=host, or leave --privileged out");
  for (const auto& [flag, mode] : {std::pair("--network", &config.network_mode),
                                   {"--pid", &config.pid_mode},
                                   {"--ipc", &config.ipc_mode},
                                   {"--uts", &config.uts_mode}})
    if (*mode == "host" || mode->starts_with("container:"))
      return fail("cannot share namespaces when user namespaces are enabled: ", flag, " ", *mode)
          .hint("use --userns=host");
  return {};
}

Result<> check(const ContainerConfig& config) {
  if (config.shared.empty() && config.image.empty() == config.rootfs.empty())
    return fail("exactly one of an image and a root file system is needed");
  const RestartPolicy& restart = config.restart;
  if (restart.name != "no" && config.auto_remove)
    return fail("Conflicting options: cannot specify both --restart and --rm");
  if (!config.stop_signal.empty()) TRY_CTX(kernel::parse_signal(config.stop_signal), "--stop-signal");
  if (config.resources.memory > 0 && config.resources.memory < 6 << 20)
    return fail("Minimum memory limit allowed is 6MB");
  const NetworkKind kind = network_kind(config.network_mode);
  if (kind == NetworkKind::kContainer && !config.hostname.empty())
    return fail("conflicting options: hostname and the network mode");
  if (kind == NetworkKind::kContainer && !config.ports.empty())
    return fail("conflicting options: port publishing and the container type network mode");
  if (kind == NetworkKind::kContainer && (!config.dns.empty() || !config.extra_hosts.empty()))
    return fail("conflicting options: dns or custom host-to-IP mapping and the network mode");
  TRY(check_user_namespace(config));
  TRY(capabilities_of(config));
  TRY(build_resources(config));
  return {};
}

}  // namespace

Engine::Engine(const Folders& folders)
    : folders_(folders),
      records_(folders),
      volumes_(folders),
      events_(folders.events()),
      images_(folders.images()),
      networks_(folders) {}

Result<Engine> Engine::open(const Folders& folders) { return Engine(folders); }

void Engine::tell(const Container& container, std::string_view action, StringMap attributes) {
  attributes.emplace("name", container.name);
  attributes.emplace("image", container.config.image.empty() ? container.config.rootfs : container.config.image);
  for (const auto& [name, value] : container.resolved.labels) attributes.emplace(name, value);
  events_.append({.type = "container",
                  .action = std::string(action),
                  .actor = container.id,
                  .attributes = std::move(attributes),
                  .time = Clock::system().wall()});
}

Result<> Engine::resolve_mounts(const ContainerConfig& config, const Strings& image_volumes, Resolved& to) {
  std::vector<MountConfig> mounts = config.mounts;
  const auto add = [&](const MountConfig& mount) {
    if (std::ranges::none_of(mounts, [&](const MountConfig& m) { return m.target == mount.target; }))
      mounts.push_back(mount);
  };
  for (const std::string& from : config.volumes_from) {
    std::string_view rest = from;
    const std::string source(cut(rest, ':'));
    const std::string id = TRY_CTX(records_.resolve(source), "--volumes-from");
    for (MountConfig mount : TRY(records_.load(id)).resolved.mounts) {
      if (rest == "ro") mount.read_only = true;
      mount.anonymous = false;
      add(mount);
    }
  }
  for (const std::string& target : image_volumes) add({.target = target, .anonymous = true});
  for (MountConfig& mount : mounts) {
    mount.target = clean_path(mount.target);
    if (mount.target.empty() || mount.target.front() != '/')
      return fail("invalid mount config for type \"", mount.type, "\": invalid mount path: '", mount.target,
                  "' mount path must be absolute");
    if (mount.target == "/") return fail("invalid specification: destination can't be '/'");
  }
  for (size_t i = 0; i < mounts.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (mounts[i].target == mounts[j].target) return fail("Duplicate mount point: ", mounts[i].target);
  to.mounts = std::move(mounts);
  return {};
}

Result<Resolved> Engine::resolve(const ContainerConfig& config, const std::string& id,
                                 std::vector<std::string>& warnings) {
  Resolved out;
  ImageFacts image;
  if (!config.shared.empty()) {
    image.entrypoint = {"/pause"};
  } else if (!config.image.empty()) {
    image = TRY(images_.find(config.image, config.platform));
    out.image_id = image.id;
    out.image_name = image.name;
    out.snapshot = id;
    if (config.platform.empty() && !image.foreign.empty())
      warnings.push_back(cat("The requested image's platform (", image.foreign,
                             ") does not match the detected host platform (", ImageSource::host_platform(),
                             ") and no specific platform was requested"));
  } else {
    struct stat info{};
    if (::stat(config.rootfs.c_str(), &info) != 0) return fail_errno(errno, "--rootfs ", config.rootfs);
    if (!S_ISDIR(info.st_mode)) return fail("--rootfs ", config.rootfs, ": not a folder");
  }
  Strings entrypoint = image.entrypoint, cmd = image.cmd;
  if (config.entrypoint) {
    // An entrypoint of one's own has nothing to do with the image's command.
    entrypoint = *config.entrypoint;
    std::erase(entrypoint, "");
    cmd.clear();
  }
  if (!config.cmd.empty()) cmd = config.cmd;
  out.args = entrypoint;
  out.entrypoint_size = entrypoint.size();
  out.args.insert(out.args.end(), cmd.begin(), cmd.end());
  if (out.args.empty()) return fail("no command specified");
  out.env = merge_env(image.env, config.env);
  out.working_dir = config.working_dir.empty() ? image.working_dir : config.working_dir;
  if (!out.working_dir.empty() && out.working_dir.front() != '/') {
    if (!config.working_dir.empty())
      return fail("the working directory '", config.working_dir, "' is invalid, it needs to be an absolute path");
    out.working_dir.insert(0, "/");
  }
  out.user = config.user.empty() ? image.user : config.user;
  if (!config.stop_signal.empty() || !image.stop_signal.empty())
    out.stop_signal = config.stop_signal.empty() ? image.stop_signal : config.stop_signal;
  out.labels = image.labels;
  for (const auto& [name, value] : config.labels) out.labels[name] = value;
  out.health = merge_health(image.health, config.health);
  out.exposed_ports = image.exposed_ports;
  for (const std::string& port : config.exposed_ports)
    if (std::ranges::find(out.exposed_ports, port) == out.exposed_ports.end()) out.exposed_ports.push_back(port);
  TRY(resolve_mounts(config, image.volumes, out));
  if (config.privileged && !config.cap_add.empty())
    warnings.emplace_back("--privileged gives every capability: --cap-add adds none");
  return out;
}

// Before they are made: what the record names is found again if we are killed.
Result<> Engine::name_volumes(Resolved& resolved) {
  for (MountConfig& mount : resolved.mounts) {
    if (mount.type != "volume" || !mount.source.empty()) continue;
    mount.source = TRY(random_id());
    mount.anonymous = true;
  }
  return {};
}

// Volumes that are named or anonymous; those made now are filled with what the image has in their place.
Result<> Engine::make_volumes(const ContainerConfig& config, const std::string& id, Resolved& resolved) {
  for (MountConfig& mount : resolved.mounts) {
    if (mount.type == "bind") {
      if (mount.source.empty() || mount.source.front() != '/')
        return fail("invalid mount config for type \"bind\": source path must be absolute: ", mount.source);
      if (!kernel::path_exists(mount.source.c_str()) && !mount.make_source)
        return fail("invalid mount config for type \"bind\": bind source path does not exist: ", mount.source);
      continue;
    }
    if (mount.type != "volume") continue;
    Volume wanted{
        .name = mount.source, .labels = mount.labels, .options = mount.driver_options, .anonymous = mount.anonymous};
    if (!mount.driver.empty())
      wanted.driver = mount.driver;
    else if (!config.volume_driver.empty())
      wanted.driver = config.volume_driver;
    bool fresh = false;
    const Volume volume = TRY(volumes_.create(wanted, &fresh));
    mount.source = volume.name;
    if (!fresh) continue;
    events_.append({.type = "volume",
                    .action = "create",
                    .actor = volume.name,
                    .attributes = {{"driver", volume.driver}, {"container", id}},
                    .time = Clock::system().wall()});
  }
  return {};
}

Result<> Engine::fill_volumes(const std::vector<MountConfig>& mounts, const Container& container) {
  Fd root;
  for (const MountConfig& mount : mounts) {
    if (mount.type != "volume" || mount.no_copy) continue;
    const std::string path = TRY(volumes_.mount(mount.source));
    Fd target = TRY(kernel::open(path.c_str(), O_RDONLY | O_DIRECTORY));
    if (!TRY(oci::runtime::is_empty_folder(target.get()))) continue;
    if (!root) root = TRY(open_root(container));
    auto source = kernel::open_in_root(root.get(), mount.target.c_str(), O_RDONLY | O_DIRECTORY);
    if (!source) continue;
    TRY_CTX(oci::runtime::copy_tree(source->get(), target.get()), "fill volume ", mount.source);
    struct stat info{};
    if (::fstat(source->get(), &info) == 0) {
      (void)::fchown(target.get(), info.st_uid, info.st_gid);
      (void)::fchmod(target.get(), info.st_mode & 07777);
    }
  }
  return {};
}

// Whose namespaces it joins must be there; the host name comes with the network, as in Docker.
Result<> Engine::check_joined(ContainerConfig& config) {
  for (const std::string* mode : {&config.network_mode, &config.pid_mode, &config.ipc_mode, &config.uts_mode}) {
    if (!mode->starts_with("container:")) continue;
    const std::string id = TRY(records_.resolve(std::string_view(*mode).substr(10)));
    if (mode == &config.network_mode && config.hostname.empty()) {
      const Container other = TRY(records_.load(id));
      config.hostname = other.config.hostname, config.domainname = other.config.domainname;
    }
  }
  return {};
}

Result<Created> Engine::create(ContainerConfig config, std::string name) {
  if (!name.empty()) TRY(check_container_name(name));
  TRY(join_sandbox(config));
  if (config.network_mode.empty() || config.network_mode == "default") config.network_mode = "bridge";
  if (network_kind(config.network_mode) == NetworkKind::kNamed && config.networks.empty())
    config.networks.push_back({.name = config.network_mode});
  TRY(check(config));
  TRY(networks_.check(config));
  Container container{.id = TRY(random_id()),
                      .name = std::move(name),
                      .created = format_rfc3339(Clock::system().wall(), TimePrecision::kNanoseconds),
                      .config = std::move(config),
                      .resolved = {},
                      .state = {}};
  Created out{.id = container.id, .name = {}, .warnings = {}};
  TRY(check_joined(container.config));
  for (const std::string& link : container.config.links) {
    const auto [target, alias] = TRY(parse_link(link));
    TRY_CTX(records_.resolve(target), "could not get container for ", target);
  }
  if (container.config.hostname.empty()) container.config.hostname = short_id(container.id);
  container.resolved = TRY(resolve(container.config, container.id, out.warnings));

  TRY(name_volumes(container.resolved));
  Locked locked = TRY(records_.make(container.id));
  Fd volumes_kept;
  Defer undo([&] {
    volumes_kept.reset();
    if (!container.resolved.snapshot.empty()) (void)images_.remove(container.resolved.snapshot);
    (void)remove_anonymous(container);
    (void)records_.remove(locked, container);
  });
  if (container.name.empty()) {
    // Made-up names collide now and then: the next ones carry a number.
    std::string candidate = make_name();
    for (int attempt = 0;; ++attempt) {
      auto claimed = records_.claim_name(candidate, container.id);
      if (claimed) break;
      if (claimed.error().code() != EEXIST || attempt > 64) return std::unexpected(claimed.error());
      candidate = cat(make_name(), attempt > 2 ? std::to_string(attempt) : "");
    }
    container.name = candidate;
  } else if (auto claimed = records_.claim_name(container.name, container.id); !claimed) {
    container.name.clear();
    return std::unexpected(std::move(claimed).error());
  }
  const IdRange ids = TRY(take_id_range(folders_, container.config.userns_mode, container.id));
  container.resolved.ids_first = ids.first, container.resolved.ids_size = ids.size;
  TRY(locked.save_config(container));
  if (!container.resolved.snapshot.empty()) TRY(images_.prepare(container.resolved.snapshot));
  volumes_kept = TRY(volumes_.keep());
  for (const std::string& source : container.config.volumes_from)
    TRY_CTX(records_.resolve(source.substr(0, source.find(':'))), "--volumes-from");  // still there?
  TRY(make_volumes(container.config, container.id, container.resolved));
  TRY(fill_volumes(container.resolved.mounts, container));
  // A sandbox that is removed takes those along that it sees; after that nobody joins.
  std::optional<Locked> sandbox;
  if (!container.config.sandbox.empty()) {
    sandbox.emplace(TRY_CTX(records_.lock(container.config.sandbox), "sandbox"));
    if (status_of(TRY(sandbox->load()).state) == Status::kRemoving) return fail("the sandbox is being removed");
  }
  TRY(locked.save_state(container.state));
  undo.dismiss();
  tell(container, "create");
  out.name = container.name;
  return out;
}

}  // namespace proa::engine
