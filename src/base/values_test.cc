#include "base/values.h"

#include <gtest/gtest.h>

namespace proa {
namespace {

TEST(Values, Bool) {
  for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"}) EXPECT_TRUE(parse_bool(yes).value()) << yes;
  for (const char* no : {"0", "f", "F", "false", "FALSE", "False"}) EXPECT_FALSE(parse_bool(no).value()) << no;
  for (const char* bad : {"", "yes", "on", "2", "tRue"}) EXPECT_FALSE(parse_bool(bad)) << bad;
}

TEST(Values, Integer) {
  EXPECT_EQ(parse_integer("0").value(), 0);
  EXPECT_EQ(parse_integer("-1").value(), -1);
  EXPECT_EQ(parse_integer("+7").value(), 7);
  EXPECT_EQ(parse_integer("0x10").value(), 16);
  EXPECT_EQ(parse_integer("-9223372036854775808").value(), INT64_MIN);
  EXPECT_EQ(parse_integer("9223372036854775807").value(), INT64_MAX);
  EXPECT_EQ(parse_integer("9223372036854775808").error().message(), "'9223372036854775808' is out of range");
  EXPECT_EQ(parse_integer("ten").error().message(), "'ten' is not a whole number");
  for (const char* bad : {"", "-", "1.5", "1 ", " 1", "--1", "0x", "1e3"}) EXPECT_FALSE(parse_integer(bad)) << bad;
}

TEST(Values, Unsigned) {
  EXPECT_EQ(parse_unsigned("18446744073709551615").value(), UINT64_MAX);
  EXPECT_EQ(parse_unsigned("010").value(), 10u);
  for (const char* bad : {"", "-1", "18446744073709551616", "x"}) EXPECT_FALSE(parse_unsigned(bad)) << bad;
}

TEST(Values, Duration) {
  EXPECT_DOUBLE_EQ(parse_duration("5s").value(), 5);
  EXPECT_DOUBLE_EQ(parse_duration("1h15m30.5s").value(), 4530.5);
  EXPECT_DOUBLE_EQ(parse_duration("500ms").value(), 0.5);
  EXPECT_DOUBLE_EQ(parse_duration("-20us").value(), -2e-5);
  EXPECT_DOUBLE_EQ(parse_duration("1.5h").value(), 5400);
  EXPECT_DOUBLE_EQ(parse_duration("0").value(), 0);
  for (const char* bad : {"", "5", "s", "5x", "5 s", ".s", "1..5s", "99999999h", "-", "1s2"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Values, Bytes) {
  EXPECT_EQ(parse_bytes("0").value(), 0);
  EXPECT_EQ(parse_bytes("-1").value(), -1);
  EXPECT_EQ(parse_bytes("1048576").value(), 1048576);
  EXPECT_EQ(parse_bytes("512m").value(), 512 << 20);
  EXPECT_EQ(parse_bytes("64kB").value(), 64 << 10);
  EXPECT_EQ(parse_bytes("1.5 GiB").value(), 3LL << 29);
  EXPECT_EQ(parse_bytes("2T").value(), 2LL << 40);
  EXPECT_EQ(parse_bytes("100b").value(), 100);
  EXPECT_EQ(parse_bytes("9007199254740993").value(), 9007199254740993) << "more digits than a double holds";
  for (const char* bad : {"", "-2", "m", "1x", "1mm", "1ib", "1 2", "9223372036854775808", "8388608t", "1e3"})
    EXPECT_FALSE(parse_bytes(bad)) << bad;
}

}  // namespace
}  // namespace proa
