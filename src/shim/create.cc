#include "shim/create.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>

#include "shim/sys.h"

namespace proa::shim {
namespace {

constexpr unsigned kMaxArguments = kMaxRuntimeArgs + 24;

// One attempt at create; its descriptors are closed when it ends.
class Attempt {
 public:
  Attempt(const Options& options, const Origin& origin, const StateDir& state, int children, Container* container)
      : options_(options), origin_(origin), state_(state), children_(children), container_(*container) {}
  ~Attempt();
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  Result<> open_streams();
  Result<> start_runtime();
  Result<> await_runtime();
  // Finds the container's process among the shim's children, and its terminal.
  Result<> adopt_container();
  void delete_container();

 private:
  Result<> open_pipe(int* ours, int* theirs, bool we_read);
  const char** write_globals(const char** to) const;
  void write_create(const char** to) const;
  void receive_terminal();
  Result<> hold_terminal();
  void read_messages(int fd);
  void hear_runtime();
  // There is no start to wait for, and the program writes to pipes that the runtime has, too.
  bool runs_at_once() const { return options_.exec != nullptr && !options_.terminal; }
  Result<bool> reap_runtime(siginfo_t* end);
  Result<> judge(const siginfo_t& end);
  const char* verb() const { return options_.exec != nullptr ? " exec: " : " create: "; }

