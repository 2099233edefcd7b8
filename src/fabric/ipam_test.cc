#include "fabric/ipam.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/temp_folder_test.h"

namespace proa::fabric {
namespace {

Prefix prefix(std::string_view text) { return Prefix::parse(text).value(); }
Ip ip(std::string_view text) { return Ip::parse(text).value(); }

TEST(ChooseSubnet, TakesTheFirstFreeOfDockersPools) {
  EXPECT_EQ(choose_ipv4({}, true)->text(), "172.17.0.0/16");
  EXPECT_EQ(choose_ipv4({}, false)->text(), "172.18.0.0/16");
  EXPECT_EQ(choose_ipv4({prefix("172.18.4.0/24"), prefix("172.19.0.0/16")}, false)->text(), "172.20.0.0/16");
  EXPECT_EQ(choose_ipv4({prefix("172.16.0.0/12")}, true)->text(), "192.168.0.0/20");
  EXPECT_EQ(choose_ipv4({prefix("172.16.0.0/12"), prefix("192.168.0.0/24")}, false)->text(), "192.168.16.0/20");
  const auto none = choose_ipv4({prefix("172.16.0.0/12"), prefix("192.168.0.0/16")}, false);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message(), "all predefined address pools have been fully subnetted");
}

TEST(ChooseSubnet, Ipv6IsUniqueLocal) {
  const Prefix a = choose_ipv6({}).value(), b = choose_ipv6({}).value();
  EXPECT_EQ(a.length, 64);
  EXPECT_EQ(a.address.data()[0], 0xfd);
  EXPECT_NE(a, b);
}

TEST(CompleteSubnet, FillsTheGatewayAndChecks) {
  EXPECT_EQ(complete_subnet({}, prefix("10.1.0.0/24"))->gateway, ip("10.1.0.1"));
  EXPECT_EQ(complete_subnet({.gateway = "10.1.0.9"}, prefix("10.1.0.0/24"))->gateway, ip("10.1.0.9"));
  EXPECT_FALSE(complete_subnet({.gateway = "10.2.0.9"}, prefix("10.1.0.0/24")));
  EXPECT_FALSE(complete_subnet({.ip_range = "10.2.0.0/25"}, prefix("10.1.0.0/24")));
  EXPECT_FALSE(complete_subnet({.ip_range = "10.0.0.0/8"}, prefix("10.1.0.0/24")));
  EXPECT_FALSE(complete_subnet({}, prefix("10.1.0.0/31")));
  EXPECT_FALSE(complete_subnet({.auxiliary = {{"router", "10.9.0.1"}}}, prefix("10.1.0.0/24")));
}

class Allocate : public ::testing::Test {
 protected:
  Allocate() {
    network_.id = "n";
    network_.name = "net";
  }

  Store store() const { return Store({.state = folder_ / "state", .run = folder_ / "run"}); }
  Subnet subnet(std::string_view text, std::string range = {}) {
    return complete_subnet({.ip_range = std::move(range), .auxiliary = {{"printer", "10.1.0.3"}}}, prefix(text))
        .value();
  }
  std::string next(const Subnet& from, const Ip& wanted = {}) {
    const auto got = allocate(store(), network_, from, wanted, "endpoint");
    return got ? got->text() : got.error().message();
  }

  TempFolder folder_;
  Network network_;
};

TEST_F(Allocate, LowestFreePastWhatIsReserved) {
  const Subnet small = subnet("10.1.0.0/29");
  EXPECT_EQ(next(small), "10.1.0.2");
  EXPECT_EQ(next(small), "10.1.0.4");  // .3 is the printer's
  ASSERT_TRUE(store().drop_lease(network_, ip("10.1.0.2")));
  EXPECT_EQ(next(small), "10.1.0.2");
  EXPECT_EQ(next(small), "10.1.0.5");
  EXPECT_EQ(next(small), "10.1.0.6");
  EXPECT_EQ(next(small), "no available addresses on network net (10.1.0.0/29): cannot assign requested address");
}

TEST_F(Allocate, FixedAddresses) {
  const Subnet net = subnet("10.1.0.0/24");
  EXPECT_EQ(next(net, ip("10.1.0.77")), "10.1.0.77");
  EXPECT_EQ(next(net, ip("10.1.0.77")), "address 10.1.0.77 on network net: address already in use");
  EXPECT_EQ(next(net, ip("10.2.0.1")), "address 10.2.0.1: not in network net's subnet 10.1.0.0/24");
  EXPECT_EQ(next(net, ip("10.1.0.1")), "address 10.1.0.1: reserved on network net");
}

TEST_F(Allocate, RangeLimits) {
  const Subnet net = subnet("10.1.0.0/24", "10.1.0.128/30");
  EXPECT_EQ(next(net), "10.1.0.128");
  for (int i = 0; i < 3; ++i) next(net);
  EXPECT_TRUE(next(net).starts_with("no available addresses"));
}

TEST_F(Allocate, Ipv6) {
  const Subnet net = complete_subnet({}, prefix("fd00:1::/64")).value();
  EXPECT_EQ(next(net), "fd00:1::2");
  EXPECT_EQ(next(net), "fd00:1::3");
}

// Processes without the lock, some of them killed: an address is never given out twice, and what the
// killed took is known by its owner.
TEST_F(Allocate, ManyProcessesAndKills) {
  const Subnet net = subnet("10.1.0.0/24");
  constexpr int kProcesses = 8, kEach = 10;
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      const std::string owner = cat("owner", i);
      for (int n = 0; n < kEach; ++n)
        if (!allocate(store(), network_, net, {}, owner)) _exit(1);
      if (i % 2 == 1) kill(getpid(), SIGKILL);
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) waitpid(child, nullptr, 0);
  EXPECT_EQ(store().leases(network_)->size(), static_cast<size_t>(kProcesses * kEach));
  EXPECT_EQ(store().drop_orphan_leases(network_, {"owner0", "owner2", "owner4", "owner6"}).value(),
            static_cast<size_t>(kProcesses / 2 * kEach));
  EXPECT_EQ(store().leases(network_)->size(), static_cast<size_t>(kProcesses / 2 * kEach));
}

}  // namespace
}  // namespace proa::fabric
