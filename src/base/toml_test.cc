#include "base/toml.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

namespace proa::toml {
namespace {

using testing::HasSubstr;

std::string parsed(std::string_view text) {
  const auto value = parse(text);
  return value ? boost::json::serialize(*value) : value.error().message();
}

TEST(Toml, BecomesJsonInTheFilesOrder) {
  EXPECT_EQ(R"({"z":1,"b":"x","a":{"y":[true,1.5E0],"c":2}})", parsed("z = 1\nb = 'x'\n[a]\ny = [true, 1.5]\nc = 2"));
  EXPECT_EQ(R"({"host":{"https://b":{"p":1},"https://a":{}}})",
            parsed("[host.\"https://b\"]\n  p = 1\n[host.\"https://a\"]\n"));
  EXPECT_EQ(R"({"d":"1979-05-27","t":"07:32:00"})", parsed("d = 1979-05-27\nt = 07:32:00"));
  EXPECT_EQ("{}", parsed(""));
}

TEST(Toml, CharactersBeyondAscii) {
  EXPECT_EQ("{\"a\":\"\u00e4~1\u4e2d\",\"~\u00e9\":1}", parsed("# \u01cb\na = '\u00e4~1\u4e2d'\n'~\u00e9' = 1"));
  EXPECT_EQ("{\"a\":\"\u00e9\"}", parsed(R"(a = "\u00e9")"));
  EXPECT_THAT(parsed("serh\u01cb = 1"), HasSubstr("line 1"));
  EXPECT_THAT(parsed("\u3001 = 1"), HasSubstr("line 1"));
  EXPECT_EQ("is not UTF-8", parsed("a = '\xff'"));
  EXPECT_THAT(parsed(R"(a = "\u007e41")"), HasSubstr("is not taken"));
}

TEST(Toml, ErrorsGiveThePlace) {
  EXPECT_THAT(parsed("a = 1\nb =\n"), HasSubstr("line 2, column"));
  EXPECT_THAT(parsed("a = nan"), HasSubstr("line 1, column 5: is no finite number"));
  EXPECT_THAT(parsed("a = 1\na = 2"), HasSubstr("line 2"));
}

TEST(Toml, IsBounded) {
  EXPECT_THAT(parsed(std::string(2u << 20, '\n')), HasSubstr("more than"));
  std::string deep = "a";
  for (int i = 0; i < 100'000; ++i) deep += ".a";
  EXPECT_THAT(parsed(deep + " = 1"), HasSubstr("dots"));
  EXPECT_THAT(parsed("a = " + std::string(1000, '[')), HasSubstr("line 1"));
}

}  // namespace
}  // namespace proa::toml
