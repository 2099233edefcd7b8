#include "kernel/route.h"

#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <span>

namespace proa::kernel {
namespace {

Bytes bytes_of(const std::vector<uint8_t>& data) { return std::as_bytes(std::span(data)); }

std::vector<uint8_t> to_vector(Bytes bytes) {
  const auto* first = reinterpret_cast<const uint8_t*>(bytes.data());
  return {first, first + bytes.size()};
}

Message route_message(uint16_t type, uint16_t flags, const Route& route) {
  Message message(type, flags);
  message.header(rtmsg{
      .rtm_family = route.family,
      .rtm_dst_len = route.prefix_length,
      .rtm_src_len = 0,
      .rtm_tos = 0,
      .rtm_table = RT_TABLE_UNSPEC,
      .rtm_protocol = RTPROT_STATIC,
      .rtm_scope = static_cast<uint8_t>(route.gateway.empty() && route.family == AF_INET && route.type == RTN_UNICAST
                                            ? RT_SCOPE_LINK
                                            : RT_SCOPE_UNIVERSE),
      .rtm_type = route.type,
      .rtm_flags = 0});
  if (!route.destination.empty()) message.add(RTA_DST, bytes_of(route.destination));
  if (!route.gateway.empty()) message.add(RTA_GATEWAY, bytes_of(route.gateway));
  if (!route.preferred_source.empty()) message.add(RTA_PREFSRC, bytes_of(route.preferred_source));
  if (route.link_index != 0) message.add_number(RTA_OIF, static_cast<uint32_t>(route.link_index));
  if (route.metric != 0) message.add_number(RTA_PRIORITY, route.metric);
  message.add_number(RTA_TABLE, route.table);
  return message;
}

Message neighbour_message(uint16_t type, uint16_t flags, int link_index, const std::vector<uint8_t>& address) {
  Message message(type, flags);
  message.header(ndmsg{.ndm_family = static_cast<uint8_t>(address.size() == 4 ? AF_INET : AF_INET6),
                       .ndm_pad1 = 0,
                       .ndm_pad2 = 0,
                       .ndm_ifindex = link_index,
                       .ndm_state = NUD_PERMANENT,
                       .ndm_flags = 0,
                       .ndm_type = 0});
  message.add(NDA_DST, bytes_of(address));
  return message;
}

Message rule_message(uint16_t type, uint16_t flags, const RoutingRule& rule) {
  Message message(type, flags);
  message.header(fib_rule_hdr{.family = rule.family,
                              .dst_len = 0,
                              .src_len = 0,
                              .tos = 0,
                              .table = RT_TABLE_UNSPEC,
                              .res1 = 0,
                              .res2 = 0,
                              .action = FR_ACT_TO_TBL,
                              .flags = 0});
  message.add_number(FRA_PRIORITY, rule.priority).add_number(FRA_TABLE, rule.table);
  message.add_number(FRA_FWMARK, rule.mark).add_number(FRA_FWMASK, rule.mask);
  return message;
}

}  // namespace

Message add_route_message(const Route& route) {
  return route_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
}
Message delete_route_message(const Route& route) { return route_message(RTM_DELROUTE, 0, route); }

Result<Route> parse_route(const MessageView& message) {
  const auto fixed = message.header<rtmsg>();
  if (!fixed) return fail("netlink: a route's description is too short");
  Route route{.family = fixed->rtm_family,
              .prefix_length = fixed->rtm_dst_len,
              .destination = {},
              .gateway = {},
              .preferred_source = {},
              .link_index = 0,
              .metric = 0,
              .table = fixed->rtm_table,
              .type = fixed->rtm_type};
  AttributeReader attributes(message.attributes(sizeof(rtmsg)));
  while (const std::optional<Attribute> a = TRY(attributes.next())) {
    switch (a->type) {
      case RTA_DST: route.destination = to_vector(a->payload); break;
      case RTA_GATEWAY: route.gateway = to_vector(a->payload); break;
      case RTA_PREFSRC: route.preferred_source = to_vector(a->payload); break;
      case RTA_OIF: route.link_index = static_cast<int>(a->value<uint32_t>().value_or(0)); break;
      case RTA_PRIORITY: route.metric = a->value<uint32_t>().value_or(0); break;
      case RTA_TABLE: route.table = a->value<uint32_t>().value_or(route.table); break;
      default: break;
    }
  }
  const size_t size = route.family == AF_INET ? 4 : 16;
  if (!route.destination.empty() && route.destination.size() != size)
    return fail("netlink: a route of family ", route.family, " with a destination of ", route.destination.size(),
                " bytes");
  if (route.prefix_length > size * 8) return fail("netlink: a route with a prefix of ", route.prefix_length, " bits");
  return route;
}

Result<std::vector<Route>> list_routes(Netlink& netlink) {
  std::vector<Route> routes;
  Message query(RTM_GETROUTE);
  query.header(rtmsg{});
  const auto visit = [&](const MessageView& message) -> Result<> {
    const auto fixed = message.header<rtmsg>();
    if (message.type != RTM_NEWROUTE || !fixed) return {};
    if (fixed->rtm_family != AF_INET && fixed->rtm_family != AF_INET6) return {};
    Route route = TRY(parse_route(message));
    if (route.table != RT_TABLE_LOCAL) routes.push_back(std::move(route));
    return {};
  };
  TRY_CTX(netlink.dump(query, visit, [&] { routes.clear(); }), "list routes");
  return routes;
}

Message add_neighbour_message(int link_index, const std::vector<uint8_t>& address, const Mac& mac) {
  Message message = neighbour_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, link_index, address);
  message.add(NDA_LLADDR, std::as_bytes(std::span(mac)));
  return message;
}
Message delete_neighbour_message(int link_index, const std::vector<uint8_t>& address) {
  return neighbour_message(RTM_DELNEIGH, 0, link_index, address);
}

Message add_rule_message(const RoutingRule& rule) { return rule_message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule); }
Message delete_rule_message(const RoutingRule& rule) { return rule_message(RTM_DELRULE, 0, rule); }

}  // namespace proa::kernel
