#include "logs/forward/connection.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "kernel/file.h"
#include "net/loop.h"
#include "net/socket.h"
#include "net/tls.h"

namespace proa::logs {
namespace {

using Steady = std::chrono::steady_clock;
constexpr int kShortest = 1, kLongest = 50;  // milliseconds between two looks at what is still under way

// What is left of a time; never negative. Times below 0 have no end.
class Deadline {
 public:
  explicit Deadline(int ms) : endless_(ms < 0), end_(Steady::now() + std::chrono::milliseconds(std::max(ms, 0))) {}
  int left() const {
    if (endless_) return -1;
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(end_ - Steady::now()).count();
    return static_cast<int>(std::max<int64_t>(ms, 0));
  }
  bool over() const { return !endless_ && Steady::now() >= end_; }

 private:
  bool endless_;
  Steady::time_point end_;
};

Failure timed_out(const char* what) { return Failure(Error(cat(what, ": timed out"), ETIMEDOUT)); }

Result<std::vector<net::SocketAddress>> look_up(const Address& address, int timeout_ms) {
  const auto loops = TRY(net::Loops::start({.threads = 1, .blocking_threads = 1}));
  return loops->wait(net::resolve(address.host, address.port, net::Duration(timeout_ms)));
}

Result<Fd> connected(const sockaddr* to, socklen_t size, int type, int timeout_ms, Watch& watch) {
  Fd socket(::socket(to->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(errno, "socket");
  if (::connect(socket.get(), to, size) == 0) return socket;
  if (errno == EAGAIN) return fail_errno(EAGAIN, "connect");  // a unix socket whose line is full
  if (errno != EINPROGRESS) return fail_errno(errno, "connect");
  TRY(watch.wait(socket.get(), POLLOUT, timeout_ms));
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return fail_errno(error, "connect");
  return socket;
}

Result<Fd> connect_unix(const std::string& path, int type, int timeout_ms, Watch& watch) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if (path.size() >= sizeof to.sun_path) return fail(path, ": longer than a socket's path can be");
  std::memcpy(to.sun_path, path.data(), path.size());
  return connected(reinterpret_cast<const sockaddr*>(&to), sizeof to, type, timeout_ms, watch);
}

Result<Fd> connect_network(const Address& address, int type, int timeout_ms, Watch& watch) {
  Error last("no address");
  for (const net::SocketAddress& to : TRY(look_up(address, timeout_ms))) {
    auto socket = connected(reinterpret_cast<const sockaddr*>(&to.storage), to.size, type, timeout_ms, watch);
    if (socket || socket.error().code() == ECANCELED) return socket;
    last = std::move(socket).error();
  }
  return std::unexpected(std::move(last));
}

}  // namespace

Result<Watch> Watch::open(const std::string& folder, Fd run) {
  Watch out;
  out.folder_ = folder;
  out.changes_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!out.changes_) return fail_errno(errno, "inotify");
  constexpr uint32_t kEvents = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_MOVE_SELF | IN_DELETE_SELF;
  if (::inotify_add_watch(out.changes_.get(), folder.c_str(), kEvents) < 0) return fail_errno(errno, "watch ", folder);
  out.ended_ = !run;
  out.run_ = std::move(run);
  return out;
}

bool Watch::removed() const { return gone_ || (!folder_.empty() && !kernel::path_exists(folder_.c_str())); }

// True: `fd` is ready, or where `changes` are waited for, there are some.
Result<bool> Watch::poll_once(int fd, short events, int timeout_ms, bool changes) {
  std::array<pollfd, 3> all = {pollfd{fd, events, 0}, pollfd{changes_.get(), POLLIN, 0},
                               pollfd{ended_ ? -1 : run_.get(), POLLIN, 0}};
  const int count = ::poll(all.data(), all.size(), timeout_ms);
  if (count < 0 && errno != EINTR) return fail_errno(errno, "poll");
  bool woken = count < 0;
  if (count > 0 && all[1].revents != 0) {
    alignas(inotify_event) std::array<char, 4096> bytes;
    while (::read(changes_.get(), bytes.data(), bytes.size()) > 0) {
    }
    gone_ = removed();
    woken = true;
  }
  if (count > 0 && all[2].revents != 0) ended_ = woken = true;
  if (gone_) return Failure(Error("the container was removed", ECANCELED));
  return (count > 0 && all[0].revents != 0) || (changes && woken);
}

Result<> Watch::wait(int fd, short events, int timeout_ms) {
  for (const Deadline deadline(timeout_ms);;) {
    if (TRY(poll_once(fd, events, deadline.left(), false))) return {};
    if (deadline.over()) return timed_out("wait");
  }
}

Result<> Watch::wait_for_change(int timeout_ms) {
  for (const Deadline deadline(timeout_ms);;) {
    if (TRY(poll_once(-1, 0, deadline.left(), true)) || deadline.over()) return {};
  }
}

Result<> Watch::sleep(int ms) {
  auto slept = wait(-1, 0, ms);
  if (!slept && slept.error().code() == ETIMEDOUT) return {};
  return slept;
}

Connection::Connection(Fd socket, bool stream, Watch& watch)
    : socket_(std::move(socket)), stream_(stream), watch_(&watch) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

Result<Connection> Connection::open(const Address& address, const TlsFiles& tls, int timeout_ms, Watch& watch) {
  auto opened = [&]() -> Result<Connection> {
    if (address.scheme == "unixgram")
      return Connection(TRY(connect_unix(address.path, SOCK_DGRAM, timeout_ms, watch)), false, watch);
    if (address.scheme == "unix") {
      auto stream = connect_unix(address.path, SOCK_STREAM, timeout_ms, watch);
      if (stream) return Connection(std::move(*stream), true, watch);
      if (stream.error().code() != EPROTOTYPE) return std::unexpected(stream.error());
      return Connection(TRY(connect_unix(address.path, SOCK_DGRAM, timeout_ms, watch)), false, watch);
    }
    if (address.scheme == "udp")
      return Connection(TRY(connect_network(address, SOCK_DGRAM, timeout_ms, watch)), false, watch);
    Connection out(TRY(connect_network(address, SOCK_STREAM, timeout_ms, watch)), true, watch);
    net::tune_tcp(out.socket_.get());
    if (address.scheme != "tcp+tls") return out;
    out.client_ = TRY(net::TlsClient::create({.ca_file = tls.authorities,
                                              .certificate_file = tls.certificate,
                                              .key_file = tls.key,
                                              .insecure = tls.insecure,
                                              .http = false}));
    TRY(out.handshake(address.host, timeout_ms));
    return out;
  }();
  if (!opened && opened.error().code() != ECANCELED) opened.error().context(cat("dial ", address.text()));
  return opened;
}

Result<> Connection::handshake(const std::string& host, int timeout_ms) {
  session_ = TRY(client_->session(socket_.get(), host, false));
  for (;;) {
    switch (session_->handshake()) {
      case net::TlsSession::Status::kDone: return {};
      case net::TlsSession::Status::kWantRead: TRY(watch_->wait(socket_.get(), POLLIN, timeout_ms)); break;
      case net::TlsSession::Status::kWantWrite: TRY(watch_->wait(socket_.get(), POLLOUT, timeout_ms)); break;
      default: return fail("TLS: ", session_->error().empty() ? "the connection was closed" : session_->error());
    }
  }
}

Result<> Connection::send(std::string_view bytes, int timeout_ms) {
  while (!bytes.empty()) {
    size_t sent = 0;
    short needed = POLLOUT;
    if (session_) {
      const auto status = session_->write(bytes, sent);
      if (status == net::TlsSession::Status::kWantRead) needed = POLLIN;
      const bool fine = status == net::TlsSession::Status::kDone || status == net::TlsSession::Status::kWantRead ||
                        status == net::TlsSession::Status::kWantWrite;
      if (!fine) return Failure(Error(cat("TLS: ", session_->error()), EPIPE));
    } else {
      const ssize_t got = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno != EAGAIN) return fail_errno(errno, "send");
      sent = got < 0 ? 0 : static_cast<size_t>(got);
    }
    bytes.remove_prefix(sent);
    if (sent == 0) TRY(watch_->wait(socket_.get(), needed, timeout_ms));
  }
  return {};
}

