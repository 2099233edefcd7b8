#include "kube/object/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace proa::kube {
namespace {

std::string round_trip(std::string_view text) {
  const auto document = read_json(text);
  return document ? write_json(document->root) : document.error().message();
}

TEST(Json, PrintsAsGoDoes) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"3.0", "3"},
      {"1e3", "1000"},
      {"1e21", "1e+21"},
      {"1e-7", "1e-7"},
      {"0.1", "0.1"},
      {"9223372036854775807", "9223372036854775807"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"9223372036854775808", "9223372036854775808"},
      {"[ 1 , true , null ]", "[1,true,null]"},
      {R"({"a":{"b":[]},"c":{}})", R"({"a":{"b":[]},"c":{}})"},
      {R"("<a>&\u2028\u0001\"\\\n")", R"("\u003ca\u003e\u0026\u2028\u0001\"\\\n")"},
      {"\"\xc3\xa4\xf0\x9f\x98\x80\"", "\"\xc3\xa4\xf0\x9f\x98\x80\""},
      {R"("\ud83d\ude00")", "\"\xf0\x9f\x98\x80\""},
  };
  for (const auto& [in, out] : cases) EXPECT_EQ(round_trip(in), out) << in;
}

TEST(Json, ReadsEveryDoubleExactly) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t bits = random();
    double number = 0;
    std::memcpy(&number, &bits, sizeof number);
    if (!std::isfinite(number)) continue;
    const std::string text = write_json(Value::real(number));
    const auto back = read_json(text);
    ASSERT_TRUE(back) << text;
    ASSERT_EQ(back->root.as_double(), number) << text;
  }
}

TEST(Json, RefusesWhatIsNotJson) {
  EXPECT_EQ(read_json("{\n \"a\": }").error().message(), "not valid JSON at line 2, column 7: syntax error");
  for (const std::string_view text : {"", "{", "[1,]", "01", "nul", "{\"a\":1}x", "1e999", "\"\xff\"", "'a'"})
    EXPECT_FALSE(read_json(text)) << text;
  EXPECT_FALSE(read_json(std::string(1000, '[')));
  EXPECT_FALSE(read_json("[1,2,3]", {.max_bytes = 3}));
}

TEST(Json, FindsDuplicateKeys) {
  std::vector<std::string> duplicates;
  const auto document =
      read_json(R"({"a":1,"spec":{"list":[{"x":1},{"name":1,"y":{"z":1,"z":2},"name":2,"name":3}]},"a":{"b":2,"b":3}})",
                {.duplicates = &duplicates});
  ASSERT_TRUE(document);
  EXPECT_EQ(duplicates, (std::vector<std::string>{"spec.list[1].y.z", "spec.list[1].name", "a.b", "a"}));
  EXPECT_EQ(write_json(document->root), R"({"a":{"b":3},"spec":{"list":[{"x":1},{"name":3,"y":{"z":2}}]}})");
}

TEST(Json, FindsDuplicatesAmongManyKeys) {
  std::string text = "{";
  for (int i = 0; i < 100; ++i) text += cat("\"k", i, "\":", i, ",");
  std::vector<std::string> duplicates;
  const auto document = read_json(text + "\"k7\":1}", {.duplicates = &duplicates});
  ASSERT_TRUE(document);
  EXPECT_EQ(duplicates, std::vector<std::string>{"k7"});
  EXPECT_EQ(document->root.size(), 100u);
  EXPECT_EQ(document->root.get("k7").as_int(), 1);
}

TEST(Value, IsChangedInPlace) {
  Document document = read_json(R"({"a":1,"b":[1,2,3],"c":{"d":"x"}})").value();
  Value& root = document.root;
  root.set(document.arena, "a", Value::boolean(true));
  root.find("b")->insert(document.arena, 1, Value::integer(9));
  root.find("b")->erase_at(0);
  root.child(document.arena, "c").set(document.arena, "e", Value());
  root.child(document.arena, "f").set(document.arena, "g", Value::integer(1));
  EXPECT_TRUE(root.find("c")->erase("d"));
  EXPECT_FALSE(root.erase("nothing"));
  EXPECT_EQ(write_json(root), R"({"a":true,"b":[9,2,3],"c":{"e":null},"f":{"g":1}})");
}

TEST(Value, ClonesShareNothing) {
  Document copy;
  {
    const Document document = read_json(R"({"a":{"b":["text"]}})").value();
    copy.root = clone(copy.arena, document.root);
    EXPECT_TRUE(equal(copy.root, document.root));
    copy.root.find({"a", "b"})->push(copy.arena, Value::integer(1));
    EXPECT_FALSE(equal(copy.root, document.root));
  }
  EXPECT_EQ(write_json(copy.root), R"({"a":{"b":["text",1]}})");
}

TEST(Value, EqualityIgnoresTheOrderOfMembers) {
  const auto a = read_json(R"({"a":1,"b":{"c":[1,2]}})"), b = read_json(R"({"b":{"c":[1,2]},"a":1})");
  EXPECT_TRUE(equal(a->root, b->root));
  EXPECT_FALSE(equal(a->root, read_json(R"({"b":{"c":[2,1]},"a":1})")->root));
  EXPECT_FALSE(equal(a->root, read_json(R"({"b":{"c":[1,2]},"a":1.0})")->root));
}

}  // namespace
}  // namespace proa::kube
