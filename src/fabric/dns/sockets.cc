#include "fabric/dns/sockets.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <net/if.h>

#include <cstring>

#include "base/text.h"
#include "fabric/fabric.h"
#include "fabric/namespace.h"
#include "kernel/file.h"
#include "kernel/nft.h"

namespace proa::fabric::dns {
namespace {

namespace nft = kernel::nft;

constexpr std::string_view kTable = "proa-dns";
constexpr auto kFamily = nft::Family::kIp;
constexpr uint16_t kPort = 53;
// Queries are readdressed before the kernel's connection tracking sees them, answers after it did: it
// knows both by the listener's port.
constexpr int kBeforeTracking = -300, kAfterTracking = -150;
constexpr uint32_t kSource = 12, kDestination = 16;  // addresses in an IPv4 header
constexpr uint32_t kSourcePort = 0, kDestinationPort = 2;

sockaddr_in resolver_address(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, std::string(kResolverAddress).c_str(), &address.sin_addr);
  return address;
}

Result<Fd> bound(int type, uint16_t& port) {
  Fd socket(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(errno, "socket");
  sockaddr_in address = resolver_address(0);
  socklen_t size = sizeof address;
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return fail_errno(errno, "bind to ", kResolverAddress);
  port = ntohs(address.sin_port);
  return socket;
}

// Packets of `protocol` whose address and port at the offsets are the resolver's and `from` get port `to`.
nft::Rule readdress(uint8_t protocol, uint32_t address_at, uint32_t port_at, uint16_t from, uint16_t to) {
  const sockaddr_in resolver = resolver_address(0);
  const uint16_t before = htons(from), after = htons(to);
  return nft::Rule()
      .payload(NFT_PAYLOAD_NETWORK_HEADER, address_at, 4, 0)
      .equal(0, std::as_bytes(std::span(&resolver.sin_addr, 1)))
      .meta(NFT_META_L4PROTO, 0)
      .equal_number(0, protocol)
      .payload(NFT_PAYLOAD_TRANSPORT_HEADER, port_at, 2, 0)
      .equal_number(0, before)
      .immediate(0, std::as_bytes(std::span(&after, 1)))
      .store_payload(NFT_PAYLOAD_TRANSPORT_HEADER, port_at, 2, 0, protocol == IPPROTO_UDP ? 6 : 16);
}

Result<> install_table(uint16_t udp_port, uint16_t tcp_port) {
  nft::Batch batch;
  batch.destroy_table(kFamily, kTable).add_table(kFamily, kTable);
  batch.add_chain(kFamily, kTable, "queries", nft::BaseChain{"filter", NF_INET_LOCAL_OUT, kBeforeTracking, NF_ACCEPT});
  batch.add_chain(kFamily, kTable, "answers", nft::BaseChain{"filter", NF_INET_LOCAL_OUT, kAfterTracking, NF_ACCEPT});
  for (const auto& [protocol, port] : {std::pair<uint8_t, uint16_t>{IPPROTO_UDP, udp_port}, {IPPROTO_TCP, tcp_port}}) {
    batch.add_rule(kFamily, kTable, "queries", readdress(protocol, kDestination, kDestinationPort, kPort, port));
    batch.add_rule(kFamily, kTable, "answers", readdress(protocol, kSource, kSourcePort, port, kPort));
  }
  kernel::Netlink netfilter = TRY(kernel::Netlink::open(NETLINK_NETFILTER));
  return batch.commit(netfilter);
}

}  // namespace

Result<Listeners> listen_in(int netns_fd) {
  const Visit visit = TRY(Visit::enter(netns_fd));
  uint16_t udp_port = 0, tcp_port = 0;
  Listeners listeners;
  listeners.udp = TRY(bound(SOCK_DGRAM, udp_port));
  listeners.tcp = TRY(bound(SOCK_STREAM, tcp_port));
  if (::listen(listeners.tcp.get(), 64) != 0) return fail_errno(errno, "listen on ", kResolverAddress);
  TRY(install_table(udp_port, tcp_port));
  return listeners;
}

Result<> remove_rules_in(int netns_fd) {
  kernel::Netlink netfilter = TRY(kernel::Netlink::open_in(netns_fd, NETLINK_NETFILTER));
  nft::Batch batch;
  batch.destroy_table(kFamily, kTable);
  return batch.commit(netfilter);
}

std::optional<SocketAddress> server_address(const std::string& text) {
  const size_t percent = text.find('%');
  const Result<Ip> ip = Ip::parse(text.substr(0, percent));
  if (!ip) return std::nullopt;
  SocketAddress address;
  if (ip->v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(kPort);
    std::memcpy(&in.sin_addr, ip->data(), 4);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(kPort);
    std::memcpy(&in.sin6_addr, ip->data(), 16);
    if (percent != std::string::npos) in.sin6_scope_id = ::if_nametoindex(text.c_str() + percent + 1);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
  }
  return address;
}

std::vector<std::string> host_servers() {
  std::vector<std::string> servers;
  const std::string text = kernel::read_file("/etc/resolv.conf", 64u << 10).value_or("");
  for (const std::string_view line : split(text, '\n')) {
    const std::vector<std::string_view> words = split(line, ' ');
    if (words.size() >= 2 && words[0] == "nameserver") servers.emplace_back(words[1]);
  }
  return servers;
}

}  // namespace proa::fabric::dns
