#include "fabric/address.h"

#include <gtest/gtest.h>

namespace proa::fabric {
namespace {

Ip ip(std::string_view text) { return Ip::parse(text).value(); }
Prefix prefix(std::string_view text) { return Prefix::parse(text).value(); }

TEST(Ip, ReadsAndWritesBothFamilies) {
  for (const std::string_view text : {"10.0.0.1", "0.0.0.0", "fd00::1", "::"}) EXPECT_EQ(ip(text).text(), text);
  for (const std::string_view text : {"", "10.0.0", "10.0.0.256", "fd00::1::2", "host", "10.0.0.1/8"})
    EXPECT_FALSE(Ip::parse(text)) << text;
  EXPECT_TRUE(ip("::").unspecified());
  EXPECT_FALSE(Ip().unspecified());
  EXPECT_TRUE(ip("127.3.4.5").loopback());
  EXPECT_TRUE(ip("::1").loopback());
}

TEST(Ip, PlusCarries) {
  EXPECT_EQ(ip("10.0.0.255").plus(1), ip("10.0.1.0"));
  EXPECT_EQ(ip("fd00::ffff:ffff").plus(2), ip("fd00::1:0:1"));
  EXPECT_EQ(ip("255.255.255.255").plus(1), ip("0.0.0.0"));
}

TEST(Prefix, ChecksItsForm) {
  EXPECT_EQ(prefix("10.20.0.0/16").text(), "10.20.0.0/16");
  EXPECT_EQ(prefix("fd00:1::/64").last(), ip("fd00:1::ffff:ffff:ffff:ffff"));
  for (const std::string_view text : {"10.0.0.0", "10.0.0.0/33", "fd00::/129", "/8", "10.0.0.0/-1", "10.0.0.0/8x"})
    EXPECT_FALSE(Prefix::parse(text)) << text;
  const auto error = Prefix::parse("10.1.2.3/16");
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().message(), "\"10.1.2.3/16\" has host bits set");
  EXPECT_EQ(error.error().hint(), "the subnet is 10.1.0.0/16");
  EXPECT_EQ(Prefix::parse("10.1.2.3/16", true)->text(), "10.1.0.0/16");
}

TEST(Prefix, ContainsAndOverlaps) {
  EXPECT_TRUE(prefix("10.20.0.0/15").contains(ip("10.21.255.255")));
  EXPECT_FALSE(prefix("10.20.0.0/15").contains(ip("10.22.0.0")));
  EXPECT_FALSE(prefix("10.0.0.0/8").contains(ip("fd00::1")));
  EXPECT_TRUE(prefix("10.0.0.0/8").overlaps(prefix("10.20.0.0/16")));
  EXPECT_TRUE(prefix("10.20.0.0/16").overlaps(prefix("10.0.0.0/8")));
  EXPECT_FALSE(prefix("10.20.0.0/16").overlaps(prefix("10.21.0.0/16")));
  EXPECT_TRUE(prefix("0.0.0.0/0").overlaps(prefix("10.21.0.0/16")));
}

}  // namespace
}  // namespace proa::fabric
