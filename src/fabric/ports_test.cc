#include "fabric/ports.h"

#include <gtest/gtest.h>

namespace proa::fabric {
namespace {

std::string shown(std::string_view text) {
  const auto r = parse_port(text);
  if (!r) return r.error().message();
  return cat(r->host_ip.given() ? r->host_ip.text() : std::string("*"), " ", r->host_first, "-", r->host_last, " ",
             r->container_first, "-", r->container_last, " ", protocol_name(r->protocol));
}

TEST(ParsePort, DockersForms) {
  EXPECT_EQ(shown("80"), "* 0-0 80-80 tcp");
  EXPECT_EQ(shown("80/udp"), "* 0-0 80-80 udp");
  EXPECT_EQ(shown("8080:80"), "* 8080-8080 80-80 tcp");
  EXPECT_EQ(shown("8000-8010:80/sctp"), "* 8000-8010 80-80 sctp");
  EXPECT_EQ(shown("8000-8001:80-81"), "* 8000-8001 80-81 tcp");
  EXPECT_EQ(shown("127.0.0.1:8080:80"), "127.0.0.1 8080-8080 80-80 tcp");
  EXPECT_EQ(shown("127.0.0.1::80"), "127.0.0.1 0-0 80-80 tcp");
  EXPECT_EQ(shown("[::1]:8080:80"), "::1 8080-8080 80-80 tcp");
  EXPECT_EQ(shown("[fd00::1]::80"), "fd00::1 0-0 80-80 tcp");
}

TEST(ParsePort, NamesWhatIsWrong) {
  EXPECT_EQ(shown("0"), "invalid port \"0\" in \"0\"");
  EXPECT_EQ(shown("8080:x"), "invalid port \"x\" in \"8080:x\"");
  EXPECT_EQ(shown("65536:80"), "invalid port \"65536\" in \"65536:80\"");
  EXPECT_EQ(shown("81-80:80"), "invalid port \"81-80\" in \"81-80:80\"");
  EXPECT_EQ(shown("80/icmp"), "invalid protocol \"icmp\" in \"80/icmp\"");
  EXPECT_EQ(shown("8000-8002:80-81"), "invalid ranges specified for container and host ports: 80-81 and 8000-8002");
  EXPECT_EQ(shown("999.1.1.1:80:80"), "invalid IP address in \"999.1.1.1:80:80\": \"999.1.1.1\" is not an IP address");
  EXPECT_FALSE(parse_port(""));
  EXPECT_FALSE(parse_port(":"));
}

Endpoint endpoint() {
  Endpoint e;
  e.ipv4 = Ip::parse("172.17.0.2").value();
  return e;
}

TEST(Reserve, HoldsPortsUntilClosed) {
  const PortRequest any{.protocol = Protocol::kTcp,
                        .container_first = 80,
                        .container_last = 80,
                        .host_ip = Ip::parse("127.0.0.1").value()};
  auto first = reserve({any}, {}, endpoint());
  ASSERT_TRUE(first) << first.error().message();
  ASSERT_EQ(first->ports.size(), 1u);
  const uint16_t port = first->ports.front().host_port;
  EXPECT_GT(port, 0);
  PortRequest same = any;
  same.host_first = same.host_last = port;
  const auto second = reserve({same}, {}, endpoint());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message(), cat("Bind for 127.0.0.1:", port, " failed: port is already allocated"));
  EXPECT_EQ(second.error().code(), EADDRINUSE);
  first->sockets.clear();
  EXPECT_TRUE(reserve({same}, {}, endpoint()));
}

TEST(Reserve, FamilyMustBeThere) {
  const PortRequest six{.container_first = 80,
                        .container_last = 80,
                        .host_ip = Ip::parse("fd00::1").value(),
                        .host_first = 1,
                        .host_last = 1};
  Network network;
  network.name = "net";
  const auto reserved = reserve({six}, network, endpoint());
  ASSERT_FALSE(reserved);
  EXPECT_EQ(reserved.error().message(), "port 80: network net has no address of IPv6 to publish on fd00::1");
}

}  // namespace
}  // namespace proa::fabric
