#include "base/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/log_format.h"

namespace proa::log {
namespace {

using testing::MatchesRegex;

WallTime at(const char* text) { return parse_rfc3339(text).value(); }

TEST(LogLine, TextQuotesAsLogrus) {
  const WallTime time = at("2026-01-02T03:04:05.9Z");
  EXPECT_EQ(format_line(Format::kText, "error", "mount /proc: \"no\"", time),
            "time=\"2026-01-02T03:04:05Z\" level=error msg=\"mount /proc: \\\"no\\\"\"\n");
  EXPECT_EQ(format_line(Format::kText, "info", "a-b._/@^+9", time),
            "time=\"2026-01-02T03:04:05Z\" level=info msg=a-b._/@^+9\n");
  EXPECT_EQ(format_line(Format::kText, "info", "", time), "time=\"2026-01-02T03:04:05Z\" level=info msg=\n");
}

TEST(LogLine, JsonHasSortedKeys) {
  EXPECT_EQ(format_line(Format::kJson, "warning", "a \"b\"\n", at("2026-01-02T03:04:05Z")),
            "{\"level\":\"warning\",\"msg\":\"a \\\"b\\\"\\n\",\"time\":\"2026-01-02T03:04:05Z\"}\n");
}

// The expected texts are what Go 1.26 prints.
TEST(LogLine, GoQuote) {
  EXPECT_EQ(go_quote("\a\b\f\n\r\t\v\\\"'"), R"("\a\b\f\n\r\t\v\\\"'")");
  EXPECT_EQ(go_quote(std::string_view("\0\x1f\x7f", 3)), R"("\x00\x1f\x7f")");
  EXPECT_EQ(go_quote("é世😀"), "\"é世😀\"");
  EXPECT_EQ(go_quote("\xff\xc3"), R"("\xff\xc3")");
  EXPECT_EQ(go_quote("\u00a0\u200b\u2028\ufeff\U000e0001"), R"("\u00a0\u200b\u2028\ufeff\U000e0001")");
  EXPECT_EQ(go_quote("\xed\xa0\x80"), R"("\xed\xa0\x80")") << "a surrogate is not UTF-8";
  EXPECT_EQ(go_quote("\xc0\x80"), R"("\xc0\x80")") << "an overlong form is not UTF-8";
}

TEST(LogLine, GoJsonString) {
  EXPECT_EQ(go_json_string("<a>&\x7f\x01\b\f"), "\"\\u003ca\\u003e\\u0026\x7f\\u0001\\b\\f\"");
  EXPECT_EQ(go_json_string("é\xff\u2028"), "\"é\\ufffd\\u2028\"");
}

// configure() changes the whole process, so each test of it is a child.
template <typename Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

std::string slurp(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class LogFile : public testing::Test {
 protected:
  std::string path_ = testing::TempDir() + "proa-log-test-" + std::to_string(::getpid());
  ~LogFile() override { ::unlink(path_.c_str()); }
};

TEST_F(LogFile, AppendsWhatItsLevelLetsThrough) {
  ASSERT_EQ(in_child([&] {
              if (!configure({.file = path_, .format = Format::kText, .level = Level::kWarning})) return 1;
              if (enabled(Level::kInfo) || !enabled(Level::kError) || to_stderr()) return 2;
              info("hidden");
              warning("pid ", 7, " is gone");
              return (::fcntl(descriptor(), F_GETFD) & FD_CLOEXEC) != 0 ? 0 : 3;
            }),
            0);
  ASSERT_EQ(in_child([&] {
              if (!configure({.file = path_, .format = Format::kJson, .level = Level::kDebug})) return 1;
              debug("second");
              return 0;
            }),
            0);
  EXPECT_THAT(slurp(path_), MatchesRegex("time=\"[0-9TZ:-]+\" level=warning msg=\"pid 7 is gone\"\n"
                                         "[{]\"level\":\"debug\",\"msg\":\"second\",\"time\":\"[0-9TZ:-]+\"[}]\n"));
}

TEST(Log, BadPathIsAnErrorThatNamesIt) {
  EXPECT_EQ(in_child([] {
              const auto done = configure({.file = "/nonexistent/folder/log"});
              if (done) return 1;
              return done.error().message() == "open log file /nonexistent/folder/log: no such file or directory" ? 0
                                                                                                                  : 2;
            }),
            0);
}

}  // namespace
}  // namespace proa::log
