#include "fabric/ports.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/text.h"

namespace proa::fabric {
namespace {

constexpr int kEphemeralAttempts = 64;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

SocketAddress socket_address(const Ip& ip, uint16_t port) {
  SocketAddress address;
  if (ip.v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, ip.data(), 4);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    std::memcpy(&in.sin6_addr, ip.data(), 16);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
  }
  return address;
}

void set_option(int socket, int level, int name, int value) { ::setsockopt(socket, level, name, &value, sizeof value); }

// What reaches the socket all the same is not kept.
void discard_input(int socket) {
  sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
  const sock_fprog program{.len = 1, .filter = nothing};
  ::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

// No descriptor when the kernel does not know the protocol (SCTP is a module): then nobody else can
// listen either. Errors are errno.
std::expected<Fd, int> hold(Protocol protocol, const Ip& ip, uint16_t& port) {
  const bool tcp = protocol == Protocol::kTcp;
  const int type = protocol == Protocol::kUdp ? SOCK_DGRAM : SOCK_STREAM;
  Fd socket(::socket(ip.family(), type | SOCK_CLOEXEC, static_cast<int>(protocol)));
  if (!socket) {
    if (protocol == Protocol::kSctp && (errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT)) return Fd();
    return std::unexpected(errno);
  }
  if (ip.v6()) set_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  // Connections of an earlier owner that linger in TIME_WAIT do not count; those who come later do.
  if (tcp) set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  SocketAddress address = socket_address(ip, port);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address.storage), address.size) != 0)
    return std::unexpected(errno);
  if (tcp) set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 0);
  if (!tcp) discard_input(socket.get());
  if (port != 0) return socket;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0)
    return std::unexpected(errno);
  uint16_t raw = 0;
  std::memcpy(&raw, reinterpret_cast<const char*>(&address.storage) + offsetof(sockaddr_in, sin_port), sizeof raw);
  port = ntohs(raw);
  return socket;
}

struct Held {
  uint16_t port = 0;
  std::vector<Fd> sockets;
};

// One host port on every address; `port` 0: any. Errors are errno, with the address that refused.
std::expected<Held, std::pair<int, Ip>> hold_all(Protocol protocol, const std::vector<Ip>& hosts, uint16_t port) {
  Held held{.port = port, .sockets = {}};
  for (const Ip& ip : hosts) {
    auto socket = hold(protocol, ip, held.port);
    if (!socket) return std::unexpected(std::pair(socket.error(), ip));
    if (*socket) held.sockets.push_back(*std::move(socket));
  }
  if (held.port == 0) return std::unexpected(std::pair(EPROTONOSUPPORT, hosts.front()));
  return held;
}

Failure refused(int error, const Ip& ip, uint16_t first, uint16_t last) {
  if (error == EADDRINUSE && first != last)
    return Failure(
        Error(cat("Bind for ", ip.text(), ":", first, "-", last, " failed: all ports are allocated"), EADDRINUSE));
  if (error == EADDRINUSE)
    return Failure(Error(cat("Bind for ", host_text(ip, first), " failed: port is already allocated"), EADDRINUSE));
  if (error == EADDRNOTAVAIL)
    return Failure(Error(cat("Bind for ", host_text(ip, first), " failed: this host has no such address"), error));
  return fail_errno(error, "Bind for ", host_text(ip, first), " failed");
}

// The first of a range that is free on every address.
Result<Held> hold_first(Protocol protocol, const std::vector<Ip>& hosts, uint16_t first, uint16_t last) {
  const int tries = first == 0 ? kEphemeralAttempts : last - first + 1;
  std::pair<int, Ip> error;
  for (int i = 0; i < tries; ++i) {
    auto held = hold_all(protocol, hosts, static_cast<uint16_t>(first == 0 ? 0 : first + i));
    if (held) return *std::move(held);
    error = held.error();
    if (error.first != EADDRINUSE) break;
  }
  return refused(error.first, error.second, first, last);
}

std::vector<Ip> host_addresses(const PortRequest& request, const Network& network, const Endpoint& endpoint) {
  if (request.host_ip.given()) return {request.host_ip};
  if (network.host_binding.given()) return {network.host_binding};
  std::vector<Ip> hosts;
  if (endpoint.ipv4.given()) hosts.push_back(Ip::any(AF_INET));
  if (endpoint.ipv6.given()) hosts.push_back(Ip::any(AF_INET6));
  return hosts;
}

