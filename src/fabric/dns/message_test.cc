#include "fabric/dns/message.h"

#include <gtest/gtest.h>

#include "fabric/dns/names.h"

namespace proa::fabric::dns {
namespace {

Packet query_packet(std::string_view labels, uint16_t type, std::string_view tail = {}, uint8_t additional = 0) {
  Packet packet{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, additional};
  packet.insert(packet.end(), labels.begin(), labels.end());
  for (const int byte : {type >> 8, type & 255, 0, 1}) packet.push_back(static_cast<uint8_t>(byte));
  packet.insert(packet.end(), tail.begin(), tail.end());
  return packet;
}

using namespace std::string_view_literals;

TEST(DnsQuery, IsRead) {
  const Packet packet = query_packet("\3wEb\3Net\0"sv, kTypeA);
  const auto query = parse_query(packet);
  ASSERT_TRUE(query) << query.error().message();
  EXPECT_EQ(query->name, "web.net");
  EXPECT_EQ(query->id, 0x1234);
  EXPECT_EQ(query->type, kTypeA);
  EXPECT_TRUE(query->recursion_desired);
  EXPECT_FALSE(query->edns);
  EXPECT_EQ(query->udp_size, 512);
}

TEST(DnsQuery, Edns) {
  const Packet packet = query_packet("\1x\0"sv, kTypeA, "\0\0\x29\x10\0\0\0\0\0\0\0"sv, 1);
  const auto query = parse_query(packet);
  ASSERT_TRUE(query);
  EXPECT_TRUE(query->edns);
  EXPECT_EQ(query->udp_size, 4096);
}

TEST(DnsQuery, StrangeBytesCannotPassForDots) {
  const Packet packet = query_packet("\3a.b\0"sv, kTypeA);
  EXPECT_EQ(parse_query(packet)->name, "a\\046b");
}

TEST(DnsQuery, MalformedIsRefused) {
  EXPECT_FALSE(parse_query({}));
  for (const std::string_view name : {"\100abc\0"sv, "\3ab"sv, "\xc0\x0c"sv, "\xc0\xff"sv, "\x3f"sv}) {
    Packet packet{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    packet.insert(packet.end(), name.begin(), name.end());
    EXPECT_FALSE(parse_query(packet));
  }
  Packet answer = query_packet("\1x\0"sv, kTypeA);
  answer[2] |= 0x80;
  EXPECT_FALSE(parse_query(answer));
  Packet two = query_packet("\1x\0"sv, kTypeA);
  two[5] = 2;
  EXPECT_FALSE(parse_query(two));
}

TEST(DnsAnswer, GoldenAddress) {
  const Packet packet = query_packet("\1x\0"sv, kTypeA);
  const auto query = parse_query(packet);
  const Packet answer = address_answer(*query, {Ip::parse("10.0.0.2").value(), Ip::parse("fd00::2").value()}, 10);
  const Packet expected{0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0,  0, 1, 'x', 0, 0, 1, 0,
                        1,    0xc0, 12,   0,    1, 0, 1, 0, 0, 0, 10, 0, 4, 10,  0, 0, 2};
  EXPECT_EQ(answer, expected);
  EXPECT_TRUE(answers_question(answer, query->question));
}

TEST(DnsAnswer, WhatDoesNotFitIsMarked) {
  const Packet packet = query_packet("\1x\0"sv, kTypeA);
  const auto query = parse_query(packet);
  const std::vector<Ip> many(100, Ip::parse("10.0.0.2").value());
  const Packet answer = fitted(address_answer(*query, many, 10), *query);
  EXPECT_LE(answer.size(), 512u);
  EXPECT_TRUE(parse_header(answer)->truncated);
}

TEST(DnsReverse, BothFamilies) {
  EXPECT_EQ(reverse_address("2.0.17.172.in-addr.arpa")->text(), "172.17.0.2");
  EXPECT_EQ(reverse_address("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa")->text(),
            "fd00::1");
  for (const std::string_view name :
       {"17.172.in-addr.arpa", "a.0.17.172.in-addr.arpa", "in-addr.arpa", "x", "1.ip6.arpa"})
    EXPECT_FALSE(reverse_address(name)) << name;
}

Endpoint endpoint(std::string container, std::string network, std::string_view ip) {
  Endpoint e;
  e.container = e.name = std::move(container);
  e.network = e.network_id = std::move(network);
  e.ipv4 = Ip::parse(ip).value();
  return e;
}

bool knows(const Names& names, std::string_view asker, std::string_view labels, uint16_t type = kTypeA) {
  const Packet packet = query_packet(labels, type);
  return names.answer(asker, *parse_query(packet)).has_value();
}

TEST(DnsNames, OnlyThoseOfOwnNetworks) {
  Endpoint linked = endpoint("a", "one", "10.1.0.2");
  linked.links = {{"b", "peer"}};
  const Names names({linked, endpoint("b", "one", "10.1.0.3"), endpoint("c", "two", "10.2.0.2"),
                     endpoint("d", "bridge", "172.17.0.2"), endpoint("e", "bridge", "172.17.0.3")});
  EXPECT_TRUE(knows(names, "a", "\1b\0"sv));
  EXPECT_TRUE(knows(names, "a", "\1B\3one\0"sv));
  EXPECT_TRUE(knows(names, "a", "\4peer\0"sv));
  EXPECT_FALSE(knows(names, "b", "\4peer\0"sv));
  EXPECT_FALSE(knows(names, "a", "\1c\0"sv));
  EXPECT_FALSE(knows(names, "a", "\1b\3two\0"sv));
  EXPECT_FALSE(knows(names, "d", "\1e\0"sv)) << "the default network has no names";
  EXPECT_TRUE(knows(names, "a", "\1b\0"sv, kTypeAaaa)) << "no such address, but the name is ours";
}

}  // namespace
}  // namespace proa::fabric::dns
