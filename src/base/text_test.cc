#include "base/text.h"

#include <gmock/gmock.h>

namespace proa {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Text, CutTakesUpToTheSeparatorAndTheSeparator) {
  std::string_view rest = "a:b";
  EXPECT_EQ(cut(rest, ':'), "a");
  EXPECT_EQ(rest, "b");
  EXPECT_EQ(cut(rest, ':'), "b");
  EXPECT_EQ(rest, "");
}

TEST(Text, SplitLeavesEmptyPiecesOut) {
  EXPECT_THAT(split("  a  b ", ' '), ElementsAre("a", "b"));
  EXPECT_THAT(split("", ' '), IsEmpty());
}

TEST(Text, NumbersAreWholeTexts) {
  EXPECT_EQ(parse_number<int>("-7"), -7);
  EXPECT_EQ(parse_number<unsigned>("-7"), std::nullopt);
  EXPECT_EQ(parse_number<int>("7 "), std::nullopt);
  EXPECT_EQ(parse_number<int>(""), std::nullopt);
}

TEST(Text, PathsAreCleanedWithoutLeavingTheTop) {
  EXPECT_EQ(clean_path("/a/b"), "/a/b");
  EXPECT_EQ(clean_path("/../../a//./b/"), "/a/b");
  EXPECT_EQ(clean_path("a/../../../b"), "b");
  EXPECT_EQ(clean_path("a/b/.."), "a");
  EXPECT_EQ(clean_path("/"), "");
  EXPECT_EQ(clean_path("../.."), "");
  EXPECT_EQ(clean_path(""), "");
}

}  // namespace
}  // namespace proa
