#include "engine/shim_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cstdlib>
#include <cstring>

#include "base/json.h"
#include "base/text.h"
#include "kernel/file.h"
#include "kernel/mount.h"
#include "kernel/process.h"
#include "kernel/unix_socket.h"

namespace proa::engine {
namespace {

std::string text_of(const boost::json::object& object, const char* name) {
  const auto* value = object.if_contains(name);
  const auto* text = value != nullptr ? value->if_string() : nullptr;
  return text != nullptr ? std::string(std::string_view(*text)) : std::string();
}
int64_t number_of(const boost::json::object& object, const char* name) {
  const auto* value = object.if_contains(name);
  const auto* number = value != nullptr ? value->if_int64() : nullptr;
  return number != nullptr ? *number : 0;
}

// Up to a line's end, or the stream's.
Result<std::string> read_line(int fd) {
  std::string line;
  char byte = 0;
  for (;;) {
    const ssize_t got = ::read(fd, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read from the shim");
    if (got == 0 || byte == '\n') return line;
    line += byte;
  }
}

// A shim that has closed the connection meanwhile says so by its end, not by a signal.
Result<> send_line(int socket, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return {};
    if (sent < 0) return fail_errno(errno, "write to the shim");
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

std::vector<std::string> arguments(const ShimRequest& request, const std::string& program, const std::string& runtime,
                                   int sync) {
  std::vector<std::string> out = {
      program,         "--runtime", runtime,         "--runtime-arg",      "runtime",
      "--runtime-arg", "--root",    "--runtime-arg", request.runtime_root, "--id",
      request.id,      "--state",   request.state,   "--sync-fd",          std::to_string(sync)};
  const auto add = [&](auto... words) { (out.emplace_back(words), ...); };
  if (request.exec.empty())
    add("--bundle", request.bundle);
  else
    add("--exec", request.exec);
  if (request.first_client >= 0) add("--first-client");
  if (!request.log.empty()) {
    add("--log", request.log, "--log-format", request.log_format);
    if (request.log_max_size != 0) add("--log-max-size", std::to_string(request.log_max_size));
    if (request.log_max_files > 1) add("--log-max-files", std::to_string(request.log_max_files));
    if (request.log_buffer != 0) add("--log-buffer", std::to_string(request.log_buffer));
    if (!request.log_attrs.empty()) add("--log-attrs", request.log_attrs);
    for (const std::string& word : request.log_rotated) add("--log-rotated-arg", word);
  }
  for (const std::string& word : request.companion) add("--companion-arg", word);
  if (request.terminal) add("--terminal");
  if (request.in) add("--stdin");
  if (request.in_once) add("--stdin-once");
  if (request.timer_ms > 0) {
    add("--timer", std::to_string(request.timer_ms));
    for (const std::string& word : request.timer_command) add("--timer-arg", word);
  }
  if (!request.exit_command.empty()) {
    add("--exit-command");
    for (const std::string& word : request.exit_command) add(word);
  }
  return out;
}

// What the shim's environment keeps: what our own later commands need.
std::vector<std::string> environment() {
  std::vector<std::string> out = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  for (const char* name : {"PROA_ROOT", "PROA_RUN", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "HOME", "http_proxy"})
    if (const char* value = ::secure_getenv(name)) out.push_back(cat(name, "=", value));
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

// In the child: nothing here allocates that need not.
[[noreturn]] void become_shim(const ShimRequest& request, char* const* argv, char* const* env, int sync,
                              pid_t starter) {
  const auto give_up = [&](const char* step) {
    const int code = errno;
    std::string line = cat("{\"error\":", json::quote(cat(step, ": ", errno_text(code))), "}\n");
    [[maybe_unused]] const ssize_t wrote = ::write(sync, line.data(), line.size());
    ::_exit(1);
  };
  // Until the shim holds its folder nobody else knows of it: it must not come to life after its starter's death.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != starter) ::_exit(1);
  if (!request.mounts.empty()) {
    // What the host mounts later still reaches the container's shim; what is mounted here stays here.
    if (::unshare(CLONE_NEWNS) != 0) give_up("make a mount namespace");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) give_up("make mounts private");
    for (const auto& [mount, point] : request.mounts) {
      const auto attached = kernel::attach_at(mount, point.c_str());
      if (attached) continue;
      errno = attached.error().code();
      give_up(point.c_str());
    }
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < 32; ++signal) ::signal(signal, SIG_DFL);
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd)
    if (::dup2(fd == 0 && request.first_client >= 0 ? request.first_client : null, fd) < 0) give_up("/dev/null");
  ::fcntl(sync, F_SETFD, 0);
  ::execve(argv[0], argv, env);
  give_up(argv[0]);
  ::_exit(127);
}

}  // namespace

Result<std::string> own_program() {
  std::array<char, 4096> path;
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  if (size < 0) return fail_errno(errno, "/proc/self/exe");
  return std::string(path.data(), static_cast<size_t>(size));
}

Result<std::string> shim_program() {
  const std::string own = TRY(own_program());
  const std::string beside = own.substr(0, own.rfind('/') + 1) + "proa-shim";
  if (::access(beside.c_str(), X_OK) == 0) return beside;
  const char* path = ::getenv("PATH");
  for (const std::string_view folder : split(path != nullptr ? path : "/usr/local/bin:/usr/bin", ':'))
    if (std::string candidate = cat(folder, "/proa-shim"); ::access(candidate.c_str(), X_OK) == 0) return candidate;
  return fail("proa-shim is not installed").hint("put it beside proa, or into a folder of $PATH");
}

namespace {
[[noreturn]] void become(char* const* argv, char* const* env) {
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd)
    if (::dup2(null, fd) < 0) ::_exit(127);
  ::close_range(3, ~0U, 0);
  ::execve(argv[0], argv, env);
  ::_exit(127);
}
}  // namespace

Result<pid_t> start_child(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = arguments, env = environment();
  const std::vector<char*> argv = pointers(words), envp = pointers(env);
  kernel::Child child = TRY(kernel::clone_process(0));
  if (child.pid != 0) return child.pid;
  ::setsid();
  become(argv.data(), envp.data());
}

Result<> start_detached(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = arguments, env = environment();
  const std::vector<char*> argv = pointers(words), envp = pointers(env);
  kernel::Child child = TRY(kernel::clone_process(0));
  if (child.pid != 0) {
    TRY(kernel::wait_child(child.pid));
    return {};
  }
  ::setsid();
  if (::fork() != 0) ::_exit(0);
  become(argv.data(), envp.data());
}

Result<ShimReport> start_shim(const ShimRequest& request) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  Fd reader(ends[0]), writer(ends[1]);
  std::vector<std::string> words = arguments(request, TRY(shim_program()), TRY(own_program()), writer.get());
  std::vector<std::string> env = environment();
  const std::vector<char*> argv = pointers(words), envp = pointers(env);
  const pid_t self = ::getpid();
  kernel::Child child = TRY_CTX(kernel::clone_process(0), "start proa-shim");
  if (child.pid == 0) become_shim(request, argv.data(), envp.data(), writer.get(), self);
  writer.reset();
  const std::string line = TRY(read_line(reader.get()));
  (void)kernel::wait_child(child.pid);
  if (line.empty()) return fail("proa-shim ended without a word");
  const boost::json::value answer = TRY(json::parse(line));
  const auto& object = answer.as_object();
  if (const std::string error = text_of(object, "error"); !error.empty()) {
    // The runtime's words, without the programs' names before them.
    std::string_view said = error;
    for (const std::string_view verb : {" create: ", " exec: "})
      if (const size_t at = said.find(verb); at != std::string_view::npos) said.remove_prefix(at + verb.size());
    if (const size_t at = said.find("msg=\""); at != std::string_view::npos) {
      said.remove_prefix(at + 5);
      said = said.substr(0, said.rfind('"'));
    }
    // A field of config.json says enough: where that file is, is our own affair.
    if (const size_t at = said.find("/config.json: "); at != std::string_view::npos) said.remove_prefix(at + 14);
    std::string plain(said);
    for (size_t at = 0; (at = plain.find("\\\"", at)) != std::string::npos; ++at) plain.erase(at, 1);
    return fail(plain);
  }
  return ShimReport{number_of(object, "pid"), number_of(object, "shim"), text_of(object, "warning")};
}

