// Network devices and packet filtering, tried in a network namespace that ends with its process.
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/error.h"
#include "cli/doctor/probe.h"
#include "kernel/netlink.h"

namespace proa::cli::doctor {
namespace {

int errno_of(const Result<>& result) {
  if (result) return 0;
  return result.error().code() != 0 ? result.error().code() : EIO;
}

int make_link(const char* kind) {
  if (::unshare(CLONE_NEWNET) != 0) return errno;
  auto route = kernel::Netlink::open(NETLINK_ROUTE);
  if (!route) return route.error().code();
  kernel::Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.header(ifinfomsg{}).add_string(IFLA_IFNAME, "proadoctor0").begin_nest(IFLA_LINKINFO);
  message.add_string(IFLA_INFO_KIND, kind);
  if (std::string_view(kind) == "vxlan")
    message.begin_nest(IFLA_INFO_DATA).add_number<uint32_t>(IFLA_VXLAN_ID, 42).end_nest();
  message.end_nest();
  return errno_of(route->request(message));
}

int try_veth() { return make_link("veth"); }
int try_bridge() { return make_link("bridge"); }
int try_vxlan() { return make_link("vxlan"); }

int try_nftables() {
  if (::unshare(CLONE_NEWNET) != 0) return errno;
  auto filter = kernel::Netlink::open(NETLINK_NETFILTER);
  if (!filter) return filter.error().code();
  kernel::Message message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN);
  message.header(nfgenmsg{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = 0});
  return errno_of(filter->request(message));
}

}  // namespace

void check_network(std::vector<Check>& out) {
  add(out, "network", "veth", in_child_as_root(try_veth), false,
      {"", "containers cannot be connected", "modprobe veth"});
  add(out, "network", "bridge", in_child_as_root(try_bridge), false, {"", "no bridge networks", "modprobe bridge"});
  add(out, "network", "vxlan", in_child_as_root(try_vxlan), false,
      {"", "no overlay networks between hosts", "modprobe vxlan"});
  add(out, "network", "nftables", in_child_as_root(try_nftables), false,
      {"", "no published ports, masquerading or network policy", "modprobe nf_tables"});
}

}  // namespace proa::cli::doctor
