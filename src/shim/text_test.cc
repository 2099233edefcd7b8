#include "shim/text.h"

#include <gtest/gtest.h>

#include <string>

namespace proa::shim {
namespace {

std::string json(std::string_view text) {
  Text<4096> out;
  out.json(text);
  return std::string(out.view());
}

TEST(Text, AppendsAndCuts) {
  Text<8> text("ab", 7, -12);
  EXPECT_EQ("ab7-12", text.view());
  EXPECT_FALSE(text.truncated());
  text << "345";
  EXPECT_EQ("ab7-123", text.view());
  EXPECT_TRUE(text.truncated());
  EXPECT_STREQ("ab7-123", text.c_str());
}

TEST(Text, NumbersAtTheirLimits) {
  EXPECT_EQ("-9223372036854775808 18446744073709551615", Text<64>(INT64_MIN, ' ', UINT64_MAX).view());
}

TEST(Text, CopiesOwnTheirText) {
  Text<16> copy;
  {
    const Text<16> text("once");
    copy = text;
  }
  EXPECT_EQ("once", copy.view());
}

TEST(Json, EscapesWhatJsonWantsEscaped) {
  EXPECT_EQ(R"("a\"b\\c\n\t\r\u0000\u001f/")", json(std::string_view("a\"b\\c\n\t\r\0\x1f/", 11)));
  EXPECT_EQ("\"\x7f\"", json("\x7f"));
}

TEST(Json, FindsEverySpecialByteAtEveryPlaceOfAWord) {
  for (int c = 0; c < 0x80; ++c) {
    for (size_t at = 0; at < 16; ++at) {
      std::string text(16, 'x');
      text[at] = static_cast<char>(c);
      char out[6 * 16];
      const std::string_view escaped(out, escape_json(out, text));
      const bool special = c < ' ' || c == '"' || c == '\\';
      EXPECT_EQ(special, escaped != text) << c << " at " << at;
    }
  }
}

TEST(Json, KeepsUtf8AndReplacesWhatIsNot) {
  EXPECT_EQ("\"ä€😀\"", json("ä€😀"));
  for (const char* bad : {"\xff", "\xc0", "\x80", "\xf5"})
    EXPECT_EQ("\"x\uFFFDy\"", json(std::string("x") + bad + "y"));
  EXPECT_EQ("\"\uFFFD\uFFFD\"", json("\xc0\x80"));            // overlong
  EXPECT_EQ("\"\uFFFD\uFFFD\uFFFD\"", json("\xed\xa0\x80"));  // surrogate
  EXPECT_EQ("\"\uFFFD\"", json("\xc3"));                      // cut short
}

TEST(Json, CharactersAcrossItsOwnBuffer) {
  for (size_t lead = 60; lead < 66; ++lead) {
    const std::string text = std::string(lead, 'x') + "😀";
    EXPECT_EQ("\"" + text + "\"", json(text));
  }
}

TEST(WholeCharacters, StopsBeforeACutOne) {
  EXPECT_EQ(3u, whole_characters("abc"));
  EXPECT_EQ(3u, whole_characters("abc\xf0\x9f\x98"));
  EXPECT_EQ(7u, whole_characters("abc\xf0\x9f\x98\x80"));
  EXPECT_EQ(1u, whole_characters("a\xc3"));
  EXPECT_EQ(4u, whole_characters("\x80\x80\x80\x80"));  // not text at all: no reason to wait for more
  EXPECT_EQ(0u, whole_characters(""));
}

TEST(ParseNumber, ChecksBothEnds) {
  uint64_t value = 0;
  EXPECT_TRUE(parse_number("255", 255, &value));
  EXPECT_EQ(255u, value);
  for (const char* bad : {"", "256", "-1", "+1", "1x", " 1", "99999999999999999999999"})
    EXPECT_FALSE(parse_number(bad, 255, &value)) << bad;
  EXPECT_TRUE(parse_number("18446744073709551615", UINT64_MAX, &value));
  EXPECT_EQ(UINT64_MAX, value);
  EXPECT_FALSE(parse_number("18446744073709551616", UINT64_MAX, &value));
  EXPECT_FALSE(parse_number("7", 5, &value));
}

TEST(TakeWord, WalksALine) {
  std::string_view line = "  one  two ";
  EXPECT_EQ("one", take_word(&line));
  EXPECT_EQ("two", take_word(&line));
  EXPECT_EQ("", take_word(&line));
}

}  // namespace
}  // namespace proa::shim
