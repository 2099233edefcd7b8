// Network devices over rtnetlink: bring up, list, count, move between namespaces.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/netlink.h"

namespace proa::kernel {

// Brings "lo" of the calling thread's network namespace up: one ioctl, which is cheaper than a
// netlink exchange. A new namespace starts with it down.
Result<> loopback_up();

// Counters since the device was made (rtnl_link_stats64).
struct LinkStatistics {
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

struct Link {
  int index = 0;
  std::string name;
  std::string kind;    // "veth", "dummy", ...; empty for hardware and loopback
  uint32_t flags = 0;  // IFF_*
  uint32_t mtu = 0;
  int master = 0;  // index of the bridge it is a port of; 0: none
  std::vector<uint8_t> mac;
  LinkStatistics statistics;

  bool up() const;
};

struct Address {
  int link_index = 0;
  uint8_t family = 0;  // AF_INET, AF_INET6
  uint8_t prefix_length = 0;
  uint8_t scope = 0;   // RT_SCOPE_*
  uint32_t flags = 0;  // IFA_F_*
  // Raw, in network order; as long as the family's addresses. `peer` equals `local` unless the link
  // is point-to-point.
  std::vector<uint8_t> local, peer, broadcast;

  std::string text() const;  // "10.0.0.2/24"
};

Result<std::vector<Link>> list_links(Netlink& route);
// All families, every link.
Result<std::vector<Address>> list_addresses(Netlink& route);
Result<> set_link_up(Netlink& route, int index);
Result<> add_address(Netlink& route, const Address& address);

// One message of an RTM_GETLINK / RTM_GETADDR answer. Errors on malformed bytes; unknown attributes
// are passed over.
Result<Link> parse_link(const MessageView& message);
Result<Address> parse_address(const MessageView& message);

// Whether the kernel would take `name` for a device; "%d" once is a template.
bool valid_link_name(std::string_view name);

// Moves device `name` of this thread's namespace into the one behind `netns_fd`, there called
// `new_name` (a "%d" in it: the kernel picks the number), keeping its permanent addresses of global
// scope, and brings it up (runtime-spec, config-linux.md, "Network Devices"). An existing device of
// the new name is an error. When a later step fails the device is brought back. Returns its name in
// the new namespace. Needs CAP_NET_ADMIN in both.
Result<std::string> move_link(const std::string& name, int netns_fd, const std::string& new_name);

}  // namespace proa::kernel
