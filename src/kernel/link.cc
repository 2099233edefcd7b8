#include "kernel/link.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cctype>

#include "base/fd.h"
#include "kernel/file.h"
#include "kernel/link_make.h"
#include "kernel/sys.h"

namespace proa::kernel {
namespace {

constexpr CallShape kSocket{SYS_socket, "socket", "dxd"};
constexpr CallShape kIoctl{SYS_ioctl, "ioctl", "dxp"};

// Flags of an address that still mean something in another namespace.
constexpr uint32_t kKeptAddressFlags = IFA_F_NOPREFIXROUTE | IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MCAUTOJOIN;

size_t address_size(uint8_t family) { return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0; }

std::vector<uint8_t> to_vector(Bytes bytes) {
  const auto* first = reinterpret_cast<const uint8_t*>(bytes.data());
  return {first, first + bytes.size()};
}

LinkStatistics to_statistics(const rtnl_link_stats64& raw) {
  return {.rx_bytes = raw.rx_bytes,
          .rx_packets = raw.rx_packets,
          .rx_errors = raw.rx_errors,
          .rx_dropped = raw.rx_dropped,
          .tx_bytes = raw.tx_bytes,
          .tx_packets = raw.tx_packets,
          .tx_errors = raw.tx_errors,
          .tx_dropped = raw.tx_dropped};
}

// Older kernels send a shorter structure: what is missing stays zero.
rtnl_link_stats64 padded_statistics(Bytes payload) {
  rtnl_link_stats64 raw{};
  std::memcpy(&raw, payload.data(), std::min(payload.size(), sizeof raw));
  return raw;
}

Result<std::string> parse_kind(Bytes link_info) {
  AttributeReader attributes(link_info);
  while (const std::optional<Attribute> attribute = TRY(attributes.next()))
    if (attribute->type == IFLA_INFO_KIND) return std::string(attribute->text());
  return std::string();
}

Result<> send_link(Netlink& route, int index, int netns_fd, const std::string& name) {
  Message message(RTM_NEWLINK);
  message.header(ifinfomsg{
      .ifi_family = AF_UNSPEC, .__ifi_pad = 0, .ifi_type = 0, .ifi_index = index, .ifi_flags = 0, .ifi_change = 0});
  message.add_string(IFLA_IFNAME, name).add_number(IFLA_NET_NS_FD, static_cast<uint32_t>(netns_fd));
  return route.request(message);
}

const Link* find_link(const std::vector<Link>& links, std::string_view name) {
  const auto found = std::ranges::find(links, name, &Link::name);
  return found == links.end() ? nullptr : &*found;
}

// "eth%d" becomes the first of eth0, eth1, ... that is free, as the kernel does it. (Left to the kernel
// it is worked out twice when the old name is taken there, and a number is skipped.)
std::string fill_template(const std::string& name, const std::vector<Link>& links) {
  const size_t percent = name.find("%d");
  if (percent == std::string::npos) return name;
  for (size_t number = 0;; ++number) {
    std::string candidate = name;
    candidate.replace(percent, 2, std::to_string(number));
    if (find_link(links, candidate) == nullptr) return candidate;
  }
}

// The addresses that go along: permanent, of global scope.
std::vector<Address> lasting_addresses(std::vector<Address> all, int link_index) {
  std::erase_if(all, [&](const Address& address) {
    return address.link_index != link_index || (address.flags & IFA_F_PERMANENT) == 0 ||
           address.scope != RT_SCOPE_UNIVERSE;
  });
  return all;
}

Result<> settle(Netlink& route, int index, std::vector<Address> addresses, bool up) {
  for (Address& address : addresses) {
    address.link_index = index;
    address.flags &= kKeptAddressFlags;
    TRY_CTX(add_address(route, address), "address ", address.text());
  }
  return up ? set_link_up(route, index) : Result<>{};
}

// The undo of a move, as far as it goes.
void bring_back(Netlink& there, int index_there, Netlink& here, int netns_here, const Link& device,
                const std::vector<Address>& addresses) {
  if (!send_link(there, index_there, netns_here, device.name)) return;
  const Result<std::vector<Link>> links = list_links(here);
  const Link* back = links ? find_link(*links, device.name) : nullptr;
  if (back != nullptr) static_cast<void>(settle(here, back->index, addresses, device.up()));
}

}  // namespace

Result<> loopback_up() {
  // Any socket family reaches the device ioctls (netdevice(7)); AF_UNIX is the cheapest to make.
  Fd socket = TRY(check_fd(call(kSocket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", sizeof "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return check_ok(call(kIoctl, socket.get(), SIOCSIFFLAGS, &request), "bring up the loopback device");
}

bool Link::up() const { return (flags & IFF_UP) != 0; }

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN] = "?";
  if (local.size() == address_size(family) && !local.empty()) inet_ntop(family, local.data(), buffer, sizeof buffer);
  return cat(buffer, "/", prefix_length);
}

Result<Link> parse_link(const MessageView& message) {
  const auto fixed = message.header<ifinfomsg>();
  if (!fixed) return fail("netlink: a link's description is too short");
  Link link{.index = fixed->ifi_index,
            .name = {},
            .kind = {},
            .flags = fixed->ifi_flags,
            .mtu = 0,
            .mac = {},
            .statistics = {}};
  AttributeReader attributes(message.attributes(sizeof(ifinfomsg)));
  while (const std::optional<Attribute> attribute = TRY(attributes.next())) {
    switch (attribute->type) {
      case IFLA_IFNAME: link.name = attribute->text(); break;
      case IFLA_MTU: link.mtu = attribute->value<uint32_t>().value_or(0); break;
      case IFLA_ADDRESS: link.mac = to_vector(attribute->payload); break;
      case IFLA_STATS64: link.statistics = to_statistics(padded_statistics(attribute->payload)); break;
      case IFLA_MASTER: link.master = attribute->value<int>().value_or(0); break;
      case IFLA_LINKINFO: link.kind = TRY(parse_kind(attribute->payload)); break;
      default: break;
    }
  }
  return link;
}

Result<Address> parse_address(const MessageView& message) {
  const auto fixed = message.header<ifaddrmsg>();
  if (!fixed) return fail("netlink: an address's description is too short");
  Address address{.link_index = static_cast<int>(fixed->ifa_index),
                  .family = fixed->ifa_family,
                  .prefix_length = fixed->ifa_prefixlen,
                  .scope = fixed->ifa_scope,
                  .flags = fixed->ifa_flags,
                  .local = {},
                  .peer = {},
                  .broadcast = {}};
  AttributeReader attributes(message.attributes(sizeof(ifaddrmsg)));
  while (const std::optional<Attribute> attribute = TRY(attributes.next())) {
    switch (attribute->type) {
      case IFA_ADDRESS: address.peer = to_vector(attribute->payload); break;
      case IFA_LOCAL: address.local = to_vector(attribute->payload); break;
      case IFA_BROADCAST: address.broadcast = to_vector(attribute->payload); break;
      // The fixed part has only eight bits of them.
      case IFA_FLAGS: address.flags = attribute->value<uint32_t>().value_or(address.flags); break;
      default: break;
    }
  }
  // IPv6 sends IFA_LOCAL only for point-to-point links.
  if (address.local.empty()) address.local = address.peer;
  if (address.local.size() != address_size(address.family) || address.peer.size() != address.local.size())
    return fail("netlink: an address of family ", address.family, " with ", address.local.size(), " bytes");
  return address;
}

Result<std::vector<Link>> list_links(Netlink& route) {
  std::vector<Link> links;
  Message query(RTM_GETLINK);
  query.header(ifinfomsg{});
  const auto visit = [&](const MessageView& message) -> Result<> {
    if (message.type == RTM_NEWLINK) links.push_back(TRY(parse_link(message)));
    return {};
  };
  TRY_CTX(route.dump(query, visit, [&] { links.clear(); }), "list network devices");
  return links;
}

Result<std::vector<Address>> list_addresses(Netlink& route) {
  std::vector<Address> addresses;
  Message query(RTM_GETADDR);
  query.header(ifaddrmsg{});
  const auto visit = [&](const MessageView& message) -> Result<> {
    const auto fixed = message.header<ifaddrmsg>();
    if (message.type != RTM_NEWADDR || !fixed || address_size(fixed->ifa_family) == 0) return {};
    addresses.push_back(TRY(parse_address(message)));
    return {};
  };
  TRY_CTX(route.dump(query, visit, [&] { addresses.clear(); }), "list network addresses");
  return addresses;
}

Result<> set_link_up(Netlink& route, int index) {
  Message message = set_link_up_message(index);
  TRY_CTX(route.request(message), "bring up device ", index);
  return {};
}

Result<> add_address(Netlink& route, const Address& address) {
  Message message = add_address_message(address);
  return route.request(message);
}

bool valid_link_name(std::string_view name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == "..") return false;
  const size_t percent = name.find('%');
  if (percent != std::string_view::npos &&
      (name.substr(percent, 2) != "%d" || name.find('%', percent + 1) != std::string_view::npos))
    return false;
  return std::ranges::none_of(name,
                              [](unsigned char c) { return c == '/' || c == ':' || std::isspace(c) != 0 || c == 0; });
}

Result<std::string> move_link(const std::string& name, int netns_fd, const std::string& new_name) {
  if (!valid_link_name(name) || name.contains('%')) return fail("\"", name, "\": not a name of a network device");
  if (!valid_link_name(new_name)) return fail("\"", new_name, "\": not a name for a network device");
  Fd home = TRY(open("/proc/thread-self/ns/net", O_RDONLY));
  Netlink here = TRY(Netlink::open(NETLINK_ROUTE));
  Netlink there = TRY(Netlink::open_in(netns_fd, NETLINK_ROUTE));
  const std::vector<Link> links = TRY(list_links(here));
  const Link* device = find_link(links, name);
  if (device == nullptr) return fail_errno(ENODEV, "network device ", name);
  // Asked before the addresses go: closing the device, which moving does, drops those of IPv6.
  const std::vector<Address> addresses = lasting_addresses(TRY(list_addresses(here)), device->index);

  const std::vector<Link> before = TRY(list_links(there));
  const std::string target = fill_template(new_name, before);
  if (find_link(before, target) != nullptr)
    return fail_errno(EEXIST, "network device ", name, ": the container has a device ", target);
  TRY_CTX(send_link(here, device->index, netns_fd, target), "move network device ", name);

  const std::vector<Link> after = TRY(list_links(there));
  const Link* moved = find_link(after, target);
  if (moved == nullptr) return fail("network device ", name, ": not found in the container after the move");
  if (Result<> settled = settle(there, moved->index, addresses, /*up=*/true); !settled) {
    bring_back(there, moved->index, here, home.get(), *device, addresses);
    return std::unexpected(std::move(settled).error().with_context(cat("network device ", name)));
  }
  return moved->name;
}

}  // namespace proa::kernel