Error program_error(Error error) {
  std::string text = error.message();
  const size_t at = text.find("exec: \"");
  if (at == std::string::npos) return error;
  text.erase(0, at);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const bool missing = text.find("not found") != std::string::npos || text.find("no such file") != std::string::npos;
  return Error(error.message().substr(at), missing ? ENOENT : EACCES);
}

Result<Fd> mount_of_process(pid_t pid, const char* path) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno(errno, "socketpair");
  Fd ours(ends[0]), theirs(ends[1]);
  Fd process = TRY(kernel::pidfd_open(pid));
  kernel::Child child = TRY(kernel::clone_process(0));
  if (child.pid == 0) {
    ours.reset();
    if (!kernel::join_namespaces(process.get(), CLONE_NEWNS)) ::_exit(1);
    const auto mount = kernel::clone_tree(AT_FDCWD, path, false);
    ::_exit(mount && kernel::send_fd(theirs.get(), mount->get(), path) ? 0 : 1);
  }
  theirs.reset();
  auto mount = kernel::recv_fd(ours.get());
  (void)kernel::wait_child(child.pid);
  if (!mount) return fail("no access to ", path, " of process ", pid);
  return mount;
}

Result<ExitRecord> parse_exit_record(std::string_view text) {
  const boost::json::value document = TRY_CTX(json::parse(text), "exit record");
  const auto* object = document.if_object();
  if (object == nullptr) return fail("exit record: not an object");
  const auto* oom = object->if_contains("oomKilled");
  return ExitRecord{number_of(*object, "pid"), number_of(*object, "exitCode"),
                    oom != nullptr && oom->is_bool() && oom->get_bool(), text_of(*object, "finishedAt")};
}

