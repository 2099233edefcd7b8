// restore: what checkpoint saved, running again as a container of this runtime. The order is create's;
// in place of a process of ours, criu makes the container's, as a child of ours (rst_sibling).
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <climits>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "kernel/cgroup/cgroup.h"
#include "kernel/file.h"
#include "kernel/link.h"
#include "kernel/resctrl.h"
#include "oci/runtime/criu.h"
#include "oci/runtime/foreground.h"
#include "oci/runtime/hooks.h"
#include "oci/runtime/launch.h"
#include "oci/runtime/mountpoint.h"
#include "oci/runtime/namespaces.h"
#include "oci/runtime/restore_root.h"
#include "oci/runtime/rootfs.h"
#include "oci/runtime/shield.h"
#include "oci/runtime/state.h"
#include "oci/spec/defaults.h"
#include "oci/spec/namespaces.h"

namespace proa::oci::runtime {
namespace {

using kernel::cgroup::Cgroup;

constexpr const char* kRootFolder = "criu-root";

Result<> check_options(const Bundle& bundle, const CreateOptions& options) {
  const Linux& linux_ = *bundle.spec.linux_;
  const bool terminal = bundle.spec.process && bundle.spec.process->terminal;
  if (terminal && options.detach && options.console_socket.empty())
    return fail("process.terminal: a detached container's terminal needs somebody to hold it")
        .hint("give --console-socket PATH");
  if (!terminal && !options.console_socket.empty())
    return fail("--console-socket is only for containers with process.terminal set");
  const Namespace* mounts = linux_.find(NamespaceType::kMount);
  if (mounts == nullptr || !mounts->path.empty())
    return fail("linux.namespaces: a container without a mount namespace of its own cannot be restored");
  const Namespace* cgroups = linux_.find(NamespaceType::kCgroup);
  if (cgroups != nullptr && !cgroups->path.empty())
    return fail("linux.namespaces: criu cannot restore into the cgroup namespace ", cgroups->path);
  return {};
}

class Restore {
 public:
  Restore(Launched& out, const Bundle& bundle, const CreateOptions& options, const CheckpointOptions& saved)
      : out_(out), bundle_(bundle), linux_(*out.spec.linux_), options_(options), saved_(saved) {}
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;
  ~Restore() { ::unlinkat(out_.folder.fd(), kRootFolder, AT_REMOVEDIR); }

  Result<> find_criu();
  Result<> make_cgroup();
  Result<> make_resctrl();
  Result<> compose();
  Result<> start_criu();
  Result<> perform();

 private:
  Result<> add_streams();
  Result<> add_namespaces();
  void add_mounts();
  Result<> add_cgroup_roots(pid_t pid);
  Result<> prepare_criu();
  Result<> follow(const criu::Notification& event);
  Result<> set_up_namespaces(pid_t pid);
  Result<> take_terminal(std::vector<Fd>& fds);
  Result<> record(pid_t pid);
  Result<> record_time_namespace(pid_t pid);