  const Options& options_;
  const Origin& origin_;
  const StateDir& state_;
  int children_;
  Container& container_;
  Stdio theirs_;
  int runtime_ = -1, console_ = -1;
  // Without a terminal the runtime talks on the container's own pipes, which hold nothing else before
  // start; with one, on this.
  int talk_ = -1;
  Path pid_file_;
  Text<64> console_path_;
  Text<16> preserved_;
};

Attempt::~Attempt() {
  for (const int fd : {theirs_.in, theirs_.out, theirs_.err, talk_, console_}) sys::close(fd);
  if (console_ >= 0) sys::unlink(state_.fd(), kConsoleSocket);
}

Result<> Attempt::open_pipe(int* ours, int* theirs, bool we_read) {
  int ends[2];
  if (const long error = sys::pipe(ends); error < 0) return fail_with(error, "pipe");
  *ours = ends[we_read ? 0 : 1];
  *theirs = ends[we_read ? 1 : 0];
  sys::set_nonblocking(*ours);
  return {};
}

Result<> Attempt::open_streams() {
  Result<> done;
  if (options_.terminal) {
    console_ = sys::listen_at(kConsoleSocket, 1);
    if (console_ < 0) return fail_with(console_, "console.sock");
    done = open_pipe(&talk_, &theirs_.err, true);
    if (done) theirs_.out = sys::duplicate_above(theirs_.err, 3);
  } else {
    done = open_pipe(&container_.out, &theirs_.out, true);
    if (done) done = open_pipe(&container_.err, &theirs_.err, true);
  }
  if (!done) return done;
  if (options_.in && !options_.terminal) return open_pipe(&container_.in, &theirs_.in, false);
  theirs_.in = sys::open(AT_FDCWD, "/dev/null", O_RDONLY);
  if (theirs_.in < 0) return fail_with(theirs_.in, "/dev/null");
  return {};
}

const char** Attempt::write_globals(const char** to) const {
  *to++ = options_.runtime;
  if (options_.root != nullptr) *to++ = "--root", *to++ = options_.root;
  if (options_.systemd_cgroup) *to++ = "--systemd-cgroup";
  for (unsigned i = 0; i < options_.runtime_arg_count; ++i) *to++ = options_.runtime_args[i];
  return to;
}

void Attempt::write_create(const char** to) const {
  const auto add = [&](auto... words) { ((*to++ = words), ...); };
  if (options_.exec != nullptr)
    add("exec", "--detach", "--process", options_.exec, "--pid-file", pid_file_.c_str());
  else
    add("create", "--bundle", options_.bundle, "--pid-file", pid_file_.c_str());
  if (options_.terminal) add("--console-socket", console_path_.c_str());
  if (options_.preserve_fds != 0) add("--preserve-fds", preserved_.c_str());
  add(options_.id, static_cast<const char*>(nullptr));
}

Result<> Attempt::start_runtime() {
  pid_file_ << state_.path().view() << '/' << kPidName;
  if (pid_file_.truncated()) return fail("--state ", options_.state, ": the path is too long");
  // By way of /proc, because a socket's address holds no more than 107 bytes.
  console_path_ << "/proc/" << sys::process_id() << "/cwd/" << kConsoleSocket;
  const char* arguments[kMaxArguments];
  preserved_ << options_.preserve_fds;
  write_create(write_globals(arguments));
  const long pid = spawn(origin_, arguments, theirs_);
  if (pid < 0) return fail_with(pid, "fork");
  runtime_ = static_cast<int>(pid);
  for (int* fd : {&theirs_.in, &theirs_.out, &theirs_.err}) {
    sys::close(*fd);
    *fd = -1;
  }
  return {};
}

Result<> Attempt::await_runtime() {
  pollfd fds[] = {{children_, POLLIN, 0},
                  {console_, POLLIN, 0},
                  {talk_, POLLIN, 0},
                  {runs_at_once() ? -1 : container_.out, POLLIN, 0},
                  {runs_at_once() ? -1 : container_.err, POLLIN, 0}};
  for (;;) {
    sys::poll(fds, sizeof fds / sizeof *fds, -1);
    if ((fds[1].revents & POLLIN) != 0) receive_terminal();
    if (!runs_at_once()) hear_runtime();
    // A pipe whose writers are gone stays ready, and is no longer worth waiting for.
    for (pollfd& fd : fds)
      if ((fd.revents & POLLHUP) != 0) fd.fd = -1;
    if ((fds[0].revents & POLLIN) == 0) continue;
    siginfo_t end;
    if (Result<bool> ended = reap_runtime(&end); !ended)
      return std::unexpected(ended.error());
    else if (*ended)
      return judge(end);
  }
}

Result<bool> Attempt::reap_runtime(siginfo_t* end) {
  signalfd_siginfo signal;
  sys::read(children_, &signal, sizeof signal);
  // Only the runtime: were the container to end now, its status would be wanted later.
  const long error = sys::wait(P_PID, static_cast<id_t>(runtime_), end, WNOHANG);
  if (error < 0) return fail_with(error, "wait for ", options_.runtime);
  if (end->si_pid == 0) return false;
  receive_terminal();
  // What is in the pipes of a program that runs is its own.
  if (!runs_at_once() || end->si_code != CLD_EXITED || end->si_status != 0) hear_runtime();
  return true;
}

void Attempt::receive_terminal() {
  if (console_ < 0 || container_.out >= 0) return;
  const int peer = sys::accept(console_, 0);
  if (peer < 0) return;
  char name[256];
  iovec data = {name, sizeof name};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &data, message.msg_iovlen = 1;
  message.msg_control = control, message.msg_controllen = sizeof control;
  if (sys::receive_message(peer, &message, 0) > 0) {
    const cmsghdr* head = CMSG_FIRSTHDR(&message);
    if (head != nullptr && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof(int)))
      container_.out = *reinterpret_cast<const int*>(CMSG_DATA(head));
  }
  sys::close(peer);
}

void Attempt::hear_runtime() {
  if (options_.terminal)
    read_messages(talk_);
  else
    read_messages(container_.out), read_messages(container_.err);
}

void Attempt::read_messages(int fd) {
  constexpr int kMost = 128;  // what a default pipe holds: then let the poll have its turn
  char bytes[512];
  for (int i = 0; i < kMost; ++i) {
    const long got = fd < 0 ? 0 : sys::read(fd, bytes, sizeof bytes);
    if (got <= 0) return;
    container_.warning << std::string_view(bytes, static_cast<size_t>(got));
  }
}

Result<> Attempt::judge(const siginfo_t& end) {
  std::string_view said = container_.warning.view();
  while (!said.empty() && (said.back() == '\n' || said.back() == ' ')) said.remove_suffix(1);
  container_.warning.resize(said.size());
  if (end.si_code == CLD_EXITED && end.si_status == 0) return {};
  if (end.si_code != CLD_EXITED) return fail(options_.runtime, verb(), "killed by signal ", end.si_status);
  if (said.empty()) return fail(options_.runtime, verb(), "exit status ", end.si_status);
  return fail(options_.runtime, verb(), said);
}

Result<> Attempt::adopt_container() {
  char text[32];
  uint64_t pid = 0;
  const long got = read_file(state_.fd(), kPidName, text, sizeof text);
  std::string_view line(text, got > 0 ? static_cast<size_t>(got) : 0);
  while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  if (!parse_number(line, INT32_MAX, &pid) || pid < 2)
    return fail(options_.runtime, verb(), "wrote no process id to its --pid-file");
  siginfo_t info;
  if (sys::wait(P_PID, static_cast<id_t>(pid), &info, WNOHANG | WNOWAIT) < 0)
    return fail(options_.runtime, verb(), "process ", pid, " is not one that the runtime left to its caller");
  container_.pid = static_cast<int>(pid);
  if (Result<> done = hold_terminal(); !done) return done;
  if (options_.pid_file == nullptr) return {};
  return write_file(origin_.folder, options_.pid_file, line, false);
}

Result<> Attempt::hold_terminal() {
  if (!options_.terminal) return {};
  if (container_.out < 0) return fail(options_.runtime, verb(), "sent no terminal; is process.terminal true?");
  container_.in = container_.out;
  sys::set_nonblocking(container_.out);
  const long flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
  const long slave = sys::control(container_.out, TIOCGPTPEER, flags);
  if (slave < 0) return fail_with(slave, options_.runtime, verb(), "what it sent for a terminal");
  container_.slave = static_cast<int>(slave);
  return {};
}

void Attempt::delete_container() {
  const char* arguments[kMaxArguments];
  const char** next = write_globals(arguments);
  for (const char* word : {"delete", "--force", options_.id, static_cast<const char*>(nullptr)}) *next++ = word;
  const int null = sys::open(AT_FDCWD, "/dev/null", O_RDWR);
  const long pid = spawn(origin_, arguments, {null, null, null});
  siginfo_t info;
  if (pid > 0) sys::wait(P_PID, static_cast<id_t>(pid), &info, 0);
  sys::close(null);
}

}  // namespace

Result<> create_container(const Options& options, const Origin& origin, const StateDir& state, int children,
                          Container* container) {
  Attempt attempt(options, origin, state, children, container);
  Result<> done = attempt.open_streams();
  if (done) done = attempt.start_runtime();
  if (done) done = attempt.await_runtime();
  if (done) {
    done = attempt.adopt_container();
    if (!done && options.exec == nullptr) attempt.delete_container();
  }
  if (!done) kill_children();
  return done;
}

}  // namespace proa::shim
