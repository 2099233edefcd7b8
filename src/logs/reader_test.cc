#include "logs/reader.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "logs/files.h"

namespace proa::logs {
namespace {

class LogsTest : public testing::Test {
 protected:
  LogsTest() {
    char path[] = "/tmp/proa-logs-test-XXXXXX";
    folder_ = ::mkdtemp(path);
  }
  ~LogsTest() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ + "/" + name) << text; }
  std::string read(const LogQuery& query, bool cri = false) {
    std::string out;
    const auto done = read_logs(
        folder_ + "/log", cri, query,
        [&](bool error, std::string_view bytes) -> Result<> {
          out += error ? "E:" : "";
          out += bytes;
          return {};
        },
        [] { return true; });
    EXPECT_TRUE(done);
    return out;
  }
  std::string folder_;
};

std::string record(const std::string& text, int second, const char* stream = "stdout") {
  char time[64];
  std::snprintf(time, sizeof time, "2026-01-02T03:04:%02d.5Z", second);
  return "{\"log\":\"" + text + "\",\"stream\":\"" + stream + "\",\"time\":\"" + time + "\"}\n";
}

TEST_F(LogsTest, TextsAreUnescaped) {
  write("log",
        record("a\\tb \\\"q\\\" \\u00e9\\u20ac \\\\n\\n", 1) + record("bad\\n", 2, "stderr") + "{\"log\":\"torn");
  EXPECT_EQ(read({}), "a\tb \"q\" é€ \\n\nE:bad\n");
}

TEST_F(LogsTest, TailSpansFiles) {
  write("log.1", record("1\\n", 1) + record("2\\n", 2));
  write("log", record("3\\n", 3));
  EXPECT_EQ(read({}), "1\n2\n3\n");
  EXPECT_EQ(read({.tail = 2}), "2\n3\n");
  EXPECT_EQ(read({.tail = 1}), "3\n");
  EXPECT_EQ(read({.tail = 0}), "");
  EXPECT_EQ(read({.tail = 9}), "1\n2\n3\n");
}

TEST_F(LogsTest, TimesAreBounds) {
  write("log", record("1\\n", 1) + record("2\\n", 2) + record("3\\n", 3));
  EXPECT_EQ(read({.since = *parse_rfc3339("2026-01-02T03:04:02Z")}), "2\n3\n");
  EXPECT_EQ(read({.until = *parse_rfc3339("2026-01-02T03:04:03Z")}), "1\n2\n");
  EXPECT_EQ(read({.tail = 1, .timestamps = true}), "2026-01-02T03:04:03.5Z 3\n");
}

TEST_F(LogsTest, PartsOfLinesAreJoined) {
  write("log", "2026-01-02T03:04:05Z stdout P half \n2026-01-02T03:04:05Z stdout F whole\n");
  EXPECT_EQ(read({.timestamps = true}, true), "2026-01-02T03:04:05Z half whole\n");
  EXPECT_EQ(read({}, true), "half whole\n");
}

TEST_F(LogsTest, Details) {
  const char* attrs =
      "\",\"attrs\":{\"b\":\"x y\",\"stream\":\"stderr\",\"time\":\"t\"},\"time\":\"2026-01-02T03:04:05Z\"}\n";
  write("log", std::string("{\"log\":\"1 \\\",\\\"stream\\\":\\n\",\"stream\":\"stdout") + attrs + record("2\\n", 6));
  EXPECT_EQ(read({}), "1 \",\"stream\":\n2\n");
  EXPECT_EQ(read({.details = ""}), "b=x+y,stream=stderr,time=t 1 \",\"stream\":\n 2\n");
  EXPECT_EQ(read({.tail = 1, .timestamps = true, .details = "a=b"}), "2026-01-02T03:04:06.5Z a=b 2\n");
}

TEST_F(LogsTest, CompressedFiles) {
  write("log.2", record("1\\n", 1));
  write("log.1", record("2\\n", 2));
  write("log", record("3\\n", 3));
  ASSERT_TRUE(compress(folder_ + "/log.1"));
  ASSERT_TRUE(compress(folder_ + "/log.2"));
  EXPECT_EQ(read({}), "1\n2\n3\n");
  EXPECT_EQ(read({.tail = 2}), "2\n3\n");
  EXPECT_EQ(read({.since = *parse_rfc3339("2026-01-02T03:04:02Z")}), "2\n3\n");
}

TEST_F(LogsTest, NothingThere) { EXPECT_EQ(read({}), ""); }

}  // namespace
}  // namespace proa::logs
