#include "net/socket.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "net/descriptor.h"
#include "net/url.h"

namespace proa::net {

namespace {

SocketAddress numeric(const std::string& host, uint16_t port) {
  SocketAddress address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
  } else if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof *v6;
  }
  return address;
}

Result<SocketAddress> unix_address(const std::string& path) {
  SocketAddress address;
  auto* name = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.size() >= sizeof name->sun_path)
    return fail("unix socket ", path, ": path is longer than ", sizeof name->sun_path - 1, " bytes");
  name->sun_family = AF_UNIX;
  std::memcpy(name->sun_path, path.c_str(), path.size() + 1);
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

const sockaddr* raw(const SocketAddress& address) { return reinterpret_cast<const sockaddr*>(&address.storage); }

struct Lookup {
  uint16_t port;
  bool done = false;
  int status = ARES_SUCCESS;
  std::vector<SocketAddress> found = {};

  static void finished(void* self, int status, int, ares_addrinfo* info) {
    Lookup& lookup = *static_cast<Lookup*>(self);
    lookup.done = true;
    lookup.status = status;
    for (const ares_addrinfo_node* node = info ? info->nodes : nullptr; node; node = node->ai_next) {
      SocketAddress& address = lookup.found.emplace_back();
      std::memcpy(&address.storage, node->ai_addr, std::min<size_t>(node->ai_addrlen, sizeof address.storage));
      address.size = node->ai_addrlen;
      // The port is at the same place for both families.
      reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = htons(lookup.port);
    }
    if (info) ares_freeaddrinfo(info);
  }
};

// Drives the lookup to its end, on a thread that may block.
void drive(ares_channel channel, Lookup& lookup, Clock::time_point deadline) {
  while (!lookup.done) {
    ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
    const int wanted = ares_getsock(channel, sockets, ARES_GETSOCK_MAXNUM);
    pollfd polls[ARES_GETSOCK_MAXNUM];
    nfds_t count = 0;
    for (int i = 0; i < ARES_GETSOCK_MAXNUM; ++i) {
      const short events = static_cast<short>((ARES_GETSOCK_READABLE(wanted, i) ? POLLIN : 0) |
                                              (ARES_GETSOCK_WRITABLE(wanted, i) ? POLLOUT : 0));
      if (events) polls[count++] = {sockets[i], events, 0};
    }
    const auto left = std::chrono::duration_cast<Duration>(deadline - Clock::now());
    if (left.count() <= 0) return ares_cancel(channel);
    timeval most{left.count() / 1000, left.count() % 1000 * 1000};
    timeval space{};
    const timeval* wait = ares_timeout(channel, &most, &space);
    ::poll(polls, count, static_cast<int>(wait->tv_sec * 1000 + wait->tv_usec / 1000 + 1));
    for (nfds_t i = 0; i < count; ++i)
      ares_process_fd(channel, polls[i].revents & (POLLIN | POLLERR | POLLHUP) ? polls[i].fd : ARES_SOCKET_BAD,
                      polls[i].revents & (POLLOUT | POLLERR) ? polls[i].fd : ARES_SOCKET_BAD);
    ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  }
}

Result<std::vector<SocketAddress>> look_up(const std::string& host, uint16_t port, Duration timeout) {
  static const int ready = ares_library_init(ARES_LIB_INIT_ALL);
  ares_channel channel = nullptr;
  ares_options options{};
  options.timeout = static_cast<int>(std::clamp<int64_t>(timeout.count() / 3, 500, 5000));
  options.tries = 3;
  // Hosts file first, DNS second, whatever the host's name service switch says.
  char order[] = "fb";
  options.lookups = order;
  int status = ready == ARES_SUCCESS
                   ? ares_init_options(&channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS)
                   : ready;
  if (status != ARES_SUCCESS) return fail("resolve ", host, ": ", ares_strerror(status));
  Lookup lookup{.port = port};
  const ares_addrinfo_hints hints{
      .ai_flags = 0, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
  ares_getaddrinfo(channel, host.c_str(), nullptr, &hints, Lookup::finished, &lookup);
  drive(channel, lookup, Clock::now() + timeout);
  ares_destroy(channel);
  if (lookup.status == ARES_ECANCELLED) return fail_errno(ETIMEDOUT, "resolve ", host);
  if (lookup.status == ARES_ENOTFOUND || lookup.status == ARES_ENODATA)
    return std::unexpected(Error(cat("resolve ", host, ": no such host"), ENOENT));
  if (lookup.status != ARES_SUCCESS || lookup.found.empty())
    return fail("resolve ", host, ": ", ares_strerror(lookup.status));
  return std::move(lookup.found);
}

Task<Result<Fd>> connect_address(SocketAddress address, Duration timeout) {
  Fd socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) co_return fail_errno(errno, "socket");
  tune_tcp(socket.get());
  if (::connect(socket.get(), raw(address), address.size) == 0) co_return socket;
  if (errno != EINPROGRESS) co_return fail_errno(errno, "connect to ", address.text());
  Descriptor watched(*Loop::current(), std::move(socket));
  if (!co_await ReadyWithin(watched, true, timeout)) co_return fail_errno(ETIMEDOUT, "connect to ", address.text());
  int code = 0;
  socklen_t size = sizeof code;
  ::getsockopt(watched.fd(), SOL_SOCKET, SO_ERROR, &code, &size);
  if (code) co_return fail_errno(code, "connect to ", address.text());
  co_return watched.release();
}

Result<> listen_tcp(int socket, int family) {
  const int on = 1;
  const int off = 0;
  if (::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) return fail_errno(errno, "SO_REUSEADDR");
  if (family == AF_INET6) ::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  return {};
}

