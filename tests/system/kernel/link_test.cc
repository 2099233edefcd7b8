#include "kernel/link.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/rtnetlink.h>
#include <sched.h>

#include <algorithm>

#include "in_child.h"
#include "kernel/file.h"

namespace proa::kernel {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Fd current_netns() { return open("/proc/self/ns/net", O_RDONLY).value(); }

// Leaves the caller in a fresh network namespace and returns another fresh one: the "container's".
Fd make_container_netns() {
  EXPECT_EQ(unshare(CLONE_NEWNET), 0);
  Fd container = current_netns();
  EXPECT_EQ(unshare(CLONE_NEWNET), 0);
  return container;
}

std::string in_netns(int netns, const std::string& command) {
  const Fd home = current_netns();
  EXPECT_EQ(setns(netns, CLONE_NEWNET), 0);
  std::string text = output_of(command);
  EXPECT_EQ(setns(home.get(), CLONE_NEWNET), 0);
  return text;
}

TEST(LinkSystem, LoopbackComesUp) {
  PROA_NEEDS_ROOT();
  in_child([] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    EXPECT_THAT(output_of("ip -o link show lo"), Not(HasSubstr(",UP")));
    ASSERT_TRUE(loopback_up());
    EXPECT_THAT(output_of("ip -o addr show lo"), HasSubstr("127.0.0.1/8"));
    EXPECT_THAT(output_of("ip -o link show lo"), HasSubstr("LOOPBACK,UP"));
  });
}

TEST(LinkSystem, ListsWhatIpShows) {
  PROA_NEEDS_ROOT();
  in_child([] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    ASSERT_EQ(output_of("ip link add web0 type veth peer name web1 && ip link set web0 mtu 1400 up"), "");
    Netlink route = Netlink::open(NETLINK_ROUTE).value();
    const std::vector<Link> links = list_links(route).value();
    ASSERT_EQ(links.size(), 3u);
    const auto web = std::ranges::find(links, "web0", &Link::name);
    ASSERT_NE(web, links.end());
    EXPECT_EQ(web->kind, "veth");
    EXPECT_EQ(web->mtu, 1400u);
    EXPECT_EQ(web->mac.size(), 6u);
    EXPECT_TRUE(web->up());
  });
}

TEST(LinkSystem, StatisticsCount) {
  PROA_NEEDS_ROOT();
  in_child([] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    ASSERT_TRUE(loopback_up());
    output_of("bash -c 'echo x >/dev/udp/127.0.0.1/9'");
    Netlink route = Netlink::open(NETLINK_ROUTE).value();
    const std::vector<Link> links = list_links(route).value();
    ASSERT_EQ(links.size(), 1u);
    EXPECT_GT(links[0].statistics.rx_packets, 0u);
    EXPECT_EQ(links[0].statistics.rx_bytes, links[0].statistics.tx_bytes);
  });
}

TEST(LinkSystem, LargeListsComeWhole) {
  PROA_NEEDS_ROOT();
  in_child([] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    output_of("for i in $(seq 50); do echo link add a$i type veth peer name b$i; done | ip -batch -");
    Netlink route = Netlink::open(NETLINK_ROUTE).value();
    EXPECT_EQ(list_links(route).value().size(), 101u);
  });
}

