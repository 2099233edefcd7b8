#include "kernel/route.h"

#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include "kernel/conntrack.h"
#include "kernel/link_make.h"

namespace proa::kernel {
namespace {

MessageView view_of(Message& message) {
  MessageReader reader(message.finish(1).value());
  return *reader.next().value();
}

std::optional<Attribute> attribute(Bytes attributes, uint16_t type) {
  AttributeReader reader(attributes);
  while (const auto found = reader.next().value())
    if (found->type == type) return found;
  return std::nullopt;
}

TEST(Route, ReadsBackWhatItWrites) {
  const Route route{.family = AF_INET,
                    .prefix_length = 16,
                    .destination = {172, 17, 0, 0},
                    .gateway = {10, 0, 0, 1},
                    .preferred_source = {10, 0, 0, 2},
                    .link_index = 7,
                    .metric = 100};
  Message message = add_route_message(route);
  EXPECT_EQ(message.type(), RTM_NEWROUTE);
  const auto back = parse_route(view_of(message));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->destination, route.destination);
  EXPECT_EQ(back->gateway, route.gateway);
  EXPECT_EQ(back->preferred_source, route.preferred_source);
  EXPECT_EQ(back->prefix_length, 16);
  EXPECT_EQ(back->link_index, 7);
  EXPECT_EQ(back->metric, 100u);
  EXPECT_EQ(back->table, 254u);
}

TEST(Route, RefusesWhatCannotBe) {
  Message brief(RTM_NEWROUTE);
  EXPECT_FALSE(parse_route(view_of(brief)));
  Message odd(RTM_NEWROUTE);
  rtmsg fixed{};
  fixed.rtm_family = AF_INET;
  odd.header(fixed).add_number<uint16_t>(RTA_DST, 1);
  EXPECT_FALSE(parse_route(view_of(odd)));
}

TEST(Veth, IsOneRequestForBothEnds) {
  Message message = add_veth_message({.name = "host0", .mac = {}, .master = 5},
                                     {.name = "eth0", .mac = Mac{2, 0, 0, 0, 0, 1}, .netns_fd = 9, .up = false}, 1400);
  const MessageView view = view_of(message);
  EXPECT_EQ(view.header<ifinfomsg>()->ifi_flags, unsigned{IFF_UP});
  const Bytes outer = view.attributes(sizeof(ifinfomsg));
  EXPECT_EQ(attribute(outer, IFLA_IFNAME)->text(), "host0");
  EXPECT_EQ(attribute(outer, IFLA_MASTER)->value<uint32_t>(), 5u);
  const Bytes info = attribute(outer, IFLA_LINKINFO)->payload;
  EXPECT_EQ(attribute(info, IFLA_INFO_KIND)->text(), "veth");
  const Bytes peer = attribute(attribute(info, IFLA_INFO_DATA)->payload, VETH_INFO_PEER)->payload;
  ASSERT_GT(peer.size(), sizeof(ifinfomsg));
  const Bytes inner = peer.subspan(sizeof(ifinfomsg));
  EXPECT_EQ(attribute(inner, IFLA_IFNAME)->text(), "eth0");
  EXPECT_EQ(attribute(inner, IFLA_NET_NS_FD)->value<uint32_t>(), 9u);
  EXPECT_EQ(attribute(inner, IFLA_MTU)->value<uint32_t>(), 1400u);
  EXPECT_EQ(attribute(inner, IFLA_ADDRESS)->payload.size(), 6u);
}

TEST(Neighbour, IsPermanent) {
  Message message = add_neighbour_message(3, {10, 0, 0, 9}, Mac{2, 0, 0, 0, 0, 9});
  const MessageView view = view_of(message);
  EXPECT_EQ(view.header<ndmsg>()->ndm_state, NUD_PERMANENT);
  EXPECT_EQ(attribute(view.attributes(sizeof(ndmsg)), NDA_LLADDR)->payload.size(), 6u);
}

TEST(RoutingRule, SendsTheMarkWithItsMask) {
  Message message = add_rule_message({.family = AF_INET6, .priority = 100, .mark = 0x10, .mask = 0xf0, .table = 1000});
  const Bytes attributes = view_of(message).attributes(12);
  EXPECT_EQ(attribute(attributes, 10)->value<uint32_t>(), 0x10u);  // FRA_FWMARK
  EXPECT_EQ(attribute(attributes, 16)->value<uint32_t>(), 0xf0u);  // FRA_FWMASK
  EXPECT_EQ(attribute(attributes, 15)->value<uint32_t>(), 1000u);  // FRA_TABLE
}

TEST(Connection, BothDirectionsAreRead) {
  Message message(IPCTNL_MSG_CT_NEW);
  message.header(nfgenmsg{.nfgen_family = AF_INET, .version = 0, .res_id = 0});
  const uint8_t client[] = {198, 51, 100, 2}, host[] = {198, 51, 100, 1};
  message.begin_nest(CTA_TUPLE_ORIG).begin_nest(CTA_TUPLE_IP);
  message.add(CTA_IP_V4_SRC, std::as_bytes(std::span(client))).add(CTA_IP_V4_DST, std::as_bytes(std::span(host)));
  message.end_nest().begin_nest(CTA_TUPLE_PROTO).add_number<uint8_t>(CTA_PROTO_NUM, 17);
  message.add_number<uint16_t>(CTA_PROTO_SRC_PORT, 0x3930).add_number<uint16_t>(CTA_PROTO_DST_PORT, 0x3500);
  message.end_nest().end_nest();
  const auto flow = parse_connection(view_of(message));
  ASSERT_TRUE(flow) << flow.error().message();
  EXPECT_EQ(flow->original.source, std::vector<uint8_t>(client, client + 4));
  EXPECT_EQ(flow->original.protocol, 17);
  EXPECT_EQ(flow->original.source_port, 0x3039);
  EXPECT_EQ(flow->original.destination_port, 53);
}

}  // namespace
}  // namespace proa::kernel
