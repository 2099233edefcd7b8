// The devices of networks and endpoints, and the sysctls that go with them.
#pragma once

#include "base/error.h"
#include "fabric/fabric.h"
#include "fabric/names.h"
#include "kernel/link_make.h"
#include "kernel/netlink.h"

namespace proa::fabric {

// The host's end of an endpoint's pair: this and the first twelve digits of the endpoint's id.
inline constexpr std::string_view kHostPrefix = "pv";

// Index of the network's bridge, made with its addresses when missing; `made` says so.
Result<int> ensure_bridge(kernel::Netlink& route, const Network& network, bool& made);
// Index of Names::entry_out, made with its other end when missing; `made` says so.
Result<int> ensure_entry(kernel::Netlink& route, const Names& names, bool& made);
Result<> remove_entry(kernel::Netlink& route, const Names& names);
// Switches on what routes packets between devices, for IPv4 and when asked for IPv6; hosts that take
// their own IPv6 routes from router advertisements go on doing so.
Result<> enable_forwarding(bool ipv6);

// Makes the pair of devices of `endpoint` and sets up the inner one. Takes the first free ethN when no
// name is given. Nothing is left when it fails.
// `publishes`: ports of it will be.
Result<> wire(kernel::Netlink& route, const Network& network, int bridge_index, int netns_fd, Endpoint& endpoint,
              bool name_given, bool publishes);
// Makes the devices of the network's endpoints ports of its bridge, which was made anew. Missing ones are
// passed over.
Result<> adopt(kernel::Netlink& route, const Network& network, int bridge_index,
               const std::vector<Endpoint>& endpoints);
// Devices of endpoints that no record tells of, on bridges of these networks or none: what a killed attach() or a
// quick detach_all() left.
Result<> remove_strays(kernel::Netlink& route, const std::vector<Network>& networks,
                       const std::vector<Endpoint>& endpoints);
// Points the namespace's default routes at the endpoint's gateways; absent ones are left alone.
Result<> set_default_route(int netns_fd, const Endpoint& endpoint);

// 169.254.0.0/16, fe80::/64.
bool is_link_local(const Ip& ip);
Result<kernel::Mac> parse_mac(std::string_view text);
std::string mac_text(const kernel::Mac& mac);
// 02:42 and the address, as Docker does: the same address always has the same one.
kernel::Mac mac_for(const Ip& ip);

}  // namespace proa::fabric