TEST(LinkSystem, MovesADeviceWithItsLastingAddresses) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Fd container = make_container_netns();
    ASSERT_EQ(output_of("ip link add dev0 type veth peer name dev0-peer && ip link set dev0 mtu 1400 address "
                        "02:00:00:00:00:07 up &&"
                        "ip addr add 10.7.0.2/24 brd 10.7.0.255 dev dev0 && ip addr add 10.8.0.2/16 dev dev0 &&"
                        "ip addr add 169.254.3.4/16 scope link dev dev0 && ip addr add 10.9.0.1/24 valid_lft 100 "
                        "preferred_lft 100 dev dev0 &&"
                        "ip -6 addr add fd00:7::2/64 nodad dev dev0"),
              "");
    const Result<std::string> name = move_link("dev0", container.get(), "eth0");
    ASSERT_TRUE(name) << name.error().message();
    EXPECT_EQ(*name, "eth0");
    EXPECT_THAT(output_of("ip -o link"), Not(HasSubstr("dev0@")));
    const std::string link = in_netns(container.get(), "ip -o link show eth0");
    EXPECT_THAT(link, HasSubstr("mtu 1400"));
    EXPECT_THAT(link, HasSubstr(",UP"));
    EXPECT_THAT(link, HasSubstr("02:00:00:00:00:07"));
    const std::string addresses = in_netns(container.get(), "ip -o addr show eth0");
    EXPECT_THAT(addresses, HasSubstr("10.7.0.2/24 brd 10.7.0.255 scope global"));
    EXPECT_THAT(addresses, HasSubstr("10.8.0.2/16"));
    EXPECT_THAT(addresses, HasSubstr("fd00:7::2/64 scope global"));
    EXPECT_THAT(addresses, Not(HasSubstr("169.254.3.4")));
    EXPECT_THAT(addresses, Not(HasSubstr("10.9.0.1")));
  });
}

TEST(LinkSystem, TemplateGetsTheKernelsNumber) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Fd container = make_container_netns();
    in_netns(container.get(),
             "ip link add eth0 type veth peer name eth0-peer; ip link add dev0 type veth peer name dev0-peer");
    ASSERT_EQ(output_of("ip link add dev0 type veth peer name dev0-peer"), "");
    const Result<std::string> name = move_link("dev0", container.get(), "eth%d");
    ASSERT_TRUE(name) << name.error().message();
    EXPECT_EQ(*name, "eth1");
    EXPECT_THAT(in_netns(container.get(), "ip -o link show eth1"), HasSubstr(",UP"));
  });
}

TEST(LinkSystem, TakenNameIsRefusedAndTheDeviceStays) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Fd container = make_container_netns();
    in_netns(container.get(), "ip link add eth0 type veth peer name eth0-peer");
    ASSERT_EQ(output_of("ip link add dev0 type veth peer name dev0-peer && ip addr add 10.7.0.2/24 dev dev0 && ip link "
                        "set dev0 up"),
              "");
    const Result<std::string> name = move_link("dev0", container.get(), "eth0");
    ASSERT_FALSE(name);
    EXPECT_EQ(name.error().code(), EEXIST);
    EXPECT_THAT(name.error().message(), HasSubstr("network device dev0: the container has a device eth0"));
    EXPECT_THAT(output_of("ip -o addr show dev0"), HasSubstr("10.7.0.2/24"));
  });
}

TEST(LinkSystem, DeviceComesBackWhenItCannotBeSetUp) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Fd container = make_container_netns();
    // IPv6 switched off there: the address cannot be taken along.
    in_netns(container.get(), "sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
    ASSERT_EQ(output_of("ip link add dev0 type veth peer name dev0-peer && ip link set dev0 up && ip addr add "
                        "10.7.0.2/24 dev dev0 &&"
                        "ip -6 addr add fd00:7::2/64 nodad dev dev0"),
              "");
    const Result<std::string> name = move_link("dev0", container.get(), "eth0");
    if (name) GTEST_SKIP() << "this kernel takes IPv6 addresses where IPv6 is off";
    EXPECT_THAT(name.error().message(), HasSubstr("network device dev0: address fd00:7::2/64"));
    EXPECT_THAT(output_of("ip -o addr show dev0"), HasSubstr("10.7.0.2/24"));
    EXPECT_THAT(output_of("ip -o addr show dev0"), HasSubstr("fd00:7::2/64"));
    EXPECT_THAT(in_netns(container.get(), "ip -o link"), Not(HasSubstr("eth0")));
  });
}

TEST(LinkSystem, MissingDeviceIsNamed) {
  PROA_NEEDS_ROOT();
  in_child([] {
    const Fd container = make_container_netns();
    EXPECT_EQ(move_link("nosuch0", container.get(), "eth0").error().message(),
              "network device nosuch0: no such device");
    EXPECT_FALSE(move_link("lo", container.get(), "lo2"));
  });
}

}  // namespace
}  // namespace proa::kernel
