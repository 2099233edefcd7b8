#include "oci/spec/sysctl.h"

#include <gtest/gtest.h>

#include "oci/spec/number_list.h"

namespace proa::oci {
namespace {

TEST(SysctlPath, TheFirstSeparatorDecides) {
  EXPECT_EQ(sysctl_path("net.ipv4.ip_forward").value(), "net/ipv4/ip_forward");
  EXPECT_EQ(sysctl_path("net/ipv4/ip_forward").value(), "net/ipv4/ip_forward");
  EXPECT_EQ(sysctl_path("net/ipv4/conf/eno2.100/rp_filter").value(), "net/ipv4/conf/eno2.100/rp_filter");
  EXPECT_EQ(sysctl_path("net.ipv4.conf.eno2/100.rp_filter").value(), "net/ipv4/conf/eno2.100/rp_filter");
}

TEST(SysctlPath, NeverLeavesItsFolder) {
  for (const char* bad : {"", ".", "/", "net/../kernel/core_pattern", "net.//.kernel.core_pattern", "/net/x", "net/",
                          "net./.x", "..", "net..x"})
    EXPECT_FALSE(sysctl_path(bad)) << bad;
}

TEST(SysctlNamespace, OnlyNamespacedParametersHaveOne) {
  EXPECT_EQ(sysctl_namespace("net/core/somaxconn"), NamespaceType::kNetwork);
  EXPECT_EQ(sysctl_namespace("kernel/sem"), NamespaceType::kIpc);
  EXPECT_EQ(sysctl_namespace("fs/mqueue/msg_max"), NamespaceType::kIpc);
  EXPECT_EQ(sysctl_namespace("kernel/domainname"), NamespaceType::kUts);
  EXPECT_EQ(sysctl_namespace("user/max_user_namespaces"), NamespaceType::kUser);
  EXPECT_EQ(sysctl_namespace("kernel/core_pattern"), std::nullopt);
  EXPECT_EQ(sysctl_namespace("kernel/semx"), std::nullopt);
  EXPECT_EQ(sysctl_namespace("vm/swappiness"), std::nullopt);
}

TEST(NumberList, BecomesAMask) {
  EXPECT_EQ(parse_number_list("", 8).value(), std::vector<uint64_t>{});
  EXPECT_EQ(parse_number_list("0-3,7", 8).value(), std::vector<uint64_t>{0x8f});
  EXPECT_EQ(parse_number_list("1, 64\n", 128).value(), (std::vector<uint64_t>{2, 1}));
  EXPECT_EQ(parse_number_list("62-65", 128).value(), (std::vector<uint64_t>{uint64_t{3} << 62, 3}));
}

TEST(NumberList, RefusesOthers) {
  for (const char* bad : {"a", "1-", "-1", "3-1", "1-2-3", "8", "0-8", "99999999999", "1 2"})
    EXPECT_FALSE(parse_number_list(bad, 8)) << bad;
}

}  // namespace
}  // namespace proa::oci
