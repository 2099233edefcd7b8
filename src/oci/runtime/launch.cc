#include "oci/runtime/launch.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "base/clock.h"
#include "base/log.h"
#include "kernel/cgroup/cgroup.h"
#include "kernel/file.h"
#include "kernel/link.h"
#include "kernel/lsm.h"
#include "kernel/resctrl.h"
#include "kernel/seccomp.h"
#include "kernel/unix_socket.h"
#include "oci/runtime/foreground.h"
#include "oci/runtime/hooks.h"
#include "oci/runtime/idmap.h"
#include "oci/runtime/init.h"
#include "oci/runtime/intermediate.h"
#include "oci/runtime/plan.h"
#include "oci/runtime/process_plan.h"
#include "oci/runtime/shield.h"

namespace proa::oci::runtime {

Result<std::string> real_path(const std::string& path) {
  char buffer[PATH_MAX];
  if (::realpath(path.c_str(), buffer) == nullptr) return fail_errno(errno, path);
  return std::string(buffer);
}

Result<Bundle> read_bundle(const CreateOptions& options) {
  Bundle bundle;
  bundle.path = TRY_CTX(real_path(options.bundle), "bundle");
  const std::string config = options.config.empty() ? bundle.path + "/config.json" : absolute_path(options.config);
  auto text = kernel::read_file(config.c_str());
  if (!text && text.error().code() == ENOENT)
    return fail_errno(ENOENT, "JSON specification file ", config, " not found")
        .hint("write one with `proa runtime spec`, or name the bundle with --bundle");
  if (!text) return std::unexpected(std::move(text).error());
  bundle.config = *std::move(text);
  bundle.spec = TRY_CTX(parse_spec(bundle.config), config);
  if (!bundle.spec.linux_) bundle.spec.linux_.emplace();
  const std::string& root = bundle.spec.root->path;
  bundle.rootfs = TRY_CTX(real_path(root.starts_with('/') ? root : cat(bundle.path, "/", root)), "root.path");
  struct stat info{};
  if (::stat(bundle.rootfs.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return fail("root.path: ", bundle.rootfs, " is not a folder");
  return bundle;
}

bool is_rootless(const Globals& globals) {
  return globals.rootless == Rootless::kYes || (globals.rootless == Rootless::kAuto && ::geteuid() != 0);
}

namespace {

using kernel::cgroup::Cgroup;

Result<> check_options(const Bundle& bundle, const CreateOptions& options, bool rootless, bool foreground) {
  const bool terminal = bundle.spec.process && bundle.spec.process->terminal;
  if (rootless && bundle.spec.linux_->find(NamespaceType::kUser) == nullptr)
    return fail("linux.namespaces: a rootless container needs a user namespace")
        .hint("`proa runtime spec --rootless` writes one");
  if (terminal && options.console_socket.empty() && !foreground)
    return fail("process.terminal: a detached container's terminal needs somebody to hold it")
        .hint("give --console-socket PATH");
  if (!terminal && !options.console_socket.empty())
    return fail("--console-socket is only for containers with process.terminal set");
  for (int fd = 3; fd < 3 + options.preserve_fds; ++fd)
    if (::fcntl(fd, F_GETFD) < 0)
      return fail("--preserve-fds ", options.preserve_fds, ": descriptor ", fd, " is not open");
  return {};
}

// Everything made so far, taken away again unless the launch succeeds.
class Undo {
 public:
  explicit Undo(StateFolder& folder, ContainerState& state) : folder_(folder), state_(state) {}
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo() {
    if (!armed_) return;
    if (child != nullptr && child->pid > 0) {
      (void)kernel::send_signal(child->pidfd.get(), SIGKILL);
      (void)kernel::wait_child(child->pid);
    }
    state_.pid = 0;
    state_.creating = false;  // what the state does not say was not made
    const auto done = destroy(folder_, state_);
    if (!done) log::warning("clean up after the failure: ", done.error().message());
  }
  void dismiss() { armed_ = false; }
  kernel::Child* child = nullptr;

 private:
  StateFolder& folder_;
  ContainerState& state_;
  bool armed_ = true;
};

// One launch's work in progress. The public steps are launch()'s list.
class Launch {
 public:
  Launch(Launched& out, Bundle& bundle, const CreateOptions& options, bool wait)
      : out_(out), bundle_(bundle), spec_(out.spec), options_(options), wait_(wait) {}

  Result<> make_cgroup();
  Result<> make_resctrl();
  Result<> prepare_init();
  Result<> clone();
  Result<> finish_namespaces();
  Result<> prepare_process();
  Result<> follow_setup();
  Result<> record();
  Result<> send_plan();
  Result<> finish();

 private:
  [[noreturn]] void become_init();
  Result<> run_runtime_hooks();
  Result<> take_terminal(Message& message);
  Result<> move_net_devices();
  Result<> finish_cgroup();
  Result<> delegate_cgroup();
  bool joins_or_makes(NamespaceType type) const { return spec_.linux_->find(type) != nullptr; }
  const kernel::Seccomp* profile() const { return spec_.linux_->seccomp ? &*spec_.linux_->seccomp : nullptr; }

  Launched& out_;
  Bundle& bundle_;
  Spec& spec_;
  const CreateOptions& options_;
  bool wait_;
  std::optional<Cgroup> cgroup_;
  std::optional<kernel::ResctrlGroup> resctrl_;
  Fd unified_;                      // folder of its unified part, to be born in
  std::vector<Fd> cgroup_entries_;  // files of the others, to enter by
  InitContext init_;
  Sync sync_;
  std::optional<kernel::SeccompFilter> filter_;
  std::vector<kernel::LabelWrite> labels_;
  SetupDone done_;
};

Result<> Launch::make_cgroup() {
  if (spec_.linux_->resources)
    for (const std::string& note : kernel::cgroup::ignored_fields(*spec_.linux_->resources)) log::warning(note);
  if (out_.state.no_cgroup) return {};
  cgroup_.emplace(TRY_CTX(Cgroup::begin(cgroup_request(out_.state, *spec_.linux_, spec_.annotations)), "cgroup"));
  out_.state.cgroup = cgroup_->location();
  unified_ = TRY_CTX(cgroup_->unified_folder(), "cgroup");
  return {};
}

// While the child makes its network. A systemd scope can only be made around a process.
Result<> Launch::finish_cgroup() {
  if (!cgroup_) return {};
  const Resources resources = spec_.linux_->resources.value_or(Resources{});
  auto made = out_.state.systemd_cgroup ? cgroup_->attach(out_.child.pid, resources) : cgroup_->complete();
  out_.state.cgroup = cgroup_->location();
  TRY_CTX(made, "cgroup");
  TRY(cgroup_->apply(resources));
  if (!out_.state.systemd_cgroup) cgroup_entries_ = TRY_CTX(cgroup_->entry_files(false), "cgroup");
  return {};
}

// linux.intelRdt. The groups' names are kept at once: what is made must be found by whoever cleans up.
Result<> Launch::make_resctrl() {
  if (!spec_.linux_->intel_rdt) return {};
  resctrl_ = TRY(kernel::create_resctrl(*spec_.linux_->intel_rdt, out_.state.id));
  if (resctrl_->made) out_.state.resctrl_group = resctrl_->path;
  out_.state.resctrl_monitor = resctrl_->monitor;
  return out_.folder.save(out_.state);
}

Result<> Launch::prepare_init() {
  init_.spec = &spec_;
  init_.state = &out_.state;
  init_.namespaces = TRY(plan_namespaces(*spec_.linux_));
  if (spec_.process) labels_ = TRY(exec_labels(*spec_.process));
  init_.labelled = !labels_.empty();
  init_.stage_program = TRY(stage_program());
  init_.await_parent = init_.namespaces.has_new(NamespaceType::kUser) || !out_.state.no_cgroup;
  init_.runtime_hooks = !spec_.hooks.prestart.empty() || !spec_.hooks.create_runtime.empty();
  if (!options_.no_new_keyring) init_.keyring = cat("_ses.", out_.state.id);
  if (wait_) init_.listener = TRY(out_.folder.listen());
  RootfsContext& rootfs = init_.rootfs;
  rootfs.spec = &spec_;
  rootfs.rootfs = bundle_.rootfs;
  rootfs.cgroup = out_.state.no_cgroup ? nullptr : &init_.cgroup;
  rootfs.user_namespace = joins_or_makes(NamespaceType::kUser);
  rootfs.no_pivot = options_.no_pivot;
  Fd mapping;
  int map_fd = -1;
  // "idmap" with no mappings of its own means the container's.
  for (const Mount& mount : spec_.mounts) {
    bool idmap = false;
    for (const std::string& option : mount.options) idmap |= option == "idmap" || option == "ridmap";
    if (!idmap || !mount.uid_mappings.empty() || map_fd >= 0 || !rootfs.user_namespace) continue;
    const auto& joined = init_.namespaces.join;
    if (!joined.empty() && joined.front().type == NamespaceType::kUser) {
      map_fd = joined.front().fd.get();
      continue;
    }
    mapping =
        TRY_CTX(make_mapping_namespace(spec_.linux_->uid_mappings, spec_.linux_->gid_mappings), "linux.uidMappings");
    map_fd = mapping.get();
  }
  return prepare_mounts(rootfs, map_fd);
}

// In the child. What it inherits of ours it must not hold on to: the lock, above all.
void Launch::become_init() {
  sync_.close();
  out_.folder.leave();
  run_init(init_);
}

Result<> Launch::clone() {
  auto [ours, theirs] = TRY(Sync::make_pair());
  sync_ = std::move(ours);
  init_.sync = std::move(theirs);
  if (init_.namespaces.intermediate) {
    const auto join = [&]() -> Result<kernel::Child> {
      TRY(join_first(init_.namespaces));
      return kernel::clone_process(init_.namespaces.at_clone | CLONE_PARENT);
    };
    out_.child = TRY(clone_through_intermediate(unified_.get(), join, [&] { become_init(); }));
  } else {
    out_.child = TRY(kernel::clone_process(init_.namespaces.at_clone, unified_.get()));
    if (out_.child.pid == 0) become_init();
  }
  init_.sync.close();
  init_.listener.reset();
  return {};
}

Result<> Launch::finish_namespaces() {
  TRY(finish_cgroup());
  if (init_.namespaces.has_new(NamespaceType::kUser)) TRY(write_mappings(out_.child.pid, *spec_.linux_));
  TRY(delegate_cgroup());
  if (resctrl_) TRY(kernel::assign_resctrl(*resctrl_, out_.child.pid));
  if (!init_.await_parent) return {};
  std::vector<int> entries;
  entries.reserve(cgroup_entries_.size());
  for (const Fd& entry : cgroup_entries_) entries.push_back(entry.get());
  TRY(sync_.send('c', encode_hierarchies(out_.state.cgroup), entries));
  cgroup_entries_.clear();
  return {};
}

// config-linux.md, "Cgroup ownership": the container's root owns its cgroup when it has a user namespace,
// a cgroup namespace, and a writable view.
Result<> Launch::delegate_cgroup() {
  if (!cgroup_ || !init_.namespaces.has_new(NamespaceType::kUser) || !joins_or_makes(NamespaceType::kCgroup)) return {};
  bool writable = false;
  for (const PreparedMount& each : init_.rootfs.mounts)
    writable |=
        (each.mount->type == "cgroup" || each.mount->type == "cgroup2") && (each.options.flags & MS_RDONLY) == 0;
  if (!writable) return {};
  for (const IdMapping& each : spec_.linux_->uid_mappings)
    if (each.container_id == 0) return cgroup_->delegate(each.host_id);
  return {};
}

Result<> Launch::move_net_devices() {
  if (spec_.linux_->net_devices.empty()) return {};
  Fd netns = TRY(kernel::open(cat("/proc/", out_.child.pid, "/ns/net").c_str(), O_RDONLY));
  for (const NetDevice& device : spec_.linux_->net_devices)
    TRY_CTX(kernel::move_link(device.host_name, netns.get(), device.name), "linux.netDevices.", device.host_name);
  return {};
}

// What the runtime does while the child makes its mounts.
Result<> Launch::prepare_process() {
  if (profile() != nullptr) {
    std::vector<std::string> skipped;
    filter_ = TRY_CTX(kernel::compile_seccomp(*profile(), &skipped), "linux.seccomp");
    for (const std::string& name : skipped)
      log::debug("linux.seccomp: system call ", name, " is not known here, skipped");
  }
  TRY(move_net_devices());
  if (spec_.process && spec_.process->oom_score_adj) {
    const int wanted = *spec_.process->oom_score_adj;
    auto written = kernel::write_file(cat("/proc/", out_.child.pid, "/oom_score_adj").c_str(), std::to_string(wanted));
    if (!written && written.error().code() != EACCES && written.error().code() != EPERM)
      return std::unexpected(std::move(written).error().with_context("process.oomScoreAdj"));
    if (!written) log::warning("process.oomScoreAdj: ", wanted, " is lower than this host lets us set; left as it is");
  }
  return {};
}

Result<> Launch::run_runtime_hooks() {
  // runtime-spec "State": `created` is what follows step 2 of the lifecycle; these hooks are steps 3 and 4.
  const std::string state = state_document(out_.state, Status::kCreated, out_.child.pid);
  TRY(run_hooks("prestart", spec_.hooks.prestart, state));
  TRY(run_hooks("createRuntime", spec_.hooks.create_runtime, state));
  return sync_.send('k');
}

Result<> Launch::take_terminal(Message& message) {
  if (message.fds.size() != 1) return fail("process.terminal: no terminal came from the container");
  if (options_.console_socket.empty()) {
    out_.terminal = std::move(message.fds.front());
    adopt_window_size(out_.terminal.get());
    return {};
  }
  TRY(send_terminal(options_.console_socket, message.fds.front().get()));
  return {};
}

Result<> Launch::follow_setup() {
  for (;;) {
    Message message = TRY(sync_.receive());
    switch (message.kind) {
      case 'T': TRY(take_terminal(message)); break;
      case 'H': TRY(run_runtime_hooks()); break;
      case 'M': done_ = decode_setup(message.body); return {};
      case 'E': return std::unexpected(decode_error(message.body));
      case 0: return fail("the container's process was killed while it was being set up");
      default: return fail("unexpected message from the container's process");
    }
  }
}

Result<> Launch::record() {
  out_.state.pid = out_.child.pid;
  out_.state.start_time = TRY(kernel::process_start_time(out_.child.pid));
  out_.state.started = !wait_;
  TRY(out_.folder.save(out_.state));
  if (!options_.pid_file.empty()) TRY(write_pid_file(options_.pid_file, out_.child.pid));
  if (!options_.pidfd_socket.empty()) TRY(send_pidfd(options_.pidfd_socket, out_.child.pidfd.get()));
  return {};
}

Result<> Launch::send_plan() {
  // startContainer hooks are run by the child, which then does the waiting itself.
  const bool stage_waits = wait_ && (spec_.hooks.start_container.empty() || !spec_.process);
  const int listen_fds = activation_fds();
  ProcessPlan plan{.process = spec_.process ? &*spec_.process : nullptr,
                   .linux_ = &*spec_.linux_,
                   .seccomp = filter_ ? &*filter_ : nullptr,
                   .home = done_.home,
                   .user_namespace = joins_or_makes(NamespaceType::kUser),
                   .cwd_as_user = done_.cwd_as_user,
                   .preserve_fds = options_.preserve_fds + listen_fds,
                   .listen_fds = listen_fds,
                   .listener = stage_waits ? done_.listener : -1,
                   .proc = done_.proc,
                   .labels = labels_};
  PlanBuilder builder;
  plan_process(builder, plan);
  Fd sealed = TRY(builder.seal(done_.sync));
  const int fd = sealed.get();
  TRY(sync_.send('p', {}, {&fd, 1}));
  return await_stage(sync_, out_.child, profile(), out_.state);
}

// Until here our death is the container's; from here on it is complete without us.
Result<> Launch::finish() {
  TRY(out_.folder.finish(spec_.process && may_trace(*spec_.process)));
  out_.state.creating = false;
  return wait_ ? sync_.send('k') : Result<>{};
}

}  // namespace

Result<Launched> launch(const Globals& globals, const std::string& id, const CreateOptions& given,
                        bool wait_for_start) {
  CreateOptions options = given;
  for (std::string* path : {&options.pid_file, &options.console_socket, &options.pidfd_socket})
    if (!path->empty()) *path = absolute_path(*path);
  Bundle bundle = TRY(read_bundle(options));
  if (joins_processes(bundle.spec)) TRY(shield_program());
  const bool rootless = is_rootless(globals);
  TRY(check_options(bundle, options, rootless, !wait_for_start && !options.detach));
  // Relative paths in the configuration are relative to the bundle.
  if (::chdir(bundle.path.c_str()) != 0) return fail_errno(errno, "enter bundle ", bundle.path);

  Launched out{.folder = TRY(StateFolder::create(globals, id)),
               .state = {},
               .spec = std::move(bundle.spec),
               .child = {},
               .terminal = {}};
  out.state = {.id = id,
               .oci_version = out.spec.oci_version,
               .bundle = bundle.path,
               .rootfs = bundle.rootfs,
               .created = format_rfc3339(Clock::system().wall()),
               .owner = ::geteuid(),
               .rootless = rootless,
               .no_new_keyring = options.no_new_keyring,
               .systemd_cgroup = globals.systemd_cgroup,
               .no_cgroup = globals.no_cgroup,
               .annotations = out.spec.annotations};
  if (out.spec.linux_->find(NamespaceType::kMount) == nullptr) out.state.host_mount = TRY(mount_id(out.state.rootfs));
  Undo undo(out.folder, out.state);
  TRY(out.folder.begin(out.state, bundle.config));

  Launch launch(out, bundle, options, wait_for_start);
  TRY(launch.make_cgroup());
  TRY(launch.make_resctrl());
  TRY(launch.prepare_init());
  undo.child = &out.child;
  TRY(launch.clone());
  TRY(launch.finish_namespaces());
  TRY(launch.prepare_process());
  TRY(launch.follow_setup());
  TRY(launch.record());
  TRY(launch.send_plan());
  TRY(launch.finish());
  undo.dismiss();
  return out;
}

Result<> await_stage(const Sync& sync, const kernel::Child& child, const kernel::Seccomp* profile,
                     const ContainerState& state) {
  for (;;) {
    Message message = TRY(sync.receive());
    switch (message.kind) {
      case 0:  // executed: the socket closed on exec
      case 'R': return {};
      case 'E': return std::unexpected(decode_error(message.body));
      case 'S': return std::unexpected(decode_report(message.body));
      case 'N': {
        if (profile == nullptr || message.body.size() < 7) return fail("linux.seccomp: unexpected listener");
        int32_t remote = -1;
        std::memcpy(&remote, message.body.data() + 3, sizeof remote);
        TRY_CTX(hand_over_listener(child, remote, *profile, state), "linux.seccomp.listenerPath");
        TRY(sync.send('k'));
        break;
      }
      default: return fail("unexpected message from the container's process");
    }
  }
}

Result<> hand_over_listener(const kernel::Child& child, int remote_fd, const kernel::Seccomp& profile,
                            const ContainerState& state) {
  const long copied = ::syscall(SYS_pidfd_getfd, child.pidfd.get(), remote_fd, 0);
  if (copied < 0) return fail_errno(errno, "fetch the listener");
  Fd listener(static_cast<int>(copied));
  boost::json::object document{{"ociVersion", state.oci_version},
                               {"fds", boost::json::array{"seccompFd"}},
                               {"pid", child.pid},
                               {"metadata", profile.listener_metadata}};
  document.emplace("state", boost::json::parse(state_document(state, Status::kCreating, child.pid)));
  Fd socket = TRY(kernel::connect_unix(profile.listener_path));
  const int fd = listener.get();
  return kernel::send_fds(socket.get(), {&fd, 1}, boost::json::serialize(document));
}

Result<std::vector<kernel::LabelWrite>> exec_labels(const Process& process) {
  if (process.apparmor_profile.empty() && process.selinux_label.empty()) return std::vector<kernel::LabelWrite>{};
  Fd proc = TRY(kernel::open("/proc", O_PATH | O_DIRECTORY));
  return kernel::exec_label_writes(process.apparmor_profile, process.selinux_label, proc.get());
}

std::string absolute_path(const std::string& path) {
  if (path.starts_with('/')) return path;
  char buffer[PATH_MAX];
  return ::getcwd(buffer, sizeof buffer) == nullptr ? path : cat(buffer, "/", path);
}

Result<> write_pid_file(const std::string& path, pid_t pid) {
  TRY_CTX(kernel::replace_file(path, std::to_string(pid), 0644), "--pid-file");
  return {};
}

Result<> send_terminal(const std::string& console_socket, int master) {
  Fd socket = TRY_CTX(kernel::connect_unix(console_socket), "--console-socket");
  TRY_CTX(kernel::send_fd(socket.get(), master, "/dev/ptmx"), "--console-socket");
  return {};
}

Result<> send_pidfd(const std::string& pidfd_socket, int pidfd) {
  Fd socket = TRY_CTX(kernel::connect_unix(pidfd_socket), "--pidfd-socket");
  TRY_CTX(kernel::send_fd(socket.get(), pidfd, "pidfd"), "--pidfd-socket");
  return {};
}

int activation_fds() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || std::strtol(pid, nullptr, 10) != ::getpid()) return 0;
  const long number = std::strtol(count, nullptr, 10);
  return number > 0 && number < 1024 ? static_cast<int>(number) : 0;
}

}  // namespace proa::oci::runtime
