#include "base/ids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace proa {
namespace {

using testing::MatchesRegex;

TEST(Ids, RandomIdIs64HexDigitsAndNew) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = random_id().value();
    ASSERT_THAT(id, MatchesRegex("[0-9a-f]{64}"));
    ASSERT_NE(id.find_first_not_of("0123456789"), std::string::npos);
    ASSERT_TRUE(seen.insert(id).second);
    ASSERT_EQ(short_id(id), id.substr(0, 12));
  }
}

TEST(Ids, HexLength) {
  EXPECT_EQ(random_hex(0).value(), "");
  EXPECT_EQ(random_hex(1000).value().size(), 2000u);
}

TEST(Ids, UuidIsVersion4) {
  for (int i = 0; i < 100; ++i)
    ASSERT_THAT(random_uuid().value(),
                MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
}

TEST(Ids, ContainerId) {
  for (const char* good : {"a", "web-1", "A.b_c+d", "..a", "-x", "_"}) EXPECT_TRUE(check_container_id(good)) << good;
  for (const char* bad : {"", ".", "..", "a/b", "../x", "a b", "a\n", "é"})
    EXPECT_FALSE(check_container_id(bad)) << bad;
  EXPECT_FALSE(check_container_id(std::string_view("a\0b", 3)));
  EXPECT_TRUE(check_container_id(std::string(1024, 'a')));
  EXPECT_FALSE(check_container_id(std::string(1025, 'a')));
}

TEST(Ids, Name) {
  for (const char* good : {"a", "0", "web_1.2-x"}) EXPECT_TRUE(check_name(good, "name")) << good;
  for (const char* bad : {"", "_a", "-a", ".a", "a+b", "a/b"}) EXPECT_FALSE(check_name(bad, "name")) << bad;
  const auto refused = check_name("-v", "volume");
  EXPECT_EQ(refused.error().message(), "volume '-v': not a valid name");
  EXPECT_NE(refused.error().hint(), "");
}

}  // namespace
}  // namespace proa
