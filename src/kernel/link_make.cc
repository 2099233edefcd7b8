#include "kernel/link_make.h"

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include <utility>

namespace proa::kernel {
namespace {

ifinfomsg head(int index, uint32_t flags, uint32_t change) {
  return {.ifi_family = AF_UNSPEC,
          .__ifi_pad = 0,
          .ifi_type = 0,
          .ifi_index = index,
          .ifi_flags = flags,
          .ifi_change = change};
}

Bytes bytes_of(const std::vector<uint8_t>& data) { return std::as_bytes(std::span(data)); }

ifinfomsg end_head(const VethEnd& end) {
  const uint32_t flags = (end.up ? IFF_UP : 0u) | (end.arp ? 0u : IFF_NOARP);
  return head(0, flags, flags);
}

void add_end(Message& message, const VethEnd& end, uint32_t mtu) {
  message.add_string(IFLA_IFNAME, end.name);
  if (mtu != 0) message.add_number(IFLA_MTU, mtu);
  if (end.mac) message.add(IFLA_ADDRESS, std::as_bytes(std::span(*end.mac)));
  if (end.master != 0) message.add_number(IFLA_MASTER, static_cast<uint32_t>(end.master));
  if (end.netns_fd >= 0) message.add_number(IFLA_NET_NS_FD, static_cast<uint32_t>(end.netns_fd));
}

}  // namespace

Message add_bridge_message(const BridgeSpec& spec) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.header(head(0, IFF_UP, IFF_UP)).add_string(IFLA_IFNAME, spec.name);
  if (spec.mtu != 0) message.add_number(IFLA_MTU, spec.mtu);
  if (spec.mac) message.add(IFLA_ADDRESS, std::as_bytes(std::span(*spec.mac)));
  message.begin_nest(IFLA_LINKINFO).add_string(IFLA_INFO_KIND, "bridge").end_nest();
  return message;
}

Message add_veth_message(const VethEnd& here, const VethEnd& there, uint32_t mtu) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.header(end_head(here));
  add_end(message, here, mtu);
  message.begin_nest(IFLA_LINKINFO).add_string(IFLA_INFO_KIND, "veth");
  message.begin_nest(IFLA_INFO_DATA).begin_nest(VETH_INFO_PEER).header(end_head(there));
  add_end(message, there, mtu);
  message.end_nest().end_nest().end_nest();
  return message;
}

Message set_bridge_port_message(int index, const BridgePort& port) {
  Message message(RTM_SETLINK);  // the bridge listens to no other
  ifinfomsg fixed = head(index, 0, 0);
  fixed.ifi_family = PF_BRIDGE;
  message.header(fixed).begin_nest(IFLA_PROTINFO);
  message.add_number(IFLA_BRPORT_ISOLATED, static_cast<uint8_t>(port.isolated));
  message.add_number(IFLA_BRPORT_MODE, static_cast<uint8_t>(port.hairpin)).end_nest();
  return message;
}

Message set_master_message(std::string_view name, int bridge_index) {
  Message message(RTM_SETLINK);
  message.header(head(0, 0, 0)).add_string(IFLA_IFNAME, name);
  message.add_number(IFLA_MASTER, static_cast<uint32_t>(bridge_index));
  return message;
}

Message set_link_up_message(int index) {
  Message message(RTM_NEWLINK);
  message.header(head(index, IFF_UP, IFF_UP));
  return message;
}

Message delete_link_message(int index) {
  Message message(RTM_DELLINK);
  message.header(head(index, 0, 0));
  return message;
}

Message add_address_message(const Address& address) {
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  message.header(ifaddrmsg{.ifa_family = address.family,
                           .ifa_prefixlen = address.prefix_length,
                           .ifa_flags = static_cast<uint8_t>(address.flags),
                           .ifa_scope = address.scope,
                           .ifa_index = static_cast<uint32_t>(address.link_index)});
  message.add(IFA_LOCAL, bytes_of(address.local)).add(IFA_ADDRESS, bytes_of(address.peer));
  if (!address.broadcast.empty()) message.add(IFA_BROADCAST, bytes_of(address.broadcast));
  message.add_number(IFA_FLAGS, address.flags);
  return message;
}

Result<std::optional<Link>> find_link(Netlink& route, std::string_view name) {
  Message message(RTM_GETLINK);
  message.header(head(0, 0, 0)).add_string(IFLA_IFNAME, name);
  std::optional<Link> found;
  const Result<> asked = route.query(message, [&](const MessageView& answer) -> Result<> {
    if (answer.type == RTM_NEWLINK) found = TRY(parse_link(answer));
    return {};
  });
  if (!asked && asked.error().code() == ENODEV) return std::nullopt;
  TRY_CTX(Result<>(asked), "network device ", name);
  return found;
}

Result<> delete_link(Netlink& route, std::string_view name) {
  Message message(RTM_DELLINK);
  message.header(head(0, 0, 0)).add_string(IFLA_IFNAME, name);
  Result<> done = route.request(message);
  if (!done && done.error().code() != ENODEV) return fail_errno(done.error().code(), "remove network device ", name);
  return {};
}

}  // namespace proa::kernel
