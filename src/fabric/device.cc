#include "fabric/device.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "fabric/firewall.h"
#include "fabric/namespace.h"
#include "kernel/file.h"
#include "kernel/route.h"

namespace proa::fabric {
namespace {

using kernel::Message;

constexpr int kMostInterfaces = 256;
constexpr kernel::Mac kEntryMac{0x02, 0x70, 0x72, 0x6f, 0x61, 0x01};
constexpr uint32_t kEntryMtu = 65535;

// A kernel without IPv6 has none of its files.
Result<> write_sysctl(const std::string& name, std::string_view value, bool may_lack = false) {
  Result<> done = kernel::write_file(cat("/proc/sys/net/", name).c_str(), value);
  if (!done && may_lack && done.error().code() == ENOENT) return {};
  return done;
}

std::string read_sysctl(const std::string& name) {
  return kernel::read_file(cat("/proc/sys/net/", name).c_str(), 4096).value_or("");
}

kernel::Address interface_address(int index, const Ip& ip, uint8_t length) {
  kernel::Address address{.link_index = index,
                          .family = static_cast<uint8_t>(ip.family()),
                          .prefix_length = length,
                          .scope = RT_SCOPE_UNIVERSE,
                          .flags = ip.v6() ? uint32_t{IFA_F_NODAD} : 0u,  // usable at once: nobody else can have it
                          .local = ip.bytes(),
                          .peer = ip.bytes(),
                          .broadcast = {}};
  if (ip.v4() && length < 31) address.broadcast = Prefix{ip, length}.last().bytes();
  return address;
}

Result<int> index_of(kernel::Netlink& route, const std::string& name) {
  const auto link = TRY(kernel::find_link(route, name));
  if (!link) return fail_errno(ENODEV, "network device ", name);
  return link->index;
}

Result<int> make_bridge(kernel::Netlink& route, const Network& network) {
  const Subnet* v4 = network.subnet(AF_INET);
  const Subnet* v6 = network.subnet(AF_INET6);
  const Ip& source = v4 != nullptr ? v4->gateway : v6->gateway;
  Message message = kernel::add_bridge_message({.name = network.bridge, .mtu = network.mtu, .mac = mac_for(source)});
  const Result<> made = route.request(message);
  if (!made && made.error().code() != EEXIST) return std::unexpected(made.error());
  const int index = TRY(index_of(route, network.bridge));
  const std::string v6_off = cat("ipv6/conf/", network.bridge, "/disable_ipv6");
  TRY(write_sysctl(v6_off, v6 != nullptr ? "0" : "1", true));
  if (v6 != nullptr) {
    TRY(write_sysctl(cat("ipv6/conf/", network.bridge, "/accept_ra"), "0"));
    // The kernel asks for no neighbour of a forwarded packet before the bridge's own link-local address has
    // been found unique, which takes seconds; nobody else can have it.
    TRY(write_sysctl(cat("ipv6/conf/", network.bridge, "/accept_dad"), "0"));
  }
  // Connections from the host's 127.0.0.1 to published ports come out here (firewall.cc guards it).
  TRY(write_sysctl(cat("ipv4/conf/", network.bridge, "/route_localnet"), "1"));
  std::vector<Message> setup;
  setup.reserve(network.subnets.size());
  for (const Subnet& subnet : network.subnets)
    setup.push_back(kernel::add_address_message(interface_address(index, subnet.gateway, subnet.prefix.length)));
  for (Message& one : setup)
    if (const Result<> done = route.request(one); !done && done.error().code() != EEXIST)
      return std::unexpected(done.error());
  return index;
}

// Hosts configured by router advertisements ignore these once they forward, unless told otherwise.
void keep_router_advertisements() {
  for (const std::string& device : kernel::names_in("/proc/sys/net/ipv6/conf").value_or(std::vector<std::string>{})) {
    const std::string name = cat("ipv6/conf/", device, "/accept_ra");
    if (read_sysctl(name).starts_with('1')) static_cast<void>(write_sysctl(name, "2"));
  }
}

std::vector<Message> default_routes(int index, const Endpoint& endpoint) {
  std::vector<Message> routes;
  for (const Ip& gateway : {endpoint.gateway, endpoint.gateway6})
    if (gateway.given())
      routes.push_back(kernel::add_route_message({.family = static_cast<uint8_t>(gateway.family()),
                                                  .prefix_length = 0,
                                                  .destination = {},
                                                  .gateway = gateway.bytes(),
                                                  .preferred_source = {},
                                                  .link_index = index}));
  return routes;
}

// In the container's namespace.
Result<> configure(const Endpoint& endpoint) {
  const std::string conf = cat("ipv6/conf/", endpoint.interface);
  const bool ipv6 = endpoint.ipv6.given() || std::ranges::any_of(endpoint.link_local, &Ip::v6);
  TRY(write_sysctl(cat(conf, "/disable_ipv6"), ipv6 ? "0" : "1", true));
  // The address may have been another container's a moment ago: the bridge learns at once where it is now.
  const std::string notify =
      endpoint.ipv4.given() ? cat("ipv4/conf/", endpoint.interface, "/arp_notify") : cat(conf, "/ndisc_notify");
  TRY(write_sysctl(notify, "1"));
  kernel::Netlink inside = TRY(kernel::Netlink::open(NETLINK_ROUTE));
  const int index = TRY(index_of(inside, endpoint.interface));
  std::vector<Message> steps;
  if (endpoint.ipv4.given())
    steps.push_back(kernel::add_address_message(interface_address(index, endpoint.ipv4, endpoint.ipv4_length)));
  if (endpoint.ipv6.given())
    steps.push_back(kernel::add_address_message(interface_address(index, endpoint.ipv6, endpoint.ipv6_length)));
  for (const Ip& ip : endpoint.link_local) {
    kernel::Address address = interface_address(index, ip, ip.v4() ? 16 : 64);
    address.scope = RT_SCOPE_LINK;
    steps.push_back(kernel::add_address_message(address));
  }
  steps.push_back(kernel::set_link_up_message(index));
  if (endpoint.default_route)
    for (Message& route : default_routes(index, endpoint)) steps.push_back(std::move(route));
  TRY_CTX(inside.batch(steps), "set up ", endpoint.interface);
  // "ipv4.conf.log_martians" is ipv4/conf/eth0/log_martians.
  for (const auto& [key, value] : endpoint.sysctls) {
    const auto part = split(key, '.');
    TRY_CTX(write_sysctl(cat(part[0], "/", part[1], "/", endpoint.interface, "/", part[2]), value), "sysctl net.",
            part[0], ".", part[1], ".", endpoint.interface, ".", part[2]);
  }
  return {};
}

Result<> make_pair(kernel::Netlink& route, const Network& network, int bridge_index, int netns_fd, Endpoint& endpoint,
                   bool name_given) {
  for (int number = 0; number < kMostInterfaces; ++number) {
    if (!name_given) endpoint.interface = cat("eth", number);
    Message pair = kernel::add_veth_message(
        {.name = endpoint.host_interface, .mac = {}, .master = bridge_index},
        {.name = endpoint.interface, .mac = TRY(parse_mac(endpoint.mac)), .netns_fd = netns_fd, .up = false},
        network.mtu);
    Result<> made = route.request(pair);
    if (made) return {};
    if (made.error().code() != EEXIST || name_given) return made;
  }
  return fail_errno(EEXIST, "every interface name from eth0 on");
}

// With br_netfilter a container's way to its own published port ends at the port of the bridge it came in by.
Result<> set_up_port(kernel::Netlink& route, const Network& network, const Endpoint& endpoint, bool publishes) {
  const bool hairpin = publishes && read_sysctl("bridge/bridge-nf-call-iptables").starts_with('1');
  if (network.icc && !hairpin) return {};
  const int index = TRY(index_of(route, endpoint.host_interface));
  Message message = kernel::set_bridge_port_message(index, {.isolated = !network.icc, .hairpin = hairpin});
  TRY_CTX(route.request(message), "set up bridge port ", endpoint.host_interface);
  return {};
}

}  // namespace

Result<int> ensure_bridge(kernel::Netlink& route, const Network& network, bool& made) {
  made = false;
  const auto link = TRY(kernel::find_link(route, network.bridge));
  if (link && link->kind != "bridge")
    return fail("network ", network.name, ": device ", network.bridge, " is there and is not a bridge");
  if (link && link->up()) return link->index;
  made = true;
  return TRY_CTX(make_bridge(route, network), "make bridge ", network.bridge);
}

Result<int> ensure_entry(kernel::Netlink& route, const Names& names, bool& made) {
  made = false;
  const std::string &out = names.entry_out, &in = names.entry_in;
  if (const auto link = TRY(kernel::find_link(route, out)); link && link->up()) return link->index;
  made = true;
  TRY(kernel::delete_link(route, out));
  Message pair = kernel::add_veth_message({.name = out, .mac = kEntryMac, .arp = false},
                                          {.name = in, .mac = kEntryMac, .arp = false, .up = false}, kEntryMtu);
  TRY_CTX(route.request(pair), "make device ", out);
  const int inner = TRY(index_of(route, in));
  // Clients are routed elsewhere than here: a strict reverse path check would drop them. The loose one
  // wants some address on the device (192.0.0.8 stands for none, RFC 7600).
  TRY(write_sysctl(cat("ipv4/conf/", in, "/rp_filter"), "2"));
  kernel::Address address = interface_address(inner, TRY(Ip::parse("192.0.0.8")), 32);
  address.scope = RT_SCOPE_HOST;
  TRY(kernel::add_address(route, address));
  TRY(kernel::set_link_up(route, inner));
  return index_of(route, out);
}

Result<> remove_entry(kernel::Netlink& route, const Names& names) {
  return kernel::delete_link(route, names.entry_out);
}

Result<> enable_forwarding(bool ipv6) {
  if (!read_sysctl("ipv4/ip_forward").starts_with('1')) TRY(write_sysctl("ipv4/ip_forward", "1"));
  if (!ipv6 || read_sysctl("ipv6/conf/all/forwarding").starts_with('1')) return {};
  keep_router_advertisements();
  return write_sysctl("ipv6/conf/all/forwarding", "1");
}

Result<> wire(kernel::Netlink& route, const Network& network, int bridge_index, int netns_fd, Endpoint& endpoint,
              bool name_given, bool publishes) {
  TRY_CTX(make_pair(route, network, bridge_index, netns_fd, endpoint, name_given), "make device ",
          endpoint.host_interface);
  Defer undo([&] { static_cast<void>(kernel::delete_link(route, endpoint.host_interface)); });
  TRY(set_up_port(route, network, endpoint, publishes));
  {
    const Visit visit = TRY(Visit::enter(netns_fd));
    TRY(configure(endpoint));
  }
  undo.dismiss();
  return {};
}

Result<> adopt(kernel::Netlink& route, const Network& network, int bridge_index,
               const std::vector<Endpoint>& endpoints) {
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.network_id != network.id) continue;
    Message message = kernel::set_master_message(endpoint.host_interface, bridge_index);
    const Result<> done = route.request(message);
    if (!done && done.error().code() == ENODEV) continue;
    TRY_CTX(Result<>(done), "connect ", endpoint.host_interface, " to ", network.bridge);
    TRY(set_up_port(route, network, endpoint, !endpoint.ports.empty()));
  }
  return {};
}