Result<> Connection::send_descriptor(int descriptor, int timeout_ms) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  while (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return fail_errno(errno, "send");
    TRY(watch_->wait(socket_.get(), POLLOUT, timeout_ms));
  }
  return {};
}

Result<> Connection::settle(int timeout_ms) {
  if (!stream_) return {};
  const Deadline deadline(timeout_ms);
  for (int pause = kShortest;; pause = std::min(pause * 2, kLongest)) {
    int left = 0;
    if (::ioctl(socket_.get(), SIOCOUTQ, &left) != 0 || left == 0) break;
    TRY(check());
    if (deadline.over()) return timed_out("send");
    TRY(watch_->sleep(pause));
  }
  return check();
}

Result<std::string> Connection::receive(int timeout_ms) {
  std::string out(4096, '\0');
  for (const Deadline deadline(timeout_ms);;) {
    short needed = POLLIN;
    if (session_) {
      size_t got = 0;
      const auto status = session_->read({out.data(), out.size()}, got);
      if (status == net::TlsSession::Status::kDone && got > 0) return out.substr(0, got);
      if (status == net::TlsSession::Status::kEnd) return std::string();
      if (status == net::TlsSession::Status::kFailed) return Failure(Error(cat("TLS: ", session_->error()), EPIPE));
      if (status == net::TlsSession::Status::kWantWrite) needed = POLLOUT;
    } else {
      const ssize_t got = ::recv(socket_.get(), out.data(), out.size(), 0);
      if (got >= 0) return out.substr(0, static_cast<size_t>(got));
      if (errno != EAGAIN && errno != EINTR) return fail_errno(errno, "receive");
    }
    TRY(watch_->wait(socket_.get(), needed, deadline.left()));
  }
}

Result<> Connection::check() {
  char byte = 0;
  const ssize_t got = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got == 0 && stream_) return Failure(Error("the receiver has closed the connection", EPIPE));
  if (got < 0 && errno != EAGAIN && errno != EINTR) return fail_errno(errno, "send");
  return {};
}

}  // namespace proa::logs
