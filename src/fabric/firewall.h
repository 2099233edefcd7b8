// Our tables of nf_tables: `ip proa` and, where the kernel has IPv6, `ip6 proa`, alike. Their rules
// never change; networks and ports are elements of their sets, so that a packet costs the same with one
// container or a thousand. docs/networks.md draws the way of a packet.
#pragma once

#include <span>
#include <vector>

#include "base/error.h"
#include "fabric/fabric.h"
#include "kernel/netlink.h"

namespace proa::fabric {

// The pair of devices through which a connection to a published port re-enters the host, once the
// host's own rules for incoming packets have let it pass.
inline constexpr std::string_view kEntryOut = "proa-in0", kEntryIn = "proa-in1";

// Bumped when rules change: an older table is then written anew.
inline constexpr std::string_view kRulesChain = "rules-2";

// Both tables are there, of this version.
Result<bool> firewall_present(kernel::Netlink& netfilter);
// Everything anew, in one transaction. `entry_index`: of kEntryOut.
Result<> write_firewall(kernel::Netlink& netfilter, std::span<const Network> networks,
                        std::span<const Endpoint> endpoints, int entry_index);
Result<> remove_firewall(kernel::Netlink& netfilter);

Result<> add_network_rules(kernel::Netlink& netfilter, const Network& network);
Result<> remove_network_rules(kernel::Netlink& netfilter, const Network& network);
// EEXIST when a port is published already.
Result<> publish(kernel::Netlink& netfilter, const Endpoint& endpoint);
// Those that are not there are passed over. Connections without an end of their own (UDP) are forgotten.
Result<> unpublish(kernel::Netlink& netfilter, const Endpoint& endpoint);
// The kernel's memory of UDP flows to these ports: it would keep them where they went before.
Result<> forget_flows(kernel::Netlink& netfilter, const Endpoint& endpoint);

}  // namespace proa::fabric