Result<> remove_strays(kernel::Netlink& route, const std::vector<Network>& networks,
                       const std::vector<Endpoint>& endpoints) {
  const std::vector<kernel::Link> links = TRY(kernel::list_links(route));
  const auto is_bridge = [&](int index) {
    return std::ranges::any_of(links, [&](const kernel::Link& link) {
      return link.index == index && std::ranges::find(networks, link.name, &Network::bridge) != networks.end();
    });
  };
  for (const kernel::Link& link : links) {
    if (link.master != 0 && !is_bridge(link.master)) continue;
    const bool ours = link.kind == "veth" && link.name.starts_with(kHostPrefix) &&
                      link.name.size() == kHostPrefix.size() + 12 &&
                      link.name.find_first_not_of("0123456789abcdef", kHostPrefix.size()) == std::string::npos;
    const auto has = [&](const Endpoint& endpoint) { return endpoint.host_interface == link.name; };
    if (ours && std::ranges::none_of(endpoints, has)) TRY(kernel::delete_link(route, link.name));
  }
  return {};
}

Result<> set_default_route(int netns_fd, const Endpoint& endpoint) {
  kernel::Netlink inside = TRY(kernel::Netlink::open_in(netns_fd, NETLINK_ROUTE));
  std::vector<Message> routes = default_routes(TRY(index_of(inside, endpoint.interface)), endpoint);
  return inside.batch(routes);
}

