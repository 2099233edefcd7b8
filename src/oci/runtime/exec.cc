// exec: one more process in a running container.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "base/log.h"
#include "kernel/capability.h"
#include "kernel/file.h"
#include "kernel/mount.h"
#include "kernel/seccomp.h"
#include "kernel/sys.h"
#include "kernel/tty.h"
#include "oci/runtime/foreground.h"
#include "oci/runtime/init.h"
#include "oci/runtime/intermediate.h"
#include "oci/runtime/launch.h"
#include "oci/runtime/plan.h"
#include "oci/runtime/process_plan.h"
#include "oci/runtime/shield.h"
#include "oci/runtime/state.h"
#include "oci/spec/namespaces.h"
#include "oci/spec/number_list.h"

namespace proa::oci::runtime {
namespace {

Result<> parse_user(std::string_view text, User& user) {
  const auto number = [](std::string_view part, uint32_t& out) {
    const auto [end, ec] = std::from_chars(part.data(), part.data() + part.size(), out);
    return ec == std::errc() && end == part.data() + part.size();
  };
  const size_t colon = text.find(':');
  if (!number(text.substr(0, colon), user.uid) ||
      (colon != std::string_view::npos && !number(text.substr(colon + 1), user.gid)))
    return fail("--user: expected UID[:GID] in numbers, found ", text);
  return {};
}

Result<> add_capabilities(const std::vector<std::string>& names, std::optional<Capabilities>& sets) {
  if (names.empty()) return {};
  std::vector<std::string> unknown;
  const uint64_t mask = kernel::capability_mask(names, &unknown);
  if (!unknown.empty()) return fail("--cap: unknown capability ", unknown.front());
  if (!sets) sets.emplace();
  for (uint64_t* set : {&sets->bounding, &sets->effective, &sets->permitted}) *set |= mask;
  // As for the first process: what may be inherited already may be ambient too.
  if (sets->ambient != 0) {
    sets->inheritable |= mask;
    sets->ambient |= mask;
  }
  return {};
}

Result<Process> process_from_flags(const Spec& spec, const ExecOptions& options) {
  if (!spec.process) return fail("the container has no process to take the environment from; use --process");
  if (options.args.empty())
    return fail("a command is needed").hint("`exec ID COMMAND [ARGUMENT...]`, or --process FILE");
  Process process = *spec.process;
  process.args = options.args;
  process.terminal = options.tty;
  process.console_size.reset();
  if (options.cwd) process.cwd = *options.cwd;
  process.env.insert(process.env.end(), options.env.begin(), options.env.end());
  if (options.user) TRY(parse_user(*options.user, process.user));
  for (const std::string& gid : options.additional_gids) {
    User parsed;
    TRY_CTX(parse_user(gid, parsed), "--additional-gids");
    process.user.additional_gids.push_back(parsed.uid);
  }
  TRY(add_capabilities(options.capabilities, process.capabilities));
  if (options.no_new_privileges) process.no_new_privileges = *options.no_new_privileges;
  if (!options.apparmor.empty()) process.apparmor_profile = options.apparmor;
  if (!options.selinux_label.empty()) process.selinux_label = options.selinux_label;
  return process;
}

Result<Process> read_process(const Spec& spec, const ExecOptions& options) {
  if (options.process_file.empty()) return process_from_flags(spec, options);
  const std::string text = TRY_CTX(kernel::read_file(options.process_file.c_str()), "--process");
  Process process = TRY_CTX(parse_process(text), "--process ", options.process_file);
  if (options.tty) process.terminal = true;
  return process;
}

uint64_t namespaces_of(const Linux& linux_) {
  uint64_t flags = 0;
  for (const Namespace& entry : linux_.namespaces) flags |= info(entry.type).clone_flag;
  return flags;
}

// The new process, from the intermediate one that joins the namespaces to the stage.
struct Joiner {
  const Process* process = nullptr;
  uint64_t namespaces = 0;
  Fd init;  // pidfd of the container's first process
  Fd proc;  // root of the host's procfs when there are security labels
  Fd root;  // its root, where the mount namespace is the host's
  std::vector<Fd> cgroup_entries;
  Fd unified;  // unified cgroup to be born in
  Fd stage_program;
  Sync sync;
};

Result<> set_affinity(const std::string& list) {
  if (list.empty()) return {};
  const std::vector<uint64_t> mask = TRY_CTX(parse_number_list(list, kMaxCpus), "process.execCPUAffinity");
  if (::syscall(SYS_sched_setaffinity, 0, mask.size() * sizeof mask[0], mask.data()) < 0)
    return fail_errno(errno, "process.execCPUAffinity ", list);
  return {};
}

Result<kernel::Child> join_container(Joiner& joiner) {
  if (joiner.process->exec_cpu_affinity) TRY(set_affinity(joiner.process->exec_cpu_affinity->initial));
  for (const Fd& entry : joiner.cgroup_entries) TRY_CTX(kernel::write_all(entry.get(), "0"), "enter cgroup");
  // Whoever is in the pid namespace sees us from now on: our memory and descriptors are not theirs.
  ::prctl(PR_SET_DUMPABLE, 0);
  if (joiner.namespaces != 0)
    TRY_CTX(kernel::join_namespaces(joiner.init.get(), joiner.namespaces), "join the container's namespaces");
  if (joiner.root) TRY(kernel::change_root(joiner.root.get()));
  return kernel::clone_process(CLONE_PARENT);
}

Result<> set_up_terminal(const Joiner& joiner, int root) {
  Fd devpts = TRY_CTX(kernel::open_in_root(root, "/dev/pts", O_PATH | O_DIRECTORY), "terminal");
  kernel::PtyPair pty = TRY_CTX(kernel::open_pty(devpts.get()), "terminal");
  if (joiner.process->console_size)
    TRY(kernel::set_window_size(pty.slave.get(),
                                {joiner.process->console_size->height, joiner.process->console_size->width}));
  const int master = pty.master.get();
  TRY(joiner.sync.send('T', {}, {&master, 1}));
  if (::fchown(pty.slave.get(), joiner.process->user.uid, static_cast<gid_t>(-1)) != 0 && errno != EPERM &&
      errno != EINVAL)
    return fail_errno(errno, "terminal: set owner");
  TRY(kernel::set_controlling_terminal(pty.slave.get()));
  return kernel::use_as_standard_streams(pty.slave.get());
}

Result<> live_inside(Joiner& joiner) {
  if (::setsid() < 0) return fail_errno(errno, "new session");
  if ((joiner.namespaces & CLONE_NEWUSER) != 0 && (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0))
    return fail_errno(errno, "become root in the user namespace");
  Fd root = TRY(kernel::open("/", O_PATH | O_DIRECTORY));
  if (joiner.process->terminal) TRY(set_up_terminal(joiner, root.get()));
  SetupDone done;
  done.sync = joiner.sync.fd();
  if (joiner.proc) done.proc = joiner.proc.get();
  done.cwd_as_user = TRY(enter_cwd(joiner.process->cwd));
  if (needs_home(joiner.process->env)) done.home = home_of(root.get(), joiner.process->user.uid);
  if (joiner.process->exec_cpu_affinity) TRY(set_affinity(joiner.process->exec_cpu_affinity->final));
  TRY(joiner.sync.send('M', encode(done)));
  Message message = TRY(joiner.sync.expect('p'));
  if (message.fds.size() != 1) return fail("no plan came with the order to go on");
  return std::unexpected(become_stage(joiner.stage_program, message.fds.front().get(), {joiner.sync.fd(), done.proc}));
}

[[noreturn]] void run_inside(Joiner& joiner) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  restore_signal_mask();
  const auto done = live_inside(joiner);
  if (!done) joiner.sync.send_error(done.error());
  ::_exit(1);
}

Result<kernel::Child> start_joiner(Joiner& joiner, const ContainerState& state, Sync& ours) {
  auto pair = TRY(Sync::make_pair());
  ours = std::move(pair.first);
  joiner.sync = std::move(pair.second);
  const auto start = [&] {
    return clone_through_intermediate(
        joiner.unified.get(), [&] { return join_container(joiner); },
        [&] {
          ours.close();
          run_inside(joiner);
        });
  };
  auto child = start();
  // On v2 a cgroup whose children have limits takes no processes: a container that divided its own (as
  // systemd does) is joined where its first process went.
  if (!child && child.error().code() == EBUSY && joiner.unified) {
    auto cgroup = TRY(kernel::cgroup::Cgroup::open(state.cgroup));
    joiner.unified = TRY(cgroup.unified_folder_of(state.pid));
    child = start();
  }
  joiner.sync.close();
  joiner.cgroup_entries.clear();
  return child;
}

struct Prepared {
  StateFolder folder;
  ContainerState state;
  Spec spec;
  Process process;
  Joiner joiner;
  std::optional<kernel::SeccompFilter> filter;
  std::vector<kernel::LabelWrite> labels;
};

Result<> open_cgroup(const ContainerState& state, const ExecOptions& options, Joiner& joiner) {
  if (state.cgroup.hierarchies.empty()) {
    if (!options.cgroups.empty()) return fail("--cgroup: the container has no cgroup of its own");
    return {};
  }
  auto cgroup = TRY(kernel::cgroup::Cgroup::open(state.cgroup));
  const bool below = !options.cgroups.empty();
  joiner.cgroup_entries = TRY(cgroup.entry_files(below, options.cgroups));
  if (!below) joiner.unified = TRY(cgroup.unified_folder());
  return {};
}

Result<Prepared> prepare(const Globals& globals, const std::string& id, const ExecOptions& options) {
  StateFolder folder = TRY(StateFolder::open(globals, id, false));
  auto [state, spec] = TRY(folder.load_whole());
  const Status status = TRY(current_status(folder, state));
  if (status == Status::kStopped || status == Status::kCreating)
    return fail("cannot exec in a ", status_name(status), " container");
  if (status == Status::kPaused && !options.ignore_paused)
    return fail("cannot exec in a paused container (use --ignore-paused to override)");
  if (state.traced || joins_processes(spec)) TRY(shield_program());
  Process process = TRY(read_process(spec, options));
  // From now on it may watch the next exec.
  if (may_trace(process) && !state.traced) TRY(folder.finish(true));
  Joiner joiner;
  joiner.init = TRY(kernel::pidfd_open(state.pid));
  joiner.namespaces = namespaces_of(*spec.linux_);
  if ((joiner.namespaces & CLONE_NEWNS) == 0)
    joiner.root = TRY(kernel::open(cat("/proc/", state.pid, "/root").c_str(), O_PATH | O_DIRECTORY));
  TRY(open_cgroup(state, options, joiner));
  joiner.stage_program = TRY(stage_program());
  std::optional<kernel::SeccompFilter> filter;
  if (spec.linux_->seccomp) filter = TRY_CTX(kernel::compile_seccomp(*spec.linux_->seccomp), "linux.seccomp");
  std::vector<kernel::LabelWrite> labels = TRY(exec_labels(process));
  if (!labels.empty()) joiner.proc = TRY(kernel::open("/proc", O_PATH | O_DIRECTORY));
  return Prepared{std::move(folder), std::move(state),  std::move(spec),  std::move(process),
                  std::move(joiner), std::move(filter), std::move(labels)};
}

Result<SetupDone> follow_setup(const Sync& sync, const ExecOptions& options, Fd& terminal) {
  for (;;) {
    Message message = TRY(sync.receive());
    if (message.kind == 'M') return decode_setup(message.body);
    if (message.kind == 'E') return std::unexpected(decode_error(message.body));
    if (message.kind != 'T' || message.fds.size() != 1)
      return fail("the new process was killed while it was being set up");
    if (!options.console_socket.empty()) {
      TRY(send_terminal(options.console_socket, message.fds.front().get()));
      continue;
    }
    terminal = std::move(message.fds.front());
    adopt_window_size(terminal.get());
  }
}

Result<> set_oom_score(const Process& process, pid_t pid) {
  if (!process.oom_score_adj) return {};
  auto written =
      kernel::write_file(cat("/proc/", pid, "/oom_score_adj").c_str(), std::to_string(*process.oom_score_adj));
  if (!written && written.error().code() != EACCES && written.error().code() != EPERM) return written;
  if (!written)
    log::warning("process.oomScoreAdj: ", *process.oom_score_adj,
                 " is lower than this host lets us set; left as it is");
  return {};
}

Result<> send_plan(const Prepared& prepared, const ExecOptions& options, const SetupDone& done, const Sync& sync,
                   const kernel::Child& child) {
  const int listen_fds = activation_fds();
  PlanBuilder builder;
  plan_process(builder, {.process = &prepared.process,
                         .linux_ = &*prepared.spec.linux_,
                         .seccomp = prepared.filter ? &*prepared.filter : nullptr,
                         .home = done.home,
                         .user_namespace = (prepared.joiner.namespaces & CLONE_NEWUSER) != 0,
                         .cwd_as_user = done.cwd_as_user,
                         .preserve_fds = options.preserve_fds + listen_fds,
                         .listen_fds = listen_fds,
                         .proc = done.proc,
                         .labels = prepared.labels});
  Fd sealed = TRY(builder.seal(done.sync));
  const int fd = sealed.get();
  TRY(sync.send('p', {}, {&fd, 1}));
  const kernel::Seccomp* profile = prepared.spec.linux_->seccomp ? &*prepared.spec.linux_->seccomp : nullptr;
  return await_stage(sync, child, profile, prepared.state);
}

}  // namespace

