// checkpoint: a running container's processes saved by criu.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <charconv>
#include <climits>

#include "base/log.h"
#include "kernel/file.h"
#include "oci/runtime/criu.h"
#include "oci/runtime/launch.h"
#include "oci/runtime/mountpoint.h"
#include "oci/runtime/rootfs.h"
#include "oci/runtime/state.h"
#include "oci/spec/defaults.h"

namespace proa::oci::runtime {
namespace {

constexpr int kCgroup2Freezer = 31400;  // criu 3.14 learnt it

struct Checkpoint {
  StateFolder folder;
  ContainerState state;
  Status status = Status::kRunning;
  Spec spec;
  std::string program;
  int criu_version = 0;
  int status_fd = -1;
  criu::Folders folders;
};

Result<int> parse_status_fd(const std::string& text) {
  if (text.empty()) return -1;
  int fd = -1;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (ec != std::errc() || end != text.data() + text.size() || fd < 0)
    return fail("--status-fd: '", text, "' is not a descriptor");
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return fail_errno(errno, "--status-fd ", fd);
  if ((flags & O_ACCMODE) == O_RDONLY) return fail("--status-fd ", fd, ": not open for writing");
  return fd;
}

Result<> check_container(const Checkpoint& work) {
  if (work.status == Status::kStopped || work.status == Status::kCreated || work.status == Status::kCreating)
    return fail("container ", work.state.id, " cannot be checkpointed while it is ", status_name(work.status));
  const Namespace* mounts = work.spec.linux_->find(NamespaceType::kMount);
  if (mounts == nullptr || !mounts->path.empty())
    return fail("container ", work.state.id, " cannot be checkpointed: it has no mount namespace of its own");
  if (::geteuid() != 0 || work.state.rootless)
    log::warning("checkpoint of rootless containers depends on what criu may do here");
  return {};
}

Result<> check_parent_path(const CheckpointOptions& options, const criu::Folders& folders) {
  if (options.parent_path.empty()) return {};
  if (options.parent_path.front() == '/') return fail("--parent-path: must be relative to --image-path");
  const Fd parent = TRY_CTX(kernel::open_at(folders.images.get(), options.parent_path.c_str(), O_PATH | O_DIRECTORY),
                            "--parent-path");
  return {};
}

Result<Checkpoint> open_checkpoint(const Globals& globals, const std::string& id, const CheckpointOptions& options) {
  StateFolder folder = TRY(StateFolder::open(globals, id, true));
  Checkpoint work{.folder = std::move(folder), .state = {}, .spec = {}, .program = {}, .folders = {}};
  work.state = TRY(work.folder.load());
  work.status = TRY(current_status(work.folder, work.state));
  work.spec = TRY(work.folder.load_config());
  TRY(check_container(work));
  work.status_fd = TRY(parse_status_fd(options.status_fd));
  TRY(criu::parse_cgroup_mode(options.manage_cgroups_mode));
  work.program = TRY(criu::find_program(options.criu));
  work.criu_version = TRY(criu::version(work.program));
  if (options.pre_dump || options.lazy_pages)
    TRY(criu::require_features(work.program, {.mem_track = options.pre_dump, .lazy_pages = options.lazy_pages}));
  work.folders = TRY(criu::open_folders(options, true, "dump.log"));
  TRY(check_parent_path(options, work.folders));
  return work;
}

// The inode by which criu knows a namespace, as the container has it: the configured path may be gone.
Result<std::string> external_namespace(pid_t pid, NamespaceType type, const char* name) {
  struct stat info{};
  const std::string path = cat("/proc/", pid, "/ns/", name);
  if (::stat(path.c_str(), &info) != 0) return fail_errno(errno, path);
  return cat(name, "[", info.st_ino, "]:", criu::external_key(type));
}

Result<> add_namespaces(const Checkpoint& work, criu::Options& out) {
  const std::pair<NamespaceType, const char*> kExternal[] = {{NamespaceType::kNetwork, "net"},
                                                             {NamespaceType::kPid, "pid"}};
  for (const auto& [type, name] : kExternal) {
    const Namespace* entry = work.spec.linux_->find(type);
    if (entry != nullptr && !entry->path.empty())
      out.external.push_back(TRY(external_namespace(work.state.pid, type, name)));
  }
  return {};
}

// criu stops the processes by the freezer where it can, rather than one by one.
std::string freezer(const Checkpoint& work) {
  std::string unified;
  for (const auto& hierarchy : work.state.cgroup.hierarchies) {
    if (hierarchy.controllers == "freezer") return hierarchy.path;
    if (hierarchy.controllers.empty() && work.criu_version >= kCgroup2Freezer) unified = hierarchy.path;
  }
  return kernel::path_exists(cat(unified, "/cgroup.freeze").c_str()) ? unified : std::string();
}

// Mounts that come from the host: criu keeps their names only.
Result<> add_mounts(const Checkpoint& work, criu::Options& out) {
  const Linux& linux_ = *work.spec.linux_;
  Fd root = TRY(kernel::open(cat("/proc/", work.state.pid, "/root").c_str(), O_PATH | O_DIRECTORY));
  const auto add = [&](const std::string& path, const std::string& name) {
    const std::string place = criu::resolve_in_root(root.get(), path);
    out.ext_mnt.emplace_back(place.empty() ? name : place, name);
  };
  for (const Mount& mount : work.spec.mounts) {
    const std::string destination = place_in_root(mount.destination);
    if (criu::is_bind(mount, linux_)) add(destination, destination);
    if (!criu::binds_cgroups(mount, linux_)) continue;
    for (const auto& hierarchy : work.state.cgroup.hierarchies) {
      const std::string name = cat(destination, "/", cgroup_folder_name(hierarchy));
      add(name, name);
    }
  }
  for (const std::string& path : linux_.masked_paths) {
    bool folder = false;
    const std::string place = criu::resolve_in_root(root.get(), path, &folder);
    if (!place.empty() && !folder) out.ext_mnt.emplace_back(place, "/dev/null");
  }
  for (const DefaultDevice& device : kDefaultDevices) out.ext_mnt.emplace_back(device.path, device.path);
  for (const Device& device : linux_.devices) out.ext_mnt.emplace_back(device.path, device.path);
  return {};
}

// What the first process's standard streams are, so that restore can put its own in their place.
Result<> save_descriptors(const Checkpoint& work) {
  boost::json::array names;
  for (int fd = 0; fd < 3; ++fd) {
    char target[PATH_MAX];
    const ssize_t length = ::readlink(cat("/proc/", work.state.pid, "/fd/", fd).c_str(), target, sizeof target);
    names.emplace_back(std::string_view(target, length < 0 ? 0 : static_cast<size_t>(length)));
  }
  return kernel::replace_file(cat("/proc/self/fd/", work.folders.images.get(), "/descriptors.json"),
                              boost::json::serialize(names), 0600);
}

Result<criu::Options> dump_options(const Checkpoint& work, const CheckpointOptions& options) {
  criu::Options out = TRY(criu::common_options(options, work.folders, work.state.annotations));
  out.pid = work.state.pid;
  out.root = work.state.rootfs;
  out.leave_running = options.leave_running;
  out.tcp_skip_in_flight = options.tcp_skip_in_flight;
  out.link_remap = options.link_remap;
  out.parent_img = options.parent_path;
  out.track_mem = options.pre_dump || !options.parent_path.empty();
  out.freeze_cgroup = freezer(work);
  TRY(add_namespaces(work, out));
  constexpr int kTellsStatusReady = 31500;
  if (work.criu_version < kTellsStatusReady && work.status_fd >= 0)
    out.status_fd = criu::kFirstDescriptor + static_cast<int>(work.folders.paths.size());
  if (options.pre_dump) return out;
  TRY(add_mounts(work, out));
  TRY(save_descriptors(work));
  return out;
}

Result<> run_criu(const Checkpoint& work, const criu::Options& options, bool pre_dump) {
  const std::vector<int> inherited = options.status_fd < 0 ? std::vector<int>{} : std::vector{work.status_fd};
  criu::Session session = TRY(criu::Session::start(
      {.program = work.program, .folders = work.folders.paths, .inherited = inherited, .prepare = {}}));
  TRY(session.execute());
  const criu::Request request{.type = pre_dump ? criu::RequestType::kPreDump : criu::RequestType::kDump,
                              .options = &options,
                              .features = {},
                              .notify_success = {}};
  const auto done = session.perform(request, [&](const criu::Notification& event) -> Result<> {
    // Lazy pages can be fetched from now on.
    if (event.script == "status-ready" && work.status_fd >= 0 && ::write(work.status_fd, "", 1) != 1)
      log::warning("--status-fd: ", errno_text(errno));
    return {};
  });
  if (!done) return std::unexpected(criu::explained(done.error(), work.folders.log));
  const int status = TRY(session.finish());
  // After a pre-dump criu would take more of them, and calls our leaving a failure.
  if (status != 0 && !pre_dump)
    return std::unexpected(criu::explained(Error(cat(work.program, " ended with status ", status)), work.folders.log));
  return {};
}

}  // namespace

Result<> checkpoint(const Globals& globals, const std::string& id, const CheckpointOptions& options) {
  Checkpoint work = TRY(open_checkpoint(globals, id, options));
  const criu::Options request = TRY(dump_options(work, options));
  TRY(run_criu(work, request, options.pre_dump));
  if (options.leave_running || options.pre_dump) return {};
  return remove_container(work.folder, work.state);
}

}  // namespace proa::oci::runtime
