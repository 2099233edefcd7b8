#include "kernel/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/text.h"
#include "kernel/file.h"
#include "kernel/sys.h"

namespace proa::kernel {
namespace {

constexpr CallShape kClone3{SYS_clone3, "clone3", "pd"};
constexpr CallShape kUnshare{SYS_unshare, "unshare", "x"};
constexpr CallShape kSetns{SYS_setns, "setns", "dx"};
constexpr CallShape kPidfdOpen{SYS_pidfd_open, "pidfd_open", "dd"};
constexpr CallShape kPidfdSendSignal{SYS_pidfd_send_signal, "pidfd_send_signal", "ddpd"};
constexpr CallShape kWait4{SYS_wait4, "wait4", "dpdp"};

int64_t now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int shell_status(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

}  // namespace

Result<Child> clone_process(uint64_t flags, int cgroup) {
  int pidfd = -1;
  clone_args args{};
  args.flags = flags | CLONE_PIDFD | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0);
  if (cgroup >= 0) args.cgroup = static_cast<uint64_t>(cgroup);
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  // With CLONE_PARENT the exit signal is the caller's own (clone(2)).
  args.exit_signal = (flags & CLONE_PARENT) != 0 ? 0 : SIGCHLD;
  const long pid = TRY(check(call(kClone3, &args, sizeof args), "clone process"));
  Child child;
  child.pid = static_cast<pid_t>(pid);
  if (pid > 0) child.pidfd = Fd(pidfd);
  return child;
}

Result<> unshare(uint64_t flags) { return check_ok(call(kUnshare, flags), "unshare"); }
Result<> join_namespaces(int fd, uint64_t flags) { return check_ok(call(kSetns, fd, flags), "join namespace"); }

Result<Fd> pidfd_open(pid_t pid) { return check_fd(call(kPidfdOpen, pid, 0), "open process ", pid); }

Result<> send_signal(int pidfd, int signal) {
  return check_ok(call(kPidfdSendSignal, pidfd, signal, nullptr, 0), "send signal ", signal);
}

Result<bool> wait_gone(int pidfd, int timeout_ms) {
  const int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
  for (;;) {
    pollfd waiting{.fd = pidfd, .events = POLLIN, .revents = 0};
    const int left = deadline < 0 ? -1 : static_cast<int>(std::max<int64_t>(0, deadline - now_ms()));
    const int ready = ::poll(&waiting, 1, left);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return fail_errno(errno, "wait for process");
  }
}

Result<int> wait_child(pid_t pid) {
  int status = 0;
  long answer = -EINTR;
  while (answer == -EINTR) answer = call(kWait4, pid, &status, 0, nullptr);
  TRY(check_ok(answer, "wait for process ", pid));
  return shell_status(status);
}

Result<uint64_t> process_start_time(pid_t pid) {
  auto text = read_file(cat("/proc/", pid, "/stat").c_str(), 4096);
  if (!text) return fail_errno(text.error().code() == ENOENT ? ESRCH : text.error().code(), "process ", pid);
  // The second field, the command in parentheses, may hold anything: count from its last ")".
  size_t at = text->rfind(')');
  if (at == std::string::npos || at + 2 >= text->size()) return fail("process ", pid, ": unreadable stat");
  const char state = (*text)[at + 2];
  if (state == 'Z' || state == 'X') return fail_errno(ESRCH, "process ", pid);
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = text->find(' ', at + 1);
  uint64_t ticks = 0;
  if (at == std::string::npos ||
      std::from_chars(text->data() + at + 1, text->data() + text->size(), ticks).ec != std::errc())
    return fail("process ", pid, ": unreadable stat");
  return ticks;
}

namespace {

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

struct SpawnPlan {
  const char* path;
  const char* cwd;
  char** argv;
  char** env;
  int in, out;
  int program_fd, kept_fd;
  volatile int failure;
};

// Runs in a child that shares our memory until it executes (CLONE_VM | CLONE_VFORK): only system calls.
int spawned(void* argument) {
  auto* plan = static_cast<SpawnPlan*>(argument);
  sigset_t none;
  sigemptyset(&none);
  for (int signal = 1; signal < 32; ++signal) ::signal(signal, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::dup2(plan->in, 0) >= 0 && ::dup2(plan->out, 1) >= 0 && ::dup2(plan->out, 2) >= 0 &&
      ::syscall(SYS_close_range, 3u, ~0u, static_cast<unsigned>(CLOSE_RANGE_CLOEXEC)) == 0 &&
      (plan->kept_fd < 0 || ::fcntl(plan->kept_fd, F_SETFD, 0) == 0) &&
      (plan->cwd == nullptr || ::chdir(plan->cwd) == 0)) {
    if (plan->program_fd >= 0) ::syscall(SYS_execveat, plan->program_fd, "", plan->argv, plan->env, AT_EMPTY_PATH);
    if (plan->program_fd < 0) ::execve(plan->path, plan->argv, plan->env);
  }
  plan->failure = errno;
  ::_exit(127);
}

struct Pipe {
  Fd read, write;
};
Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno(errno, "make pipe");
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

// Feeds input and keeps output until the pipe closes or the process is gone; true on timeout.
bool converse(const Command& command, int pidfd, Fd input, const Fd& output, std::string& kept) {
  std::string_view left = command.input;
  const int64_t deadline = command.timeout_ms ? now_ms() + *command.timeout_ms : -1;
  ::fcntl(input.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(output.get(), F_SETFL, O_NONBLOCK);
  if (left.empty()) input.reset();
  bool gone = false;
  char buffer[4096];
  for (;;) {
    pollfd fds[3] = {{output.get(), POLLIN, 0}, {gone ? -1 : pidfd, POLLIN, 0}, {input ? input.get() : -1, POLLOUT, 0}};
    const int wait = gone ? 0 : deadline < 0 ? -1 : static_cast<int>(std::max<int64_t>(0, deadline - now_ms()));
    const int ready = ::poll(fds, 3, wait);
    if (ready < 0 && errno == EINTR) continue;
    // A descendant may hold the pipe open for ever: once the process itself is gone, take what is there.
    if (ready <= 0) return !gone;
    if (fds[2].revents != 0) {
      const ssize_t wrote = ::write(input.get(), left.data(), left.size());
      if (wrote > 0) left.remove_prefix(static_cast<size_t>(wrote));
      if (left.empty() || (wrote < 0 && errno != EAGAIN && errno != EINTR)) input.reset();
    }
    if (fds[0].revents != 0) {
      const ssize_t got = ::read(output.get(), buffer, sizeof buffer);
      if (got > 0)
        kept.append(buffer, std::min(static_cast<size_t>(got),
                                     command.output_limit - std::min(kept.size(), command.output_limit)));
      else if (got == 0 && gone)
        return false;
      else if (got == 0 && !gone) {
        const int rest = deadline < 0 ? -1 : static_cast<int>(std::max<int64_t>(0, deadline - now_ms()));
        const auto done = wait_gone(pidfd, rest);
        return done && !*done;
      }
    }
    if (fds[1].revents != 0) gone = true;
  }
}

}  // namespace

std::optional<std::string> find_program(std::string_view name) {
  const char* path = ::getenv("PATH");
  const std::string folders = cat(path == nullptr ? "" : path, ":/usr/local/sbin:/usr/sbin:/sbin");
  for (const std::string_view folder : split(folders, ':'))
    if (std::string file = cat(folder, "/", name); folder.front() == '/' && ::access(file.c_str(), X_OK) == 0)
      return file;
  return std::nullopt;
}

std::vector<std::string> own_environment() {
  std::vector<std::string> out;
  for (char** each = environ; each != nullptr && *each != nullptr; ++each) out.emplace_back(*each);
  return out;
}

Result<CommandResult> run_command(const Command& command) {
  Pipe in = TRY(make_pipe());
  Pipe out = TRY(make_pipe());
  std::vector<char*> argv = pointers(command.argv), env = pointers(command.env);
  SpawnPlan plan{.path = command.path.c_str(),
                 .cwd = command.cwd.empty() ? nullptr : command.cwd.c_str(),
                 .argv = argv.data(),
                 .env = env.data(),
                 .in = in.read.get(),
                 .out = out.write.get(),
                 .program_fd = command.program_fd,
                 .kept_fd = command.kept_fd,
                 .failure = 0};
  alignas(16) char stack[16 * 1024];
  int pidfd_number = -1;
  const pid_t pid =
      ::clone(spawned, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &pidfd_number);
  if (pid < 0) return fail_errno(errno, "start ", command.path);
  Fd pidfd(pidfd_number);
  in.read.reset();
  out.write.reset();
  CommandResult result;
  if (plan.failure == 0) {
    // A program that does not read its stdin must not kill us.
    struct sigaction ignore{}, previous{};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignore, &previous);
    result.timed_out = converse(command, pidfd.get(), std::move(in.write), out.read, result.output);
    ::sigaction(SIGPIPE, &previous, nullptr);
    if (result.timed_out) (void)send_signal(pidfd.get(), SIGKILL);
  }
  result.status = TRY(wait_child(pid));
  if (plan.failure != 0) return fail_errno(plan.failure, "start ", command.path);
  return result;
}

}  // namespace proa::kernel
