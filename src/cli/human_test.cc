#include "cli/human.h"

#include <gtest/gtest.h>

namespace proa::cli {
namespace {

TEST(Human, SizesHaveThreeDigits) {
  EXPECT_EQ(human_size(0), "0B");
  EXPECT_EQ(human_size(999), "999B");
  EXPECT_EQ(human_size(1000), "1kB");
  EXPECT_EQ(human_size(5'612'345), "5.61MB");
  EXPECT_EQ(human_size(202'000'000), "202MB");
  EXPECT_EQ(human_size(1'234'000'000'000), "1.23TB");
}

TEST(Human, TimesAsDockerTellsThem) {
  const auto since = [](int64_t seconds) { return human_duration(std::chrono::seconds(seconds)); };
  EXPECT_EQ(since(0), "Less than a second");
  EXPECT_EQ(since(1), "1 second");
  EXPECT_EQ(since(59), "59 seconds");
  EXPECT_EQ(since(60), "About a minute");
  EXPECT_EQ(since(3 * 60), "3 minutes");
  EXPECT_EQ(since(3600), "About an hour");
  EXPECT_EQ(since(47 * 3600), "47 hours");
  EXPECT_EQ(since(3 * 86400), "3 days");
  EXPECT_EQ(since(21 * 86400), "3 weeks");
  EXPECT_EQ(since(100 * 86400), "3 months");
  EXPECT_EQ(since(800 * 86400), "2 years");
  EXPECT_EQ(human_since("2026-01-02T03:04:05Z", *parse_rfc3339("2026-01-02T03:07:05Z")), "3 minutes ago");
  EXPECT_EQ(human_since(""), "N/A");
  EXPECT_EQ(human_time("2026-01-02T03:04:05.6Z"), "2026-01-02 03:04:05 +0000 UTC");
}

}  // namespace
}  // namespace proa::cli