Result<> reserve_one(const PortRequest& request, const std::vector<Ip>& hosts, Reservation& all) {
  const int count = request.container_last - request.container_first + 1;
  const int host_count = request.host_last - request.host_first + 1;
  const bool range_to_one = count == 1 && request.host_first != 0;
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<uint16_t>(request.host_first == 0 ? 0 : request.host_first + i);
    const uint16_t last = range_to_one ? static_cast<uint16_t>(at + host_count - 1) : at;
    Held held = TRY(hold_first(request.protocol, hosts, at, last));
    for (const Ip& ip : hosts)
      all.ports.push_back({.protocol = request.protocol,
                           .host_ip = ip,
                           .host_port = held.port,
                           .container_port = static_cast<uint16_t>(request.container_first + i)});
    for (Fd& socket : held.sockets) all.sockets.push_back(std::move(socket));
  }
  return {};
}

Result<std::pair<uint16_t, uint16_t>> parse_range(std::string_view text, std::string_view whole) {
  std::string_view rest = text;
  const auto first = parse_number<uint16_t>(cut(rest, '-'));
  const auto last = text.contains('-') ? parse_number<uint16_t>(rest) : first;
  if (!first || !last || *first == 0 || *last < *first)
    return fail("invalid port \"", text, "\" in \"", whole, "\"").hint("ports are numbers from 1 to 65535");
  return std::pair(*first, *last);
}

Result<Protocol> parse_protocol(std::string_view text, std::string_view whole) {
  for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp})
    if (text == protocol_name(protocol)) return protocol;
  return fail("invalid protocol \"", text, "\" in \"", whole, "\"").hint("tcp, udp or sctp");
}

}  // namespace

std::string_view protocol_name(Protocol protocol) {
  return protocol == Protocol::kTcp ? "tcp" : protocol == Protocol::kUdp ? "udp" : "sctp";
}

std::string host_text(const Ip& ip, uint16_t port) {
  return ip.v6() ? cat("[", ip.text(), "]:", port) : cat(ip.text(), ":", port);
}

std::string Port::text() const {
  return cat(host_text(host_ip, host_port), "->", container_port, "/", protocol_name(protocol));
}

Result<PortRequest> parse_port(std::string_view text) {
  PortRequest request;
  std::string_view rest = text;
  if (const size_t slash = rest.rfind('/'); slash != std::string_view::npos) {
    request.protocol = TRY(parse_protocol(rest.substr(slash + 1), text));
    rest = rest.substr(0, slash);
  }
  const size_t colon = rest.rfind(':');
  const std::string_view container = colon == std::string_view::npos ? rest : rest.substr(colon + 1);
  std::tie(request.container_first, request.container_last) = TRY(parse_range(container, text));
  if (colon == std::string_view::npos) return request;
  rest = rest.substr(0, colon);
  const size_t before = rest.ends_with(']') ? rest.size() : rest.rfind(':');
  const std::string_view host =
      before == std::string_view::npos ? rest : rest.substr(std::min(before + 1, rest.size()));
  std::string_view ip = before == std::string_view::npos ? std::string_view() : rest.substr(0, before);
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  if (!ip.empty()) request.host_ip = TRY_CTX(Ip::parse(ip), "invalid IP address in \"", text, "\"");
  if (host.empty()) return request;
  std::tie(request.host_first, request.host_last) = TRY(parse_range(host, text));
  const int containers = request.container_last - request.container_first,
            hosts = request.host_last - request.host_first;
  if (containers != 0 && containers != hosts)
    return fail("invalid ranges specified for container and host ports: ", container, " and ", host);
  return request;
}

Result<Reservation> reserve(const std::vector<PortRequest>& requests, const Network& network,
                            const Endpoint& endpoint) {
  Reservation all;
  for (const PortRequest& request : requests) {
    const std::vector<Ip> hosts = host_addresses(request, network, endpoint);
    for (const Ip& ip : hosts) {
      if (ip.v6() && ip.loopback())
        return fail("port ", request.container_first, ": cannot be published on ::1")
            .hint("publish on 127.0.0.1, or on another address of the host");
      if (!(ip.v4() ? endpoint.ipv4 : endpoint.ipv6).given())
        return fail("port ", request.container_first, ": network ", network.name, " has no address of ",
                    ip.v4() ? "IPv4" : "IPv6", " to publish on ", ip.text());
    }
    TRY(reserve_one(request, hosts, all));
  }
  return all;
}

}  // namespace proa::fabric