// An old socket file that nobody answers on goes away.
Result<> clear_stale(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) < 0) return {};
  if (!S_ISSOCK(status.st_mode)) return fail("a file that is no socket is in the way");
  if (connect_unix_stream(path)) return fail_errno(EADDRINUSE, "something listens there already");
  if (::unlink(path.c_str()) < 0) return fail_errno(errno, "remove the old socket");
  return {};
}

Result<Fd> open_listener(const Endpoint& endpoint, int backlog) {
  SocketAddress address;
  if (endpoint.is_unix()) {
    address = TRY(unix_address(endpoint.path));
    TRY(clear_stale(endpoint.path));
  } else {
    const bool any = endpoint.host.empty() || endpoint.host == "*";
    address = numeric(any ? "::" : endpoint.host == "localhost" ? "127.0.0.1" : endpoint.host, endpoint.port);
    if (!address.size) return fail("the host to listen on must be an address, localhost or *");
  }
  int family = address.storage.ss_family;
  Fd socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket && errno == EAFNOSUPPORT && endpoint.host.empty()) {  // a kernel without IPv6
    address = numeric("0.0.0.0", endpoint.port);
    family = AF_INET;
    socket = Fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }
  if (!socket) return fail_errno(errno, "socket");
  if (!endpoint.is_unix()) TRY(listen_tcp(socket.get(), family));
  // The mode of the file that bind makes.
  if (endpoint.is_unix()) ::fchmod(socket.get(), 0660);
  if (::bind(socket.get(), raw(address), address.size) < 0) return fail_errno(errno, "bind");
  if (::listen(socket.get(), backlog) < 0) return fail_errno(errno, "listen");
  return socket;
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view text) {
  Endpoint endpoint;
  if (text.starts_with("unix://")) {
    endpoint.path = text.substr(7);
    if (!endpoint.path.starts_with('/')) return fail("address ", text, ": a unix socket's path begins with /");
    return endpoint;
  }
  std::string_view place = text;
  if (place.starts_with("tcp://")) place.remove_prefix(6);
  const size_t colon = place.rfind(':');
  const bool any = colon == 0 || place.starts_with("*:");
  const auto port = colon == std::string_view::npos ? std::nullopt : parse_number<uint16_t>(place.substr(colon + 1));
  if (!port) return fail("address ", text, ": neither host:port nor unix:///path");
  endpoint.port = *port;
  if (any) return endpoint;
  const auto host = parse_host_port(place.substr(0, colon));
  if (!host || host->port) return fail("address ", text, ": \"", place.substr(0, colon), "\" is no host");
  endpoint.host = host->host;
  return endpoint;
}

std::string Endpoint::text() const {
  if (is_unix()) return cat("unix://", path);
  return cat(host.empty() ? "*" : join_host_port(host, 0), ":", port);
}

std::string SocketAddress::text() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    inet_ntop(AF_INET, &v4.sin_addr, buffer, sizeof buffer);
    return cat(std::string_view(buffer), ":", ntohs(v4.sin_port));
  }
  if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      inet_ntop(AF_INET, v6.sin6_addr.s6_addr + 12, buffer, sizeof buffer);
      return cat(std::string_view(buffer), ":", ntohs(v6.sin6_port));
    }
    inet_ntop(AF_INET6, &v6.sin6_addr, buffer, sizeof buffer);
    return cat("[", std::string_view(buffer), "]:", ntohs(v6.sin6_port));
  }
  return "unix";
}

Task<Result<std::vector<SocketAddress>>> resolve(std::string host, uint16_t port, Duration timeout) {
  if (host == "localhost" || host.ends_with(".localhost"))
    co_return std::vector{numeric("127.0.0.1", port), numeric("::1", port)};
  if (const SocketAddress address = numeric(host, port); address.size) co_return std::vector{address};
  co_return co_await blocking([&] { return look_up(host, port, timeout); });
}

Task<Result<Fd>> connect_tcp(std::string host, uint16_t port, Duration timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  const std::vector<SocketAddress> addresses = CO_TRY(co_await resolve(host, port, timeout));
  Result<Fd> last = fail("connect to ", host, ": no address");
  for (size_t i = 0; i < addresses.size(); ++i) {
    const auto left = std::chrono::duration_cast<Duration>(deadline - Clock::now());
    if (left.count() <= 0) break;
    last = co_await connect_address(addresses[i], left / static_cast<int>(addresses.size() - i));
    if (last) break;
  }
  if (!last && host.find(':') == std::string::npos && last.error().message().find(host) == std::string::npos)
    co_return std::unexpected(std::move(last).error().with_context(host));
  co_return last;
}

Result<Fd> connect_unix_stream(const std::string& path) {
  const SocketAddress address = TRY(unix_address(path));
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "socket");
  if (::connect(socket.get(), raw(address), address.size) < 0) return fail_errno(errno, "connect to unix://", path);
  return socket;
}

void tune_tcp(int socket) {
  const auto set = [&](int level, int option, int value) { ::setsockopt(socket, level, option, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

Result<Fd> listen_on(const Endpoint& endpoint, int backlog) {
  return TRY_CTX(open_listener(endpoint, backlog), "listen on ", endpoint.text());
}

Endpoint local_endpoint(int socket) {
  SocketAddress address;
  address.size = sizeof address.storage;
  Endpoint endpoint;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.size) < 0) return endpoint;
  if (address.storage.ss_family == AF_UNIX) {
    endpoint.path = reinterpret_cast<const sockaddr_un&>(address.storage).sun_path;
  } else if (const auto place = parse_host_port(address.text())) {
    endpoint.host = place->host;
    endpoint.port = place->port;
  }
  return endpoint;
}

}  // namespace proa::net
