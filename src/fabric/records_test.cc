#include "fabric/records.h"

#include <gtest/gtest.h>

namespace proa::fabric {
namespace {

Network network() {
  Network n;
  n.id = std::string(64, 'a');
  n.name = "web";
  n.driver = "bridge";
  n.created = "2026-01-02T03:04:05Z";
  n.internal = true;
  n.ipv6 = true;
  n.subnets.push_back({.prefix = Prefix::parse("10.1.0.0/24").value(),
                       .gateway = Ip::parse("10.1.0.1").value(),
                       .ip_range = Prefix::parse("10.1.0.128/25").value(),
                       .auxiliary = {{"router", Ip::parse("10.1.0.9").value()}}});
  n.options = {{"com.docker.network.bridge.enable_icc", "false"}, {"com.docker.network.driver.mtu", "1400"}};
  n.labels = {{"a", "b"}};
  n.ipam_options = {{"c", "d"}};
  n.attachable = true;
  n.config_from = "template";
  return n;
}

TEST(NetworkRecord, ComesBackAsItWas) {
  const auto back = parse_network(network_text(network()));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(network_text(*back), network_text(network()));
  EXPECT_EQ(back->bridge, "pr-aaaaaaaaaaaa");
  EXPECT_FALSE(back->icc);
  EXPECT_EQ(back->mtu, 1400u);
  EXPECT_EQ(back->subnets.front().auxiliary.at("router").text(), "10.1.0.9");
}

TEST(NetworkRecord, AConfigurationNetworkHasNoDevice) {
  Network n = network();
  n.config_only = true;
  n.ipv4 = false;
  n.options["com.docker.network.bridge.name"] = "br7";
  const auto back = parse_network(network_text(n));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_TRUE(back->config_only);
  EXPECT_FALSE(back->ipv4);
  EXPECT_EQ(back->bridge, "");
}

TEST(NetworkRecord, OptionsAreChecked) {
  const auto refused = [](std::string key, std::string value) {
    Network n = network();
    n.options = {{std::move(key), std::move(value)}};
    const auto applied = apply_options(n);
    return applied ? std::string("taken") : applied.error().message();
  };
  EXPECT_EQ(refused("com.docker.network.bridge.nmae", "x"),
            "option com.docker.network.bridge.nmae: not known to driver bridge");
  EXPECT_EQ(refused("com.docker.network.bridge.enable_icc", "maybe"),
            "option com.docker.network.bridge.enable_icc: \"maybe\" is neither true nor false");
  EXPECT_EQ(refused("com.docker.network.bridge.name", "much-too-long-a-name"),
            "option com.docker.network.bridge.name: \"much-too-long-a-name\" is not a name for a network device");
  EXPECT_EQ(refused("com.docker.network.driver.mtu", "12"),
            "option com.docker.network.driver.mtu: \"12\" is not between 68 and 65535");
  EXPECT_EQ(refused("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1"), "taken");
}

TEST(NetworkRecord, MalformedTextIsAnError) {
  EXPECT_FALSE(parse_network("[]"));
  EXPECT_FALSE(parse_network("{}"));
  EXPECT_EQ(parse_network(R"({"version":2})").error().message(), "version: this program knows only 1");
  EXPECT_EQ(parse_network(R"({"version":1,"name":7})").error().message(), "name: must be a string");
  EXPECT_EQ(parse_network(R"({"version":1,"name":"x","subnets":[{"subnet":"10.0.0.0"}]})").error().message(),
            "subnet: must be a subnet");
}

TEST(EndpointRecord, ComesBackAsItWas) {
  Endpoint e;
  e.id = "id";
  e.container = "c";
  e.name = "web";
  e.network = "net";
  e.netns = "/proc/7/ns/net";
  e.netns_inode = 4026532247;
  e.pid = 7;
  e.ipv4 = Ip::parse("10.1.0.2").value();
  e.ipv4_length = 24;
  e.aliases = {"www"};
  e.links = {{"db", "database"}};
  e.link_local = {Ip::parse("169.254.1.2").value(), Ip::parse("fe80::7").value()};
  e.sysctls = {{"ipv4.conf.log_martians", "1"}};
  e.ports = {{.protocol = Protocol::kUdp, .host_ip = Ip::any(AF_INET6), .host_port = 53, .container_port = 5353}};
  e.dns = {.servers = {"9.9.9.9"}, .search = {"lan"}, .options = {"ndots:1"}};
  e.gateway_priority = -3;
  e.default_route = true;
  const auto back = parse_endpoint(endpoint_text(e));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(endpoint_text(*back), endpoint_text(e));
  EXPECT_EQ(back->ports, e.ports);
  EXPECT_EQ(back->ports.front().text(), "[::]:53->5353/udp");
}

TEST(Files, HostsAsDocker) {
  const std::string text = hosts_file({{"172.17.0.2", {"box.lan", "box"}}, {"10.0.0.9", {"db"}}});
  EXPECT_TRUE(text.starts_with("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")) << text;
  EXPECT_TRUE(text.ends_with("172.17.0.2\tbox.lan box\n10.0.0.9\tdb\n")) << text;
}

TEST(Files, ResolvConf) {
  constexpr std::string_view kHost =
      "# made by somebody\nsearch corp.test lan\nnameserver 127.0.0.53\nnameserver\t10.0.0.53\noptions edns0 "
      "trust-ad\n";
  EXPECT_EQ(resolv_conf(kHost, {}, false), "nameserver 10.0.0.53\nsearch corp.test lan\noptions edns0 trust-ad\n");
  EXPECT_EQ(resolv_conf(kHost, {}, true),
            "nameserver 127.0.0.11\nsearch corp.test lan\noptions edns0 trust-ad ndots:0\n");
  EXPECT_EQ(resolv_conf(kHost, {.servers = {"9.9.9.9"}, .search = {"."}, .options = {"ndots:2"}}, false),
            "nameserver 9.9.9.9\noptions ndots:2\n");
  EXPECT_EQ(resolv_conf("", {}, false), "");
}

}  // namespace
}  // namespace proa::fabric
