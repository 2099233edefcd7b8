// Our tables of nf_tables: `ip proa` and, where the kernel has IPv6, `ip6 proa`, alike, or as `names` says. Their rules
// never change; networks and ports are elements of their sets, so that a packet costs the same with one
// container or a thousand. docs/networks.md draws the way of a packet.
#pragma once

#include <span>
#include <vector>

#include "base/error.h"
#include "fabric/fabric.h"
#include "fabric/names.h"
#include "kernel/netlink.h"

namespace proa::fabric {

// Bumped when rules change: an older table is then written anew.
inline constexpr std::string_view kRulesChain = "rules-2";

// The tables of one fabric, through a socket that outlives this.
class Firewall {
 public:
  Firewall(kernel::Netlink& netfilter, const Names& names) : netfilter_(netfilter), names_(names) {}

  // Both tables are there, of this version.
  Result<bool> present();
  // Everything anew, in one transaction. `entry_index`: of Names::entry_out.
  Result<> write(std::span<const Network> networks, std::span<const Endpoint> endpoints, int entry_index);
  Result<> remove();

  Result<> add_network(const Network& network);
  Result<> remove_network(const Network& network);
  // EEXIST when a port is published already.
  Result<> publish(const Endpoint& endpoint);
  // Those that are not there are passed over. Connections without an end of their own (UDP) are forgotten.
  Result<> unpublish(const Endpoint& endpoint);
  // The kernel's memory of UDP flows to these ports: it would keep them where they went before.
  Result<> forget_flows(const Endpoint& endpoint);

 private:
  kernel::Netlink& netfilter_;
  const Names& names_;
};

}  // namespace proa::fabric
