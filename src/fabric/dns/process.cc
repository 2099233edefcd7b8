#include "fabric/dns/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/log.h"
#include "fabric/dns/server.h"
#include "fabric/store.h"
#include "kernel/file.h"
#include "kernel/memory.h"
#include "kernel/unix_socket.h"

namespace proa::fabric::dns {
namespace {

constexpr int kListenFd = 3;  // in the resolver
constexpr int kPatienceMs = 10000;
constexpr int kEndRetryMs = 1000;
constexpr int kAttempts = 3;

std::string socket_path(const Options& options) { return options.run + "/dns.sock"; }

Result<Fd> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail_errno(ENAMETOOLONG, path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "socket");
  ::unlink(path.c_str());
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), 64) != 0)
    return fail_errno(errno, path);
  return socket;
}

// Becomes the resolver. Only what is safe after fork.
[[noreturn]] void become_resolver(const Options& options, int listener) {
  const int null = ::open("/dev/null", O_RDWR);
  if (null < 0) ::_exit(127);
  for (const int fd : {0, 1, 2})
    if (::dup2(null, fd) < 0) ::_exit(127);
  if (listener == kListenFd)
    ::fcntl(listener, F_SETFD, 0);
  else
    ::dup2(listener, kListenFd);
  ::close_range(kListenFd + 1, ~0u, 0);
  if (::chdir("/") != 0) ::_exit(127);
  const char* const argv[] = {"proa", "__dns", options.state.c_str(), options.run.c_str(), nullptr};
  char* const environment[] = {nullptr};
  ::execve(options.resolver.c_str(), const_cast<char* const*>(argv), environment);
  ::_exit(127);
}

// The listener exists before the process does: whoever connects now is answered once it is up. A child in
// between, so that the resolver is nobody's child.
Result<> spawn(const Options& options) {
  const Fd listener = TRY(listen_at(socket_path(options)));
  const pid_t between = ::fork();
  if (between < 0) return fail_errno(errno, "fork");
  if (between == 0) {
    ::setsid();
    const pid_t resolver = ::fork();
    if (resolver == 0) become_resolver(options, listener.get());
    ::_exit(resolver < 0 ? 1 : 0);
  }
  while (::waitpid(between, nullptr, 0) < 0 && errno == EINTR) {
  }
  return {};
}

// Asks for the container to be served; the answer is empty or what is wrong.
Result<std::string> ask(int socket, const std::string& container) {
  if (::send(socket, container.data(), container.size(), MSG_NOSIGNAL) < 0) return fail_errno(errno, "send");
  pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
  if (::poll(&ready, 1, kPatienceMs) <= 0) return fail_errno(ETIMEDOUT, "no answer");
  char answer[1024];
  const ssize_t got = ::recv(socket, answer, sizeof answer, 0);
  if (got <= 0) return fail_errno(got < 0 ? errno : ECONNRESET, "no answer");
  return std::string(answer + 1, static_cast<size_t>(got) - 1);
}

Result<std::string> ask_or_start(const Options& options, const std::string& container) {
  Result<Fd> socket = kernel::connect_unix(socket_path(options), SOCK_SEQPACKET);
  if (!socket) {
    TRY_CTX(spawn(options), "start");
    socket = kernel::connect_unix(socket_path(options), SOCK_SEQPACKET);
  }
  if (!socket) return std::unexpected(std::move(socket).error());
  return ask(socket->get(), container);
}

class Process {
 public:
  Process(const Options& options, Poller& poller)
      : options_(options), store_(options), poller_(poller), server_(poller) {}

  Result<int> run() {
    TRY(watch_records());
    poller_.watch(kListenFd, EPOLLIN, [this](uint32_t) { accept_caller(); });
    reload();
    for (;;) {
      if (!server_.serves_any() && may_end()) return 0;
      const int deadline = server_.next_deadline_ms();
      poller_.wait(server_.serves_any() ? deadline : kEndRetryMs);
      if (changed_) reload();
      server_.expire();
    }
  }

 private:
  Result<> watch_records() {
    inotify_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify_) return fail_errno(errno, "inotify");
    const std::string folder = store_.endpoints_folder();
    if (::inotify_add_watch(inotify_.get(), folder.c_str(), IN_MOVED_TO | IN_DELETE) < 0)
      return fail_errno(errno, "watch ", folder);
    poller_.watch(inotify_.get(), EPOLLIN, [this](uint32_t) { drain(); });
    return {};
  }

  void drain() {
    char buffer[4096];
    while (::read(inotify_.get(), buffer, sizeof buffer) > 0) changed_ = true;
  }

  void reload() {
    changed_ = false;
    if (Result<std::vector<Endpoint>> endpoints = store_.endpoints()) server_.update(*std::move(endpoints));
  }

  void accept_caller() {
    Fd caller(::accept4(kListenFd, nullptr, nullptr, SOCK_CLOEXEC));
    if (!caller) return;
    char name[1200];
    pollfd ready{.fd = caller.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, 1000) <= 0) return;
    const ssize_t got = ::recv(caller.get(), name, sizeof name, 0);
    if (got <= 0) return;
    drain();
    reload();
    const std::string container(name, static_cast<size_t>(got));
    const std::string wrong = server_.error_of(container);
    const std::string answer = server_.serves(container) ? "+" : cat("-", wrong.empty() ? "not on record" : wrong);
    ::send(caller.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    kernel::release_program_pages();
  }

  // Whoever starts to serve another container holds the lock: while we have it, nobody does.
  bool may_end() {
    lock_ = Fd(::open((options_.run + "/lock").c_str(), O_RDWR | O_CLOEXEC));
    if (lock_ && ::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
      lock_.reset();
      return false;
    }
    pollfd caller{.fd = kListenFd, .events = POLLIN, .revents = 0};
    reload();
    if (server_.serves_any() || ::poll(&caller, 1, 0) > 0) {
      lock_.reset();
      return false;
    }
    ::unlink(socket_path(options_).c_str());
    return true;
  }

  Options options_;
  Store store_;
  Poller& poller_;
  Server server_;
  Fd inotify_, lock_;
  bool changed_ = false;
};

}  // namespace

Result<> serve(const Options& options, const Endpoint& endpoint) {
  Result<std::string> wrong = fail("resolver: not asked");
  // It may have been killed this moment, with our question in its queue.
  for (int attempt = 0; attempt < kAttempts && !wrong && wrong.error().code() != ETIMEDOUT; ++attempt)
    wrong = ask_or_start(options, endpoint.container);
  if (!wrong) return std::unexpected(std::move(wrong).error().with_context("resolver"));
  if (!wrong->empty()) return fail("resolver: ", *wrong);
  return {};
}

Result<> leave(const Endpoint& endpoint) {
  const Fd netns = TRY(kernel::open(endpoint.netns.c_str(), O_RDONLY));
  return remove_rules_in(netns.get());
}

Result<int> run(const Options& options) {
  ::signal(SIGPIPE, SIG_IGN);
  Poller poller = TRY(Poller::open());
  Process process(options, poller);
  return process.run();
}

}  // namespace proa::fabric::dns
