#include "kube/codec/quantity.h"

#include <gtest/gtest.h>

#include "kube/codec/time.h"

namespace proa::kube {
namespace {

std::string canonical(std::string_view text) {
  const auto quantity = Quantity::parse(text);
  return quantity ? quantity->text() : quantity.error().message();
}

TEST(Quantity, HasACanonicalForm) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"0", "0"},           {"0Ki", "0"},
      {"0.5", "500m"},      {"1024Mi", "1Gi"},
      {"1.5Gi", "1536Mi"},  {"1000m", "1"},
      {"1000", "1k"},       {"1e3", "1e3"},
      {"1E3", "1e3"},       {"5e2", "500"},
      {"0.0001", "100u"},   {"512Ki", "512Ki"},
      {"100", "100"},       {"1500000", "1500k"},
      {"0.1Ki", "102400m"}, {"-5", "-5"},
      {"+2.5k", "2500"},    {"1n", "1n"},
      {"0.1n", "1n"},       {"123456789012345678901234567890", "9223372036854775807"},
      {".5", "500m"},       {"1.", "1"},
      {"2E", "2E"},         {"1023Ki", "1023Ki"},
      {"0.5Ki", "512"},     {"16Ei", "9223372036854775807"},
      {"1e-3", "1e-3"},     {"12e6", "12e6"},
  };
  for (const auto& [in, out] : cases) EXPECT_EQ(canonical(in), out) << in;
}

TEST(Quantity, RefusesOthers) {
  for (const std::string_view text : {"", "m", "1x", "1 Gi", "1.2.3", "Gi", "1Gib", "0x1", "--1", "1ki", "1e", "."})
    EXPECT_FALSE(Quantity::parse(text)) << text;
  EXPECT_EQ(canonical("abc"),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  EXPECT_EQ(canonical("1mm"), "unable to parse quantity's suffix");
}

TEST(Quantity, ComparesAndAdds) {
  Quantity sum = Quantity::parse("1500m").value();
  sum += Quantity::parse("0.5").value();
  EXPECT_EQ(sum, Quantity(2));
  sum -= Quantity::milli(2500);
  EXPECT_TRUE(sum.negative());
  EXPECT_EQ(sum.text(), "-500m");
  EXPECT_LT(Quantity::parse("1G").value(), Quantity::parse("1Gi").value());
  EXPECT_EQ(Quantity::parse("1001m").value().units(), 2);
  EXPECT_EQ(Quantity::parse("1Gi").value().units(), 1 << 30);
}

TEST(Time, ReadsAndPrints) {
  EXPECT_EQ(format_time(parse_time("2024-02-29T12:30:05Z")->seconds), "2024-02-29T12:30:05Z");
  EXPECT_EQ(format_time(parse_time("2024-02-29T12:30:05.5+02:00")->seconds), "2024-02-29T10:30:05Z");
  EXPECT_EQ(format_micro_time(*parse_time("1969-12-31T23:59:59.1234567Z")), "1969-12-31T23:59:59.123456Z");
  EXPECT_EQ(format_time(0), "1970-01-01T00:00:00Z");
  for (const std::string_view text : {"", "2024", "2023-02-29T00:00:00Z", "2024-01-01T24:00:00Z",
                                      "2024-01-01 00:00:00Z", "2024-01-01T00:00:00", "2024-01-01T00:00:00Zx"})
    EXPECT_FALSE(parse_time(text)) << text;
  EXPECT_EQ(parse_time("soon").error().message(),
            R"(parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006")");
}

TEST(Duration, ReadsAndPrints) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"90m", "1h30m0s"}, {"0", "0s"},    {"1.5s", "1.5s"},  {"100ms", "100ms"},
      {"-1h", "-1h0m0s"}, {"1us", "1µs"}, {"25h", "25h0m0s"}};
  for (const auto& [in, out] : cases) EXPECT_EQ(format_duration(parse_duration(in).value()), out) << in;
  for (const std::string_view text : {"", "1", "h", "1x", "1.2.3s"}) EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(Duration, IsShownToPeopleAsKubectlDoes) {
  const std::pair<int64_t, std::string_view> cases[] = {
      {5, "5s"},        {119, "119s"},  {120, "2m"},      {310, "5m10s"},  {3600, "60m"},           {10800, "3h"},
      {12000, "3h20m"}, {90000, "25h"}, {180000, "2d2h"}, {864000, "10d"}, {86400 * 365 * 3, "3y"}, {-5, "<invalid>"}};
  for (const auto& [seconds, text] : cases) EXPECT_EQ(human_duration(seconds), text) << seconds;
}

}  // namespace
}  // namespace proa::kube