Result<int> exec(const Globals& globals, const std::string& id, const ExecOptions& given) {
  ExecOptions options = given;
  for (std::string* path : {&options.pid_file, &options.console_socket, &options.pidfd_socket})
    if (!path->empty()) *path = absolute_path(*path);
  Prepared prepared = TRY(prepare(globals, id, options));
  prepared.joiner.process = &prepared.process;
  if (prepared.process.terminal && options.detach && options.console_socket.empty())
    return fail("a detached process's terminal needs somebody to hold it").hint("give --console-socket PATH");
  Foreground foreground;
  if (!options.detach) foreground = TRY(Foreground::prepare(false));
  Sync sync;
  kernel::Child child = TRY(start_joiner(prepared.joiner, prepared.state, sync));
  Fd terminal;
  const auto started = [&]() -> Result<> {
    const SetupDone done = TRY(follow_setup(sync, options, terminal));
    TRY_CTX(set_oom_score(prepared.process, child.pid), "process.oomScoreAdj");
    if (!options.pid_file.empty()) TRY(write_pid_file(options.pid_file, child.pid));
    if (!options.pidfd_socket.empty()) TRY(send_pidfd(options.pidfd_socket, child.pidfd.get()));
    return send_plan(prepared, options, done, sync, child);
  }();
  if (!started) {
    (void)kernel::send_signal(child.pidfd.get(), SIGKILL);
    (void)kernel::wait_child(child.pid);
    return std::unexpected(started.error());
  }
  if (options.detach) return 0;
  return foreground.wait(child, std::move(terminal));
}

}  // namespace proa::oci::runtime
