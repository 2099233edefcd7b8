#include "base/yaml.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.h"
#include "base/utf8.h"

namespace proa::yaml {
namespace {

std::string to_json(std::string_view text, const ParseLimits& limits = {}) {
  const auto value = parse(text, limits);
  return value ? json::to_line(*value) : "error: " + value.error().message();
}

struct Case {
  const char *yaml, *json;
};

// Every expected value is what sigs.k8s.io/yaml 1.4 answers (YAMLToJSON).
TEST(YamlScalar, ResolvesAsKubectl) {
  const Case cases[] = {
      {"y", "true"},
      {"Y", "true"},
      {"yes", "true"},
      {"on", "true"},
      {"n", "false"},
      {"NO", "false"},
      {"off", "false"},
      {"yEs", "\"yEs\""},
      {"~", "null"},
      {"null", "null"},
      {"nULL", "\"nULL\""},
      {"", "null"},
      {"1_000", "1000"},
      {"1_", "1"},
      {"_1", "\"_1\""},
      {"0o17", "15"},
      {"017", "15"},
      {"08", "8"},
      {"0x1F", "31"},
      {"-0x10", "-16"},
      {"0b11", "3"},
      {"0b12", "\"0b12\""},
      {"+1", "1"},
      {"--1", "\"--1\""},
      {"18446744073709551615", "18446744073709551615"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"123456789012345678901234567890", "1.2345678901234568E29"},
      {"1e3", "1000"},
      {"1.0", "1"},
      {"1.", "1"},
      {"1.e1", "10"},
      {".5", "5E-1"},
      {"+.5", "5E-1"},
      {".2_5", "2.5E-1"},
      {"1.50", "1.5E0"},
      {"1e999", "\"1e999\""},
      {"1e-999", "0"},
      {"1:20", "\"1:20\""},
      {"2001-01-01", "\"2001-01-01\""},
      {"'1'", "\"1\""},
      {"\"true\"", "\"true\""},
      {"! 3", "\"3\""},
      {"!!str 3", "\"3\""},
      {"!!int \"3\"", "3"},
      {"!!float 3", "3"},
      {"!foo 3", "\"3\""},
      {"!!binary aGVsbG8=", "\"hello\""},
      {"!!timestamp 2001-01-01", "\"2001-01-01\""},
  };
  for (const auto& [yaml, json] : cases) EXPECT_EQ(to_json(yaml), json) << yaml;
}

TEST(Yaml, KeysBecomeStrings) {
  EXPECT_EQ(to_json("{1_0: a, 1.5: b, true: c, 1e6: d, 123456789.5: e, 0.00001: f}"),
            R"({"10":"a","1.5":"b","true":"c","1e+06":"d","1.2345679e+08":"e","1e-05":"f"})");
  EXPECT_EQ(to_json("{a: 1, b: 2, a: 3}"), R"({"a":3,"b":2})");
}

TEST(Yaml, Structures) {
  EXPECT_EQ(to_json("a:\n- 1\n- b: {c: [x, y]}\n  d: |\n    two\n    lines\n  e: >-\n    folded\n    text\n"),
            R"({"a":[1,{"b":{"c":["x",true]},"d":"two\nlines\n","e":"folded text"}]})");
  EXPECT_EQ(to_json("{\"json\": [1, null]}"), R"({"json":[1,null]})");
}

TEST(Yaml, AnchorsAndMerges) {
  EXPECT_EQ(to_json("base: &b {x: 1, y: [2]}\nuse: *b\n"), R"({"base":{"x":1,"true":[2]},"use":{"x":1,"true":[2]}})");
  EXPECT_EQ(to_json("{<<: {a: 3}, a: 1}"), R"({"a":1})");
  EXPECT_EQ(to_json("{a: {b: 1}, <<: {a: 3, c: 4}}"), R"({"a":3,"c":4})");
  EXPECT_EQ(to_json("{<<: [{a: 1}, {a: 2, b: 3}]}"), R"({"a":1,"b":3})");
  EXPECT_EQ(to_json("{\"<<\": {a: 3}}"), R"({"<<":{"a":3}})");
  EXPECT_EQ(to_json("- &a 1\n- &a 2\n- *a"), "[1,2,2]");
}

TEST(Yaml, Documents) {
  const auto all = parse_all("---\na: 1\n---\n# nothing\n---\n- 2\n...\n---\n'null'\n");
  ASSERT_TRUE(all) << all.error().message();
  ASSERT_EQ(all->size(), 3u);
  EXPECT_EQ(json::to_line((*all)[1]), "[2]");
  EXPECT_EQ(json::to_line((*all)[2]), "\"null\"");
  EXPECT_EQ(to_json("a: 1\n---\nb: 2\n"), "error: YAML: 2 documents where one is expected");
  EXPECT_EQ(to_json("# only a comment\n"), "null");
}

TEST(Yaml, ErrorsSayWhere) {
  const Case cases[] = {
      {"a: 1\nb: [1,\n", "error: not valid YAML at line 3, column 1: "},
      {"a:\n\t- 1\n", "error: not valid YAML at line 2, column 1: "},
      {"a: *x\n", "error: not valid YAML at line 1, column 4: unknown anchor 'x'"},
      {"a: &x [*x]\n", "error: not valid YAML at line 1, column 8: anchor 'x' contains itself"},
      {"a: .inf\n", "error: not valid YAML at line 1, column 4: JSON has no .inf"},
      {"a: !!int x\n", "error: not valid YAML at line 1, column 4: 'x' is not a int"},
      {"? [a]\n: 1\n", "error: not valid YAML at line 1, column 3: a list or map cannot be a key"},
      {"~: 1\n", "error: not valid YAML at line 1, column 1: null cannot be a key"},
      {"<<: 1\n", "error: not valid YAML at line 1, column 1: '<<' takes a map or a list of maps"},
      {"!!binary /w==", "error: not valid YAML at line 1, column 1: !!binary value is not UTF-8 text"},
      {"!!binary a", "error: not valid YAML at line 1, column 1: !!binary value is not base64"},
      {"a: \"\xff\"", "error: not valid YAML at byte 4: "},
  };
  for (const auto& [yaml, json] : cases) EXPECT_EQ(to_json(yaml).find(json), 0u) << yaml << "\n" << to_json(yaml);
  EXPECT_EQ(to_json("{a: 1, a: 2}", {.unique_keys = true}),
            "error: not valid YAML at line 1, column 8: key 'a' is already set in this map");
  EXPECT_EQ(to_json("{<<: {a: 1}, a: 2}", {.unique_keys = true}), "{\"a\":2}");
}

TEST(Yaml, Limits) {
  EXPECT_EQ(to_json("[1, 2]", {.max_bytes = 5}), "error: YAML of 6 bytes is over the limit of 5");
  EXPECT_EQ(to_json("[[[1]]]", {.max_depth = 4}), "[[[1]]]");
  EXPECT_EQ(to_json("[[[1]]]", {.max_depth = 3}).find("error: not valid YAML at line 1, column 4: nested deeper"), 0u);
  EXPECT_EQ(to_json(std::string(100'000, '[')).find("error: "), 0u);
  EXPECT_EQ(to_json("--- 1\n--- 2\n--- 3\n", {.max_documents = 2}), "error: YAML: more than 2 documents");
}

TEST(Yaml, AliasBombIsRefused) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string previous = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + previous;
    for (int j = 0; j < 8; ++j) bomb += ", " + previous;
    bomb += "]\n";
  }
  EXPECT_NE(to_json(bomb).find("aliases copy more than 131072 values"), std::string::npos);
}

std::string emitted(std::string_view text, KeyOrder order = KeyOrder::kAsStored) {
  return emit(json::parse(text).value(), order);
}

// The expected text is what sigs.k8s.io/yaml 1.4 writes (JSONToYAML).
TEST(YamlEmit, LooksLikeKubectl) {
  EXPECT_EQ(emitted(R"({"b":[1,{"c":"x","d":[]}],"a":{},"e":[[1,2]]})", KeyOrder::kSorted),
            "a: {}\nb:\n- 1\n- c: x\n  d: []\ne:\n- - 1\n  - 2\n");
  EXPECT_EQ(emitted(R"({"h":"y","n":null,"m":"","o":"null","i":"1:20","j":"2001-01-01","l":" x"})"),
            "h: \"y\"\n\"n\": null\nm: \"\"\no: \"null\"\ni: \"1:20\"\nj: \"2001-01-01\"\nl: ' x'\n");
  EXPECT_EQ(emitted(R"({"k":"a\nb\n","ae":"multi\n  x","ag":"trail\n\n","ad":"a\tb"})"),
            "k: |\n  a\n  b\nae: |-\n  multi\n    x\nag: |+\n  trail\n\nad: \"a\\tb\"\n");
  EXPECT_EQ(emitted(R"({"q":"- a","r":"a: b","s":"#x","t":"x #y","aj":"&a","u":"é\u0001"})"),
            "q: '- a'\nr: 'a: b'\ns: '#x'\nt: 'x #y'\naj: '&a'\nu: \"é\\x01\"\n");
  EXPECT_EQ(
      emitted(R"([1e6,1000000.5,1e20,1e21,0.00001,123456789.5,0.5,18446744073709551615,-1])"),
      "- 1e+06\n- 1.0000005e+06\n- 1e+20\n- 1e+21\n- 1e-05\n- 1.234567895e+08\n- 0.5\n- 18446744073709551615\n- -1\n");
  EXPECT_EQ(emitted("\"x\""), "x\n");
}

TEST(YamlEmit, ReadsBackAsTheSameValue) {
  for (const char* text :
       {R"({"<<":1,"y":"n","a b":"c: d","x":["","~","0x1","1_0","-","--","?","...","---","=","!","%a","@","`"]})",
        R"(["a\nb","\na","a\n","\n","\n\n"," a\nb","a \nb","\ta","a\r\nb","\u2028","\ufeffa","\u0000","😀"])",
        R"({"":{"":[[[{}]]]}})", R"([true,false,null,0,-1,1.5,"1.5","true","1:20:30.5","2001-1-1 1:2:3"])"})
    EXPECT_EQ(to_json(emitted(text)), json::to_line(json::parse(text).value())) << emitted(text);
}

TEST(YamlEmit, BrokenUtf8IsMended) { EXPECT_EQ(emit(boost::json::value("a\xff")), "a\xef\xbf\xbd\n"); }

TEST(Utf8, DecodesAndMends) {
  EXPECT_TRUE(utf8::valid("aé世😀"));
  for (const char* bad : {"\x80", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe4\xb8", "\xff"})
    EXPECT_FALSE(utf8::valid(bad));
  EXPECT_EQ(utf8::decode("世").value, 0x4e16u);
  EXPECT_EQ(utf8::mended("a\xe4\xb8z"), "a\xef\xbf\xbd\xef\xbf\xbdz");
}

}  // namespace
}  // namespace proa::yaml
