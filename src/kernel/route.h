// Routes, neighbours and routing rules over rtnetlink. Each _message only builds its request, for
// Netlink::batch(). Addresses are raw, in network order: four bytes or sixteen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/link_make.h"
#include "kernel/netlink.h"

namespace proa::kernel {

struct Route {
  uint8_t family = 0;
  uint8_t prefix_length = 0;         // 0: the default route
  std::vector<uint8_t> destination;  // may be empty with prefix_length 0
  std::vector<uint8_t> gateway;      // empty: on the link
  std::vector<uint8_t> preferred_source;
  int link_index = 0;
  uint32_t metric = 0;
  uint32_t table = 254;  // RT_TABLE_MAIN
  uint8_t type = 1;      // RTN_UNICAST
};
// An existing route to the same destination is replaced.
Message add_route_message(const Route& route);
Message delete_route_message(const Route& route);
// Every table but the kernel's own of local addresses.
Result<std::vector<Route>> list_routes(Netlink& netlink);
Result<Route> parse_route(const MessageView& message);

// A permanent entry of the neighbour table.
Message add_neighbour_message(int link_index, const std::vector<uint8_t>& address, const Mac& mac);
Message delete_neighbour_message(int link_index, const std::vector<uint8_t>& address);

// "Packets with this mark, masked, are routed by that table."
struct RoutingRule {
  uint8_t family = 0;
  uint32_t priority = 0;
  uint32_t mark = 0, mask = 0xffffffff;
  uint32_t table = 0;
};
Message add_rule_message(const RoutingRule& rule);
Message delete_rule_message(const RoutingRule& rule);

}  // namespace proa::kernel