bool is_link_local(const Ip& ip) {
  const uint8_t* bytes = ip.data();
  if (ip.v4()) return bytes[0] == 169 && bytes[1] == 254;
  return ip.v6() && bytes[0] == 0xfe && bytes[1] == 0x80 &&
         std::all_of(bytes + 2, bytes + 8, [](uint8_t b) { return b == 0; });
}

Result<kernel::Mac> parse_mac(std::string_view text) {
  kernel::Mac mac{};
  unsigned part[6];
  char end = 0;
  const std::string whole(text);
  if (std::sscanf(whole.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", &part[0], &part[1], &part[2], &part[3], &part[4],
                  &part[5], &end) != 6)
    return fail("\"", text, "\" is not a MAC address").hint("write it like 02:42:ac:11:00:02");
  for (size_t i = 0; i < mac.size(); ++i) mac[i] = static_cast<uint8_t>(part[i]);
  if ((mac[0] & 1) != 0) return fail("MAC address ", text, ": is a multicast address");
  return mac;
}

std::string mac_text(const kernel::Mac& mac) {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return text;
}

kernel::Mac mac_for(const Ip& ip) {
  const uint8_t* tail = ip.data() + ip.size() - 4;
  return {0x02, 0x42, tail[0], tail[1], tail[2], tail[3]};
}

}  // namespace proa::fabric