  Launched& out_;
  const Bundle& bundle_;
  const Linux& linux_;
  const CreateOptions& options_;
  const CheckpointOptions& saved_;
  std::string program_, root_;
  criu::Folders folders_;
  criu::Options request_;
  NamespacePlan namespaces_;
  std::vector<int> inherited_;
  std::optional<Cgroup> cgroup_;
  std::vector<Fd> cgroup_entries_;
  std::optional<kernel::ResctrlGroup> resctrl_;
  std::optional<criu::Session> session_;
};

Result<> Restore::find_criu() {
  program_ = TRY(criu::find_program(saved_.criu));
  const int version = TRY(criu::version(program_));
  constexpr int kHonoursLsm = 31600;
  if (version < kHonoursLsm && !(saved_.lsm_profile.empty() && saved_.lsm_mount_context.empty()))
    return fail("--lsm-profile and --lsm-mount-context need criu 3.16 or later");
  folders_ = TRY(criu::open_folders(saved_, false, "restore.log"));
  return {};
}

Result<> Restore::make_cgroup() {
  if (out_.state.no_cgroup) return {};
  cgroup_.emplace(TRY_CTX(Cgroup::create(cgroup_request(out_.state, linux_, out_.spec.annotations)), "cgroup"));
  out_.state.cgroup = cgroup_->location();
  if (out_.state.systemd_cgroup) return {};
  TRY(cgroup_->apply(linux_.resources.value_or(Resources{})));
  cgroup_entries_ = TRY_CTX(cgroup_->entry_files(), "cgroup");
  return {};
}

Result<> Restore::make_resctrl() {
  if (!linux_.intel_rdt) return {};
  resctrl_ = TRY(kernel::create_resctrl(*linux_.intel_rdt, out_.state.id));
  if (resctrl_->made) out_.state.resctrl_group = resctrl_->path;
  out_.state.resctrl_monitor = resctrl_->monitor;
  return {};
}

// descriptors.json says what the streams were. Pipes end at whoever held them then; ours take their place.
Result<> Restore::add_streams() {
  const std::string text = TRY_CTX(kernel::read_file_at(folders_.images.get(), "descriptors.json"), "--image-path");
  const auto names = TRY_CTX(json::parse(text), "descriptors.json");
  if (!names.is_array() || names.get_array().size() > 3) return fail("descriptors.json: not a list of three streams");
  for (size_t fd = 0; fd < names.get_array().size(); ++fd) {
    const auto* name = names.get_array()[fd].if_string();
    if (name == nullptr) return fail("descriptors.json: stream ", fd, " is not a string");
    if (name->starts_with("pipe:")) request_.inherit_fd.emplace_back(*name, static_cast<int>(fd));
  }
  return {};
}

Result<> Restore::add_namespaces() {
  namespaces_ = TRY(plan_namespaces(linux_));
  for (const NamespaceToJoin& each : namespaces_.join) {
    const std::string key = criu::external_key(each.type);
    if (key.empty()) {
      request_.join_ns.emplace_back(info(each.type).name, each.path);
      continue;
    }
    request_.inherit_fd.emplace_back(
        key, criu::kFirstDescriptor + static_cast<int>(folders_.paths.size() + inherited_.size()));
    inherited_.push_back(each.fd.get());
  }
  return {};
}

// Names that checkpoint gave to the mounts from outside, and where they come from here.
void Restore::add_mounts() {
  Fd root(::open(bundle_.rootfs.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (const Mount& mount : out_.spec.mounts) {
    const std::string destination = place_in_root(mount.destination);
    if (criu::is_bind(mount, linux_)) {
      const std::string source = absolute_source(bundle_.path, mount);
      request_.ext_mnt.emplace_back(destination, source);
      // Other runtimes name a mount by its place with links followed.
      const std::string place = criu::resolve_in_root(root.get(), destination);
      if (place.size() > bundle_.rootfs.size() && place.substr(bundle_.rootfs.size()) != destination)
        request_.ext_mnt.emplace_back(place.substr(bundle_.rootfs.size()), source);
    }
    if (!criu::binds_cgroups(mount, linux_)) continue;
    for (const auto& hierarchy : out_.state.cgroup.hierarchies)
      request_.ext_mnt.emplace_back(cat(destination, "/", cgroup_folder_name(hierarchy)), hierarchy.path);
  }
  if (!linux_.masked_paths.empty()) request_.ext_mnt.emplace_back("/dev/null", "/dev/null");
  for (const DefaultDevice& device : kDefaultDevices) request_.ext_mnt.emplace_back(device.path, device.path);
  for (const Device& device : linux_.devices) request_.ext_mnt.emplace_back(device.path, device.path);
}

Result<> Restore::compose() {
  request_ = TRY(criu::common_options(saved_, folders_, out_.spec.annotations));
  request_.evasive_devices = true;
  request_.rst_sibling = true;
  request_.lsm_profile = saved_.lsm_profile;
  request_.lsm_mount_context = saved_.lsm_mount_context;
  TRY(add_streams());
  TRY(add_namespaces());
  add_mounts();
  if (::mkdirat(out_.folder.fd(), kRootFolder, 0755) != 0)
    return fail_errno(errno, "make ", out_.folder.path(), "/", kRootFolder);
  root_ = TRY(real_path(cat(out_.folder.path(), "/", kRootFolder)));
  request_.root = root_;
  return {};
}

// In the process that becomes criu; its children start in the cgroups that it is in.
Result<> Restore::prepare_criu() {
  TRY(prepare_root_for_restore(out_.spec, bundle_.path, bundle_.rootfs, root_));
  for (const Fd& entry : cgroup_entries_) TRY_CTX(kernel::write_all(entry.get(), "0"), "enter cgroup");
  return {};
}

// /proc/PID/cgroup's lines: "4:cpu,cpuacct:/box". The saved processes go below these folders.
Result<> Restore::add_cgroup_roots(pid_t pid) {
  const std::string text = TRY(kernel::read_file(cat("/proc/", pid, "/cgroup").c_str()));
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view names = line.substr(first + 1, second - first - 1);
    for (size_t at = 0; at <= names.size();) {
      const size_t comma = std::min(names.find(',', at), names.size());
      request_.cg_root.emplace_back(names.substr(at, comma - at), line.substr(second + 1));
      at = comma + 1;
    }
  }
  return {};
}

Result<> Restore::start_criu() {
  session_.emplace(TRY(criu::Session::start({.program = program_,
                                             .folders = folders_.paths,
                                             .inherited = inherited_,
                                             .new_namespaces = CLONE_NEWNS,
                                             .prepare = [this] { return prepare_criu(); }})));
  cgroup_entries_.clear();
  if (cgroup_ && out_.state.systemd_cgroup) {
    const Resources resources = linux_.resources.value_or(Resources{});
    TRY_CTX(cgroup_->attach(session_->pid(), resources), "cgroup");
    TRY(cgroup_->apply(resources));
    out_.state.cgroup = cgroup_->location();
  }
  if (resctrl_) TRY(kernel::assign_resctrl(*resctrl_, session_->pid()));
  TRY(out_.folder.save(out_.state));
  TRY(add_cgroup_roots(session_->pid()));
  return session_->execute();
}

Result<> Restore::set_up_namespaces(pid_t pid) {
  if (namespaces_.has_new(NamespaceType::kNetwork) && !linux_.net_devices.empty()) {
    Fd netns = TRY(kernel::open(cat("/proc/", pid, "/ns/net").c_str(), O_RDONLY));
    for (const NetDevice& device : linux_.net_devices)
      TRY_CTX(kernel::move_link(device.host_name, netns.get(), device.name), "linux.netDevices.", device.host_name);
  }
  const std::string state = state_document(out_.state, Status::kCreated, pid);
  TRY(run_hooks("prestart", out_.spec.hooks.prestart, state));
  return run_hooks("createRuntime", out_.spec.hooks.create_runtime, state);
}

Result<> Restore::take_terminal(std::vector<Fd>& fds) {
  if (fds.size() != 1) return fail("no terminal came from criu");
  if (!options_.console_socket.empty()) return send_terminal(options_.console_socket, fds.front().get());
  if (options_.detach)
    return fail("the container has a terminal and nobody to hold it").hint("give --console-socket PATH");
  out_.terminal = std::move(fds.front());
  return {};
}

// criu restores clocks by a time namespace that the configuration need not have; exec must know of it.
Result<> Restore::record_time_namespace(pid_t pid) {
  if (linux_.find(NamespaceType::kTime) != nullptr) return {};
  struct stat ours{}, theirs{};
  if (::stat("/proc/self/ns/time", &ours) != 0 || ::stat(cat("/proc/", pid, "/ns/time").c_str(), &theirs) != 0)
    return {};
  if (ours.st_ino == theirs.st_ino) return {};
  try {
    auto config = boost::json::parse(bundle_.config);
    config.as_object().at("linux").as_object().at("namespaces").as_array().push_back({{"type", "time"}});
    return out_.folder.replace(out_.state, boost::json::serialize(config));
  } catch (const std::exception& error) {
    return fail("add the time namespace to the configuration: ", error.what());
  }
}

Result<> Restore::record(pid_t pid) {
  TRY(record_time_namespace(pid));
  out_.state.pid = pid;
  out_.state.start_time = TRY(kernel::process_start_time(pid));
  out_.state.started = true;
  TRY(out_.folder.save(out_.state));
  out_.child.pid = pid;
  out_.child.pidfd = TRY(kernel::pidfd_open(pid));
  if (!options_.pid_file.empty()) TRY(write_pid_file(options_.pid_file, pid));
  if (!options_.pidfd_socket.empty()) TRY(send_pidfd(options_.pidfd_socket, out_.child.pidfd.get()));
  return {};
}

Result<> Restore::follow(const criu::Notification& event) {
  if (event.script == "setup-namespaces") return set_up_namespaces(event.pid);
  if (event.script == "orphan-pts-master") return take_terminal(event.fds);
  if (event.script == "post-restore") return record(event.pid);
  return {};
}

Result<> Restore::perform() {
  const criu::Request request{
      .type = criu::RequestType::kRestore, .options = &request_, .features = {}, .notify_success = {}};
  const auto done = session_->perform(request, [this](const criu::Notification& event) { return follow(event); });
  if (!done) return std::unexpected(criu::explained(done.error(), folders_.log));
  const int status = TRY(session_->finish());
  if (status != 0)
    return std::unexpected(criu::explained(Error(cat(program_, " ended with status ", status)), folders_.log));
  if (out_.child.pid == 0) TRY(record(done->restored));
  return {};
}

Result<Launched> bring_back(const Globals& globals, const std::string& id, const CreateOptions& options,
                            const CheckpointOptions& saved) {
  Bundle bundle = TRY(read_bundle(options));
  TRY(check_options(bundle, options));
  const bool rootless = is_rootless(globals);
  if (rootless) log::warning("restore of rootless containers depends on what criu may do here");
  Launched out{
      .folder = TRY(StateFolder::create(globals, id)), .state = {}, .spec = bundle.spec, .child = {}, .terminal = {}};
  out.state = {.id = id,
               .oci_version = out.spec.oci_version,
               .bundle = bundle.path,
               .rootfs = bundle.rootfs,
               .created = format_rfc3339(Clock::system().wall()),
               .owner = ::geteuid(),
               .rootless = rootless,
               .systemd_cgroup = globals.systemd_cgroup,
               .no_cgroup = globals.no_cgroup,
               .annotations = out.spec.annotations,
               .cgroup = {}};
  Defer undo([&out] {
    const auto done = destroy(out.folder, out.state);
    if (!done) log::warning("clean up after the failure: ", done.error().message());
  });
  TRY(out.folder.begin(out.state, bundle.config));

  Restore restore(out, bundle, options, saved);
  TRY(restore.find_criu());
  TRY(restore.make_cgroup());
  TRY(restore.make_resctrl());
  TRY(restore.compose());
  TRY(restore.start_criu());
  TRY(restore.perform());
  TRY(out.folder.finish(out.spec.process && may_trace(*out.spec.process)));
  out.state.creating = false;
  undo.dismiss();
  return out;
}

}  // namespace

Result<int> restore(const Globals& globals, const std::string& id, const CreateOptions& given,
                    const CheckpointOptions& saved) {
  CreateOptions options = given;
  for (std::string* path : {&options.pid_file, &options.console_socket, &options.pidfd_socket})
    if (!path->empty()) *path = absolute_path(*path);
  if (options.detach) {
    TRY(bring_back(globals, id, options, saved));
    return 0;
  }
  Foreground foreground = TRY(Foreground::prepare(!options.no_subreaper));
  Launched restored = TRY(bring_back(globals, id, options, saved));
  restored.folder.unlock();
  auto status = foreground.wait(restored.child, std::move(restored.terminal));
  const bool there = TRY(restored.folder.lock_again());
  if (there && !options.keep) TRY(remove_container(restored.folder, restored.state));
  return status;
}

}  // namespace proa::oci::runtime
