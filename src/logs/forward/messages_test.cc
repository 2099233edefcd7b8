#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "logs/forward/sender.h"

namespace proa::logs {
namespace {

Identity identity() {
  return {.subject = {.id = "0123456789abcdef", .name = "web", .image_name = "nginx:1", .args = {"nginx", "-g"}},
          .tag = "shop web",
          .host = "host",
          .extras = {{"a.b", "1"}},
          .pid = 42};
}
Record record(std::string text, bool error = false) {
  return {.time = *parse_rfc3339("2026-01-02T03:04:05.123456789Z"), .text = std::move(text), .error = error};
}

TEST(Messages, Syslog) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  EXPECT_EQ(syslog_message("", 3, identity(), record("text")), "<30>Jan  2 03:04:05 shop web[42]: text");
  EXPECT_EQ(syslog_message("rfc3164", 19, identity(), record("text", true)),
            "<155>Jan  2 03:04:05 host shop web[42]: text");
  EXPECT_EQ(syslog_message("rfc5424", 3, identity(), record("text")),
            "<30>1 2026-01-02T03:04:05Z host shop_web 42 shop_web - text");
  EXPECT_EQ(syslog_message("rfc5424micro", 3, identity(), record("")),
            "<30>1 2026-01-02T03:04:05.123456Z host shop_web 42 shop_web - ");
}

TEST(Messages, Journald) {
  Record piece = record("two\nlines", true);
  piece.piece = 2, piece.piece_of = "1-0", piece.last_piece = true;
  const std::string message = journald_message(identity(), piece);
  EXPECT_THAT(message, testing::StartsWith(std::string("MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\nPRIORITY=3\n", 37)));
  EXPECT_THAT(message, testing::HasSubstr("CONTAINER_TAG=shop web\n"));
  EXPECT_THAT(message, testing::HasSubstr("\nCONTAINER_PARTIAL_ORDINAL=2\nCONTAINER_PARTIAL_LAST=true\nA_B=1\n"));
}

TEST(Messages, Gelf) {
  const std::string message = gelf_message(identity(), record("a \"b\""));
  EXPECT_THAT(message,
              testing::StartsWith(R"({"version":"1.1","host":"host","short_message":"a \"b\"","timestamp":1.76)"));
  EXPECT_THAT(message, testing::HasSubstr(R"("level":6,"_command":"nginx -g",)"));
  EXPECT_THAT(message, testing::HasSubstr(R"("_tag":"shop web","_a.b":"1"})"));
}

TEST(Messages, Fluentd) {
  const Record one[] = {record("x")};
  const std::string message = fluentd_message(identity(), one, true, "chunk");
  EXPECT_THAT(message, testing::StartsWith(std::string("\x93\xa8shop web\xdd\0\0\0\1\x92\xd7\0", 18)));
  EXPECT_THAT(message, testing::HasSubstr("\xa3log\xa1x"));
  EXPECT_THAT(message, testing::EndsWith("\xa5"
                                         "chunk\xa5"
                                         "chunk"));
  EXPECT_THAT(fluentd_message(identity(), one, false, ""),
              testing::EndsWith(std::string("\x81\xa4size\xcf\0\0\0\0\0\0\0\1", 15)));
}

}  // namespace
}  // namespace proa::logs
