#include "shim/log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

namespace proa::shim {
namespace {

namespace fs = std::filesystem;

constexpr timespec kTime = {.tv_sec = 1'709'210'096, .tv_nsec = 7};  // 2024-02-29T12:34:56
constexpr const char* kStamp = "2024-02-29T12:34:56.000000007Z";

class LogTest : public testing::Test {
 protected:
  LogTest() {
    char name[] = "/tmp/proa-log-test-XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ / "log";
  }
  ~LogTest() override { fs::remove_all(folder_); }

  void open(LogFormat format, uint64_t max_size = 0, unsigned max_files = 1) {
    log_ = std::make_unique<Log>(format);
    const Result<> opened = log_->file().open(path_.string(), max_size, max_files, format != LogFormat::raw);
    ASSERT_TRUE(opened) << opened.error().text.c_str();
  }
  static std::string read(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string text() const { return read(path_); }
  // All files, oldest first.
  std::string all_text() const {
    std::string text;
    for (int i = 99; i > 0; --i) text += read(path_.string() + "." + std::to_string(i));
    return text + this->text();
  }

  fs::path folder_, path_;
  std::unique_ptr<Log> log_;
};

std::string json(std::string_view text, const char* stream = "stdout") {
  Text<200'000> escaped;
  escaped.json(text);
  return "{\"log\":" + std::string(escaped.view()) + ",\"stream\":\"" + stream + "\",\"time\":\"" + kStamp + "\"}\n";
}

std::string cri(std::string_view text, const char* tag = "F", const char* stream = "stdout") {
  return std::string(kStamp) + " " + stream + " " + tag + " " + std::string(text) + "\n";
}

TEST(FormatTime, KnowsTheCalendar) {
  EXPECT_EQ("1970-01-01T00:00:00.000000000Z", format_time({0, 0}).view());
  EXPECT_EQ(kStamp, format_time(kTime).view());
  EXPECT_EQ("2000-03-01T00:00:00.999999999Z", format_time({951868800, 999999999}).view());
  EXPECT_EQ("2100-02-28T23:59:59.000000000Z", format_time({4107542399, 0}).view());
  EXPECT_EQ("2100-03-01T00:00:00.000000000Z", format_time({4107542400, 0}).view());
}

TEST(FormatTime, AgreesWithTheLibraryOverACentury) {
  for (time_t day = 0; day < 36525 + 60; ++day) {
    const time_t seconds = day * 86400 + day % 86400;
    char expected[40];
    tm parts;
    gmtime_r(&seconds, &parts);
    strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000000000Z", &parts);
    ASSERT_EQ(expected, format_time({seconds, 0}).view());
  }
}

TEST_F(LogTest, JsonRecords) {
  open(LogFormat::json_file);
  log_->append(Stream::out, "one\ntwo \"2\"\n", kTime);
  log_->append(Stream::err, "three\n", kTime);
  EXPECT_EQ(json("one\n") + json("two \"2\"\n") + json("three\n", "stderr"), text());
}

TEST_F(LogTest, CriRecords) {
  open(LogFormat::cri);
  log_->append(Stream::out, "one\n\n", kTime);
  log_->append(Stream::err, "two\n", kTime);
  EXPECT_EQ(cri("one") + cri("") + cri("two", "F", "stderr"), text());
}

TEST_F(LogTest, RawBytes) {
  open(LogFormat::raw);
  log_->append(Stream::out, std::string_view("a\0b", 3), kTime);
  log_->append(Stream::err, "c", kTime);
  log_->finish(kTime);
  EXPECT_EQ(std::string("a\0bc", 4), text());
}

TEST_F(LogTest, LinesArePutTogetherForEachStream) {
  open(LogFormat::cri);
  for (const char* part : {"he", "", "llo"}) {
    log_->append(Stream::out, part, kTime);
    log_->append(Stream::err, "x", kTime);
  }
  EXPECT_EQ("", text());
  log_->append(Stream::out, " world\nnext", kTime);
  EXPECT_EQ(cri("hello world"), text());
  log_->finish(kTime);
  EXPECT_EQ(cri("hello world") + cri("next", "P") + cri("xxx", "P", "stderr"), text());
  log_->finish(kTime);
  EXPECT_EQ(cri("hello world") + cri("next", "P") + cri("xxx", "P", "stderr"), text());
}

TEST_F(LogTest, LongLinesInPieces) {
  for (const size_t step : {size_t{1000}, kMaxPiece - 1, kMaxPiece, size_t{65536}}) {
    fs::remove(path_);
    open(LogFormat::cri);
    const std::string line(2 * kMaxPiece + 5, 'x');
    const std::string bytes = line + "\n";
    for (size_t at = 0; at < bytes.size(); at += step)
      log_->append(Stream::out, std::string_view(bytes).substr(at, step), kTime);
    EXPECT_EQ(cri(line.substr(0, kMaxPiece), "P") + cri(line.substr(0, kMaxPiece), "P") + cri("xxxxx"), text()) << step;
  }
}

TEST_F(LogTest, LineOfExactlyOnePiece) {
  open(LogFormat::cri);
  const std::string line(kMaxPiece - 1, 'x');
  log_->append(Stream::out, line + "\n", kTime);
  EXPECT_EQ(cri(line), text());
}

TEST_F(LogTest, CharactersAreNotSplit) {
  open(LogFormat::json_file);
  std::string line = "x";
  while (line.size() < 3 * kMaxPiece) line += "€";
  log_->append(Stream::out, line.substr(0, 5000), kTime);
  log_->append(Stream::out, line.substr(5000) + "\n", kTime);
  EXPECT_EQ(std::string::npos, text().find("\uFFFD"));
  const size_t first = kMaxPiece - (kMaxPiece - 1) % 3;
  EXPECT_TRUE(text().starts_with(json(line.substr(0, first))));
}

TEST_F(LogTest, WorstCaseFitsTheBatch) {
  open(LogFormat::json_file);
  const std::string bytes(65536, '\1');
  log_->append(Stream::out, bytes, kTime);
  EXPECT_EQ(4 * json(std::string(kMaxPiece, '\1')).size(), text().size());
}

TEST_F(LogTest, RotatesBetweenRecordsAndKeepsSoMany) {
  open(LogFormat::cri, 200, 4);
  std::string wanted;
  for (int i = 0; i < 100; ++i) {
    const std::string line = "line " + std::to_string(i);
    log_->append(Stream::out, line + "\n", kTime);
    wanted += cri(line);
  }
  EXPECT_TRUE(fs::exists(path_.string() + ".3"));
  EXPECT_FALSE(fs::exists(path_.string() + ".4"));
  for (const auto& entry : fs::directory_iterator(folder_)) EXPECT_LE(entry.file_size(), 200u) << entry.path();
  EXPECT_TRUE(wanted.ends_with(all_text()));
  EXPECT_GT(all_text().size(), 600u);
}

TEST_F(LogTest, RotatesWithinABatch) {
  open(LogFormat::cri, 500, 100);
  std::string bytes, wanted;
  for (int i = 0; i < 300; ++i) {
    bytes += std::to_string(i) + "\n";
    wanted += cri(std::to_string(i));
  }
  log_->append(Stream::out, bytes, kTime);
  EXPECT_EQ(wanted, all_text());
  for (const auto& entry : fs::directory_iterator(folder_)) EXPECT_LE(entry.file_size(), 500u) << entry.path();
}

TEST_F(LogTest, AttributesAreInEachRecord) {
  open(LogFormat::json_file);
  log_->set_attrs("{\"tag\":\"web\"}");
  log_->append(Stream::err, "a\nb\n", kTime);
  std::string wanted;
  for (const char* line : {"a", "b"})
    wanted += std::string("{\"log\":\"") + line +
              "\\n\",\"stream\":\"stderr\",\"attrs\":{\"tag\":\"web\"},\"time\":\"" + kStamp + "\"}\n";
  EXPECT_EQ(wanted, text());
}

TEST_F(LogTest, ACommandGetsEachRotatedFile) {
  open(LogFormat::cri, 200, 4);
  const Origin origin{.env = environ};
  const CommandArgs command{.words = {"/bin/sh", "-c", "gzip -n \"$1\"", "sh"}, .count = 4};
  log_->file().run_when_rotated(origin, command);
  for (int i = 0; i < 40; ++i) log_->append(Stream::out, "line " + std::to_string(i) + "\n", kTime);
  log_->file().settle();
  for (const char* name : {".1.gz", ".2.gz", ".3.gz"}) EXPECT_TRUE(fs::exists(path_.string() + name)) << name;
  for (const char* name : {".1", ".2", ".3", ".4", ".4.gz"}) EXPECT_FALSE(fs::exists(path_.string() + name)) << name;
  ASSERT_TRUE(remove_logs(path_.string()));
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(LogTest, RawRotatesAtTheByte) {
  open(LogFormat::raw, 10, 100);
  log_->append(Stream::out, "0123456789abcdefghijklmno", kTime);
  EXPECT_EQ("klmno", text());
  EXPECT_EQ("0123456789abcdefghijklmno", all_text());
}

TEST_F(LogTest, OneFileStartsAnew) {
  open(LogFormat::cri, 100, 1);
  log_->append(Stream::out, "one\ntwo\nthree\n", kTime);
  EXPECT_EQ(cri("three"), text());
  EXPECT_EQ(1, std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
}

TEST_F(LogTest, RecordLongerThanTheLimitGetsAFileOfItsOwn) {
  open(LogFormat::cri, 100, 9);
  const std::string line(300, 'x');
  log_->append(Stream::out, "a\n" + line + "\nb\n", kTime);
  EXPECT_EQ(cri("a"), read(path_.string() + ".2"));
  EXPECT_EQ(cri(line), read(path_.string() + ".1"));
  EXPECT_EQ(cri("b"), text());
}

TEST_F(LogTest, GoesOnWhereItStoodAndEndsATornLine) {
  std::ofstream(path_) << "torn";
  open(LogFormat::cri);
  log_->append(Stream::out, "one\n", kTime);
  EXPECT_EQ("torn\n" + cri("one"), text());
}

TEST_F(LogTest, ReopensAfterTheFileWasMoved) {
  open(LogFormat::cri);
  log_->append(Stream::out, "one\n", kTime);
  fs::rename(path_, path_.string() + ".1");
  log_->append(Stream::out, "two\n", kTime);
  ASSERT_TRUE(log_->file().reopen());
  log_->append(Stream::out, "three\n", kTime);
  EXPECT_EQ(cri("one") + cri("two"), read(path_.string() + ".1"));
  EXPECT_EQ(cri("three"), text());
}

TEST_F(LogTest, KeepsTheOldFileIfItCannotReopen) {
  open(LogFormat::cri);
  fs::rename(folder_, folder_.string() + ".moved");
  const Result<> reopened = log_->file().reopen();
  fs::rename(folder_.string() + ".moved", folder_);
  ASSERT_FALSE(reopened);
  EXPECT_NE(std::string_view::npos, reopened.error().text.view().find("no such file or directory"));
  log_->append(Stream::out, "one\n", kTime);
  EXPECT_EQ(cri("one"), text());
}

TEST_F(LogTest, RefusesWhatIsNotAFile) {
  const Result<> opened = LogFile().open("/dev/null", 0, 1, true);
  ASSERT_FALSE(opened);
  EXPECT_EQ("log file /dev/null: not a regular file", opened.error().text.view());
}

TEST_F(LogTest, DiscardsOnlyWhatItMade) {
  open(LogFormat::cri);
  log_->file().discard_if_new();
  EXPECT_FALSE(fs::exists(path_));
  std::ofstream(path_) << "mine\n";
  open(LogFormat::cri);
  log_->file().discard_if_new();
  EXPECT_TRUE(fs::exists(path_));
}

TEST_F(LogTest, RemovesAllRotatedFiles) {
  for (const char* suffix : {"", ".2", ".3", ".x"}) std::ofstream(path_.string() + suffix) << "text";
  ASSERT_TRUE(remove_logs(path_.string()));
  EXPECT_EQ(1, std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  EXPECT_TRUE(fs::exists(path_.string() + ".x"));
}

}  // namespace
}  // namespace proa::shim
