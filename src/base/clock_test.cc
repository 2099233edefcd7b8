#include "base/clock.h"

#include <gtest/gtest.h>

namespace proa {
namespace {

using namespace std::chrono_literals;

WallTime from_nanoseconds(int64_t count) { return WallTime(std::chrono::nanoseconds(count)); }

TEST(Rfc3339, Formats) {
  const WallTime time = from_nanoseconds(1767323045'000000060);
  EXPECT_EQ(format_rfc3339(time), "2026-01-02T03:04:05.00000006Z");
  EXPECT_EQ(format_rfc3339(time, TimePrecision::kSeconds), "2026-01-02T03:04:05Z");
  EXPECT_EQ(format_rfc3339(time, TimePrecision::kNanoseconds), "2026-01-02T03:04:05.000000060Z");
  EXPECT_EQ(format_rfc3339(from_nanoseconds(0)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_rfc3339(from_nanoseconds(-1)), "1969-12-31T23:59:59.999999999Z");
}

TEST(Rfc3339, Parses) {
  EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05.00000006Z").value(), from_nanoseconds(1767323045'000000060));
  EXPECT_EQ(parse_rfc3339("2026-01-02t04:34:05+01:30").value(), from_nanoseconds(1767323045'000000000));
  EXPECT_EQ(parse_rfc3339("2026-01-01T22:04:05-05:00").value(), from_nanoseconds(1767323045'000000000));
  EXPECT_EQ(parse_rfc3339("1970-01-01 00:00:00.1234567899z").value(), from_nanoseconds(123456789));
  EXPECT_EQ(parse_rfc3339("2016-12-31T23:59:60Z").value(), parse_rfc3339("2017-01-01T00:00:00Z").value());
  EXPECT_TRUE(parse_rfc3339("2024-02-29T00:00:00Z"));
}

TEST(Rfc3339, Refuses) {
  for (const char* bad :
       {"", "2026-01-02", "2026-01-02T03:04:05", "2026-13-01T00:00:00Z", "2023-02-29T00:00:00Z", "2026-01-02T24:00:00Z",
        "2026-01-02T00:60:00Z", "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05Zx", "2026-01-02T03:04:05+0100",
        "0001-01-01T00:00:00Z", "26-01-02T03:04:05Z"})
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
}

TEST(Clock, SystemMoves) {
  const Clock& clock = Clock::system();
  EXPECT_GT(clock.wall(), parse_rfc3339("2024-01-01T00:00:00Z").value());
  const MonotonicTime before = clock.monotonic();
  EXPECT_GE(clock.monotonic(), before);
}

TEST(Clock, FakeStandsStill) {
  FakeClock clock(from_nanoseconds(1000));
  const MonotonicTime start = clock.monotonic();
  EXPECT_EQ(clock.wall(), clock.wall());
  clock.advance(3s);
  EXPECT_EQ(clock.wall(), from_nanoseconds(3'000'001'000));
  EXPECT_EQ(clock.monotonic() - start, 3s);
  clock.set_wall(from_nanoseconds(5));
  EXPECT_EQ(clock.wall(), from_nanoseconds(5));
  EXPECT_EQ(clock.monotonic() - start, 3s) << "a step of the wall clock leaves the other alone";
}

}  // namespace
}  // namespace proa
