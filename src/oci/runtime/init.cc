#include "oci/runtime/init.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string_view>

#include "base/text.h"
#include "kernel/file.h"
#include "kernel/link.h"
#include "kernel/lsm.h"
#include "kernel/mount.h"
#include "kernel/process.h"
#include "kernel/seccomp.h"
#include "kernel/sys.h"
#include "kernel/tty.h"
#include "kernel/unix_socket.h"
#include "oci/runtime/foreground.h"
#include "oci/runtime/hooks.h"
#include "oci/runtime/plan.h"
#include "oci/runtime/process_plan.h"

namespace proa::oci::runtime {
namespace {

constexpr kernel::CallShape kSetresuid{SYS_setresuid, "setresuid", "ddd"};
constexpr kernel::CallShape kSetresgid{SYS_setresgid, "setresgid", "ddd"};
constexpr kernel::CallShape kSetsid{SYS_setsid, "setsid", ""};
constexpr kernel::CallShape kSethostname{SYS_sethostname, "sethostname", "sd"};
constexpr kernel::CallShape kSetdomainname{SYS_setdomainname, "setdomainname", "sd"};
constexpr kernel::CallShape kKeyctl{SYS_keyctl, "keyctl", "ds"};
constexpr kernel::CallShape kChdir{SYS_chdir, "chdir", "s"};

// In a new user namespace nobody is anyone until the mappings are there and this is done.
Result<> become_root_inside() {
  TRY(kernel::check_ok(kernel::call(kSetresgid, 0, 0, 0), "become root in the user namespace"));
  return kernel::check_ok(kernel::call(kSetresuid, 0, 0, 0), "become root in the user namespace");
}

Result<> enter_namespaces(InitContext& context) {
  const Linux& linux_ = *context.spec->linux_;
  const bool user = (context.namespaces.all() & CLONE_NEWUSER) != 0;
  if (user) TRY(become_root_inside());
  TRY(join_rest(context.namespaces));
  if (context.namespaces.new_cgroup) TRY_CTX(kernel::unshare(CLONE_NEWCGROUP), "cgroup namespace");
  if (context.namespaces.new_time) TRY(enter_new_time_namespace(linux_));
  const std::string& host = context.spec->hostname;
  if (!host.empty()) TRY(kernel::check_ok(kernel::call(kSethostname, host.c_str(), host.size()), "hostname"));
  const std::string& domain = context.spec->domainname;
  if (!domain.empty()) TRY(kernel::check_ok(kernel::call(kSetdomainname, domain.c_str(), domain.size()), "domainname"));
  if ((context.namespaces.at_clone & CLONE_NEWNET) != 0) TRY_CTX(kernel::loopback_up(), "loopback device");
  return {};
}

// Here and not at the clone: it takes the kernel as long as the runtime takes for the control groups.
Result<> make_network(const InitContext& context) {
  if (!context.namespaces.new_network) return {};
  TRY_CTX(kernel::unshare(CLONE_NEWNET), "network namespace");
  TRY_CTX(kernel::loopback_up(), "loopback device");
  return {};
}

// Under SELinux the keyring must carry the container's label, or the container may not use it.
Result<> label_keyring(const InitContext& context) {
  const std::string label = context.spec->process ? context.spec->process->selinux_label : "";
  if (context.keyring.empty() || label.empty() || !kernel::selinux_enabled()) return {};
  return kernel::write_label(context.proc.get(), kernel::key_label_write(label));
}

Result<> join_keyring(const std::string& name) {
  if (name.empty()) return {};
  const long answer = kernel::call(kKeyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str());
  // Kernels without keys have nothing to keep apart; a filter around us may deny it too.
  if (answer == -ENOSYS || answer == -EPERM) return {};
  return kernel::check_ok(answer, "join session keyring ", name);
}

// The pty is of the container's own devpts, opened through descriptors only; its master goes out.
Result<> set_up_terminal(InitContext& context) {
  Fd devpts =
      TRY_CTX(kernel::open_in_root(context.rootfs.root.get(), "/dev/pts", O_PATH | O_DIRECTORY), "process.terminal");
  kernel::PtyPair pty = TRY_CTX(kernel::open_pty(devpts.get()), "process.terminal");
  if (context.spec->process->console_size) {
    const ConsoleSize& size = *context.spec->process->console_size;
    TRY_CTX(kernel::set_window_size(pty.slave.get(), {.rows = size.height, .columns = size.width}),
            "process.consoleSize");
  }
  const int master = pty.master.get();
  TRY(context.sync.send('T', {}, {&master, 1}));
  TRY(bind_console(context.rootfs, pty.slave.get()));
  // The user's program owns its terminal.
  const User& user = context.spec->process->user;
  if (::fchown(pty.slave.get(), user.uid, static_cast<gid_t>(-1)) != 0 && errno != EPERM && errno != EINVAL)
    return fail_errno(errno, "process.terminal: set owner");
  TRY(kernel::set_controlling_terminal(pty.slave.get()));
  return kernel::use_as_standard_streams(pty.slave.get());
}

// Hooks run here get the state document as the runtime sees us: our pid as the host's /proc says.
std::string hook_state(const InitContext& context) {
  return state_document(*context.state, Status::kCreated, context.pid);
}

pid_t pid_on_host() {
  char text[16] = {};
  const ssize_t length = ::readlink("/proc/self", text, sizeof text - 1);
  pid_t pid = 0;
  if (length > 0) std::from_chars(text, text + length, pid);
  return pid;
}

Result<> run_setup_hooks(InitContext& context) {
  if (context.runtime_hooks) {
    TRY(context.sync.send('H'));
    TRY(context.sync.expect('k'));
  }
  const auto& hooks = context.spec->hooks;
  if (hooks.create_container.empty() && hooks.start_container.empty()) return {};
  context.pid = pid_on_host();
  return run_hooks("createContainer", hooks.create_container, hook_state(context));
}

void decode_hierarchies(std::string_view body, kernel::cgroup::Location& location) {
  location.hierarchies.clear();
  while (!body.empty()) {
    const std::string_view controllers = cut(body, '\n');
    location.hierarchies.push_back({.controllers = std::string(controllers), .path = std::string(cut(body, '\n'))});
  }
}

Result<> enter_cgroups(InitContext& context) {
  if (!context.await_parent) return {};
  const Message made = TRY(context.sync.expect('c'));
  decode_hierarchies(made.body, context.cgroup);
  for (const Fd& entry : made.fds) TRY_CTX(kernel::write_all(entry.get(), "0"), "enter cgroup");
  return {};
}

Result<> set_up(InitContext& context) {
  RootfsContext& rootfs = context.rootfs;
  TRY(make_network(context));
  TRY(enter_cgroups(context));
  if (context.labelled) context.proc = TRY(kernel::open("/proc", O_PATH | O_DIRECTORY));
  TRY(kernel::check(kernel::call(kSetsid), "new session"));
  TRY(enter_namespaces(context));
  TRY(label_keyring(context));
  TRY(join_keyring(context.keyring));
  TRY(attach_root(rootfs));
  TRY(mount_all(rootfs));
  TRY(make_devices(rootfs));
  if (context.spec->process && context.spec->process->terminal) TRY(set_up_terminal(context));
  TRY(run_setup_hooks(context));
  TRY(mask_paths(rootfs));
  TRY(write_sysctls(rootfs));
  return enter_root(rootfs);
}

// What runc's create says of a program that is not there; without it `start` would be the first to tell.
Result<> look_up_program(const Process& process) {
  const std::string& program = process.args.front();
  const auto runnable = [](const std::string& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return errno;
    if (S_ISDIR(info.st_mode)) return EISDIR;
    return (info.st_mode & 0111) != 0 ? 0 : EACCES;
  };
  if (program.find('/') != std::string::npos) {
    if (const int code = runnable(program); code != 0) return fail_errno(code, "exec: \"", program, "\"");
    return {};
  }
  for (const std::string& path : program_candidates(process))
    if (runnable(path) == 0) return {};
  return Failure(Error(cat("exec: \"", program, "\": executable file not found in $PATH"), ENOENT));
}

Result<SetupDone> prepare_process(InitContext& context) {
  SetupDone done;
  done.sync = context.sync.fd();
  if (context.listener) done.listener = context.listener.get();
  if (!context.spec->process) return done;
  if (context.proc) done.proc = context.proc.get();
  const Process& process = *context.spec->process;
  done.cwd_as_user = TRY(enter_cwd(process.cwd));
  if (needs_home(process.env)) done.home = home_of(context.rootfs.root.get(), process.user.uid);
  // When the process runs at once its execution tells soon enough.
  if (context.listener && !done.cwd_as_user) TRY(look_up_program(process));
  return done;
}

Result<Fd> receive_plan(const Sync& sync) {
  Message message = TRY(sync.expect('p'));
  if (message.fds.size() != 1) return fail("no plan came with the order to go on");
  return std::move(message.fds.front());
}

// With startContainer hooks it is we who wait for the start, since the stage runs no programs.
Result<> await_start(InitContext& context) {
  ::prctl(PR_SET_PDEATHSIG, 0);
  TRY(context.sync.send('R'));
  TRY(context.sync.expect('k'));
  Fd starter;
  while (!starter) {
    Fd peer(::accept4(context.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char order = 0;
    if (peer && ::read(peer.get(), &order, 1) == 1 && order == 's') starter = std::move(peer);
  }
  // From now on the starter hears our reports, under the number the plan knows.
  if (::dup3(starter.get(), context.sync.fd(), O_CLOEXEC) < 0) return fail_errno(errno, "report to the starter");
  context.listener.reset();
  return {};
}

// These hooks are programs of the image: they run with what the container's process may do, no more.
Result<> run_start_hook(const InitContext& context, const kernel::SeccompFilter* filter, const Hook& hook) {
  Process process = *context.spec->process;
  process.args = hook.args.empty() ? std::vector{hook.path} : hook.args;
  process.env = hook.env;
  PlanBuilder builder;
  plan_process(builder, {.process = &process,
                         .linux_ = &*context.spec->linux_,
                         .seccomp = filter,
                         .program = hook.path,
                         .home = {},
                         .user_namespace = context.spec->linux_->find(NamespaceType::kUser) != nullptr,
                         .labels = {}});
  const Fd plan = TRY(builder.seal(-1));
  return run_hook_by_stage(hook, hook_state(context), context.stage_program.get(), plan.get());
}

// The listener is the container's process's alone: to a hook what would be asked there is not implemented.
Result<std::optional<kernel::SeccompFilter>> hook_filter(const InitContext& context) {
  const auto& profile = context.spec->linux_->seccomp;
  if (!profile) return std::nullopt;
  kernel::SeccompFilter filter = TRY_CTX(kernel::compile_seccomp(*profile), "linux.seccomp");
  filter.needs_listener = false;
  filter.flags &= ~unsigned{SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV};
  return filter;
}

Result<> run_start_hooks(InitContext& context) {
  const auto& hooks = context.spec->hooks.start_container;
  if (hooks.empty() || !context.spec->process) return {};
  if (context.listener) TRY(await_start(context));
  // What they start may look at us: we are still the host's program.
  ::prctl(PR_SET_DUMPABLE, 0);
  const auto filter = TRY(hook_filter(context));
  for (size_t i = 0; i < hooks.size(); ++i)
    TRY_CTX(run_start_hook(context, filter ? &*filter : nullptr, hooks[i]), "hooks.startContainer[", i, "]");
  return {};
}

Result<> live(InitContext& context) {
  TRY(set_up(context));
  const SetupDone done = TRY(prepare_process(context));
  TRY(context.sync.send('M', encode(done)));
  Fd plan = TRY(receive_plan(context.sync));
  TRY(run_start_hooks(context));
  const int listener = context.listener ? context.listener.get() : -1;
  return std::unexpected(become_stage(context.stage_program, plan.get(), {context.sync.fd(), listener, done.proc}));
}

}  // namespace

std::string encode_hierarchies(const kernel::cgroup::Location& location) {
  std::string out;
  for (const auto& each : location.hierarchies) out += cat(each.controllers, "\n", each.path, "\n");
  return out;
}

std::string encode(const SetupDone& done) {
  return cat(done.cwd_as_user ? 1 : 0, " ", done.sync, " ", done.listener, " ", done.proc, " ", done.home);
}

SetupDone decode_setup(std::string_view body) {
  SetupDone done;
  int as_user = 0;
  const char* at = body.data();
  const char* const end = at + body.size();
  for (int* field : {&as_user, &done.sync, &done.listener, &done.proc}) {
    at = std::from_chars(at, end, *field).ptr;
    if (at < end) ++at;
  }
  done.cwd_as_user = as_user != 0;
  done.home.assign(at, end);
  return done;
}

Result<bool> enter_cwd(const std::string& cwd) {
  const long answer = kernel::call(kChdir, cwd.c_str());
  if (answer == -EACCES) return true;
  TRY(kernel::check_ok(answer, "process.cwd ", cwd));
  // Outside the root the kernel answers "(unreachable)/...": a leaked descriptor brought us there.
  char where[4096];
  const long length = ::syscall(SYS_getcwd, where, sizeof where);
  if (length < 0 || where[0] != '/') return fail("process.cwd ", cwd, ": the working folder is outside the container");
  return false;
}

std::string home_of(int root, uint32_t uid) {
  // O_NONBLOCK: the container may have put a FIFO there.
  auto file = kernel::open_in_root(root, "/etc/passwd", O_RDONLY | O_NONBLOCK);
  if (!file) return "/";
  auto text = kernel::read_all(file->get(), 1u << 20);
  if (!text) return "/";
  for (std::string_view rest = *text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    std::array<std::string_view, 7> fields;  // name:password:uid:gid:gecos:home:shell
    for (std::string_view& field : fields) {
      const size_t colon = std::min(line.find(':'), line.size());
      field = line.substr(0, colon);
      line.remove_prefix(std::min(colon + 1, line.size()));
    }
    uint32_t number = 0;
    const auto [at, ec] = std::from_chars(fields[2].data(), fields[2].data() + fields[2].size(), number);
    if (ec == std::errc() && at == fields[2].data() + fields[2].size() && number == uid && fields[5].starts_with('/') &&
        fields[5].size() < 1024)
      return std::string(fields[5]);
  }
  return "/";
}

Error become_stage(const Fd& program, int plan, std::initializer_list<int> kept) {
  for (const int fd : kept)
    if (fd >= 0 && ::fcntl(fd, F_SETFD, 0) != 0) return Error::from_errno(errno, "keep descriptor");
  return execute_stage(program.get(), plan);
}

void run_init(InitContext& context) {
  // The runtime's end is ours too, until the plan clears it: a killed creator leaves no process.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  restore_signal_mask();
  const auto done = live(context);
  // Without a mount namespace of its own what we mounted is the host's to keep.
  const bool on_host = context.spec->linux_->find(NamespaceType::kMount) == nullptr;
  if (!done && on_host && context.rootfs.attached) (void)kernel::unmount(context.rootfs.rootfs.c_str(), MNT_DETACH);
  if (!done) context.sync.send_error(done.error());
  ::_exit(1);
}

}  // namespace proa::oci::runtime
