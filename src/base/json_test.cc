#include "base/json.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace proa::json {
namespace {

std::string error_of(std::string_view text, const ParseLimits& limits = {}) {
  const auto result = parse(text, limits);
  return result ? "parsed" : result.error().message();
}

TEST(Json, RoundTrip) {
  const std::string text = R"({"b":[1,-2,3.5,true,null,"x\n"],"a":{}})";
  EXPECT_EQ(to_line(parse(text).value()), R"({"b":[1,-2,3.5E0,true,null,"x\n"],"a":{}})");
  EXPECT_EQ(to_line(parse("  18446744073709551615 \n").value()), "18446744073709551615");
}

TEST(Json, ValueOutlivesTheText) {
  boost::json::value value;
  {
    std::string text = R"({"key":"a string too long to be stored in the value itself"})";
    value = parse(text).value();
    text.assign(text.size(), '#');
  }
  EXPECT_EQ(value.at("key").as_string(), "a string too long to be stored in the value itself");
}

TEST(Json, LastDuplicateWins) { EXPECT_EQ(to_line(parse(R"({"a":1,"a":2})").value()), R"({"a":2})"); }

TEST(Json, ErrorsSayWhere) {
  EXPECT_EQ(error_of("{\n  \"a\": nope\n}").find("not valid JSON at line 2, column 8: "), 0u)
      << error_of("{\n  \"a\": nope\n}");
  EXPECT_EQ(error_of("[1] 2").find("not valid JSON at line 1, column "), 0u) << error_of("[1] 2");
  EXPECT_NE(error_of(""), "parsed");
  EXPECT_NE(error_of("[1"), "parsed");
  EXPECT_NE(error_of("\"\xff\""), "parsed") << "not UTF-8";
}

TEST(Json, Limits) {
  EXPECT_EQ(error_of("[1,2]", {.max_bytes = 4}), "JSON of 5 bytes is over the limit of 4");
  EXPECT_EQ(error_of("[[[1]]]", {.max_depth = 3}), "parsed");
  EXPECT_NE(error_of("[[[[1]]]]", {.max_depth = 3}), "parsed");
  EXPECT_NE(error_of(std::string(1 << 20, '[')), "parsed");
}

TEST(Json, Pretty) {
  EXPECT_EQ(to_pretty(parse(R"({"a":[1,{"b":"c"}],"d":{},"e":[]})").value()),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"c\"\n    }\n  ],\n  \"d\": {},\n  \"e\": []\n}\n");
}

TEST(Json, Quote) { EXPECT_EQ(quote("a\"\\\n\x01é"), "\"a\\\"\\\\\\n\\u0001é\""); }

TEST(Json, NumbersOutOfRangeAreErrors) {
  for (const char* text : {"1e3018", "[1, -1e999]", "{\"a\": {\"b\": 1e400}}"}) EXPECT_FALSE(parse(text)) << text;
  EXPECT_TRUE(parse("1e308"));
}

}  // namespace
}  // namespace proa::json