namespace {
// Whether a shim lives in the folder: it holds the lock of shim.pid.
bool lock_held(const std::string& state) {
  auto file = kernel::open(cat(state, "/shim.pid").c_str(), O_RDONLY);
  return file && ::flock(file->get(), LOCK_SH | LOCK_NB) != 0;
}
}  // namespace

ShimPhase shim_phase(const std::string& state) {
  if (kernel::path_exists(cat(state, "/exit").c_str())) return ShimPhase::kEnded;
  if (lock_held(state)) return ShimPhase::kHeld;
  // It may have ended between the two looks.
  if (kernel::path_exists(cat(state, "/exit").c_str())) return ShimPhase::kEnded;
  return kernel::path_exists(cat(state, "/shim.pid").c_str()) ? ShimPhase::kKilled : ShimPhase::kNone;
}

Result<ExitRecord> read_exit(const std::string& state) {
  return parse_exit_record(TRY(kernel::read_file(cat(state, "/exit").c_str())));
}

bool await_shim_gone(const std::string& state, int timeout_ms) {
  if (!lock_held(state)) return true;
  const auto text = kernel::read_file(cat(state, "/shim.pid").c_str());
  std::string_view rest = text ? std::string_view(*text) : std::string_view();
  const auto pid = parse_number<pid_t>(cut(rest, ' '));  // not there yet while the shim begins
  Result<Fd> process = pid ? kernel::pidfd_open(*pid) : fail("no shim");
  // The exit command takes the shim's place as a process: the lock, not the process, is what ends.
  for (int waited = 0; waited < timeout_ms && lock_held(state); ++waited) {
    pollfd wait{process ? process->get() : -1, POLLIN, 0};
    ::poll(&wait, 1, 1);
  }
  return !lock_held(state);
}

Result<> clear_shim(const std::string& state) {
  if (lock_held(state)) return fail("a shim still holds ", state);
  return kernel::remove_tree(state);
}

Result<Fd> shim_attach(const std::string& state, const std::string& line) {
  Fd socket = TRY(kernel::connect_unix(state + "/attach.sock"));
  TRY(send_line(socket.get(), line + "\n"));
  TRY(await_greeting(socket.get()));
  return socket;
}

Result<> await_greeting(int socket) {
  const std::string answer = TRY(read_line(socket));
  if (answer != "ok") return fail("attach: ", answer.empty() ? "the container has ended" : answer);
  return {};
}

Result<> shim_hold(const std::string& state, const std::vector<Fd>& descriptors) {
  constexpr size_t kMost = 60;  // of one message
  Fd socket = TRY(kernel::connect_unix(state + "/ctl.sock"));
  for (size_t at = 0; at < descriptors.size(); at += kMost) {
    std::vector<int> some;
    for (size_t i = at; i < std::min(descriptors.size(), at + kMost); ++i) some.push_back(descriptors[i].get());
    TRY(kernel::send_fds(socket.get(), some, "hold\n"));
    if (const std::string answer = TRY(read_line(socket.get())); answer != "ok") return fail("hold ports: ", answer);
  }
  return {};
}

Result<Fd> shim_wait(const std::string& state) {
  Fd socket = TRY(kernel::connect_unix(state + "/ctl.sock"));
  TRY(send_line(socket.get(), "wait\n"));
  return socket;
}

std::optional<ExitRecord> awaited_record(const Fd& connection) {
  const auto line = read_line(connection.get());
  auto record = line ? parse_exit_record(*line) : Result<ExitRecord>(fail("no record"));
  return record ? std::optional(*std::move(record)) : std::nullopt;
}

Result<std::string> shim_command(const std::string& state, const std::string& line) {
  Fd socket = TRY(kernel::connect_unix(state + "/ctl.sock"));
  TRY(send_line(socket.get(), line + "\n"));
  std::string answer = TRY(read_line(socket.get()));
  if (answer.starts_with("error: ")) return fail(answer.substr(7));
  return answer;
}

}  // namespace proa::engine
