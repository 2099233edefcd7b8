#include "logs/forward/source.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace proa::logs {
namespace {

namespace fs = std::filesystem;

class SourceTest : public testing::Test {
 protected:
  SourceTest() {
    char path[] = "/tmp/proa-source-test-XXXXXX";
    folder_ = ::mkdtemp(path);
    log_ = folder_ + "/log";
  }
  ~SourceTest() override { fs::remove_all(folder_); }

  void write(int from, int to, char kind = 'F') {
    std::ofstream out(log_, std::ios::app);
    for (int i = from; i <= to; ++i) {
      char time[64];
      std::snprintf(time, sizeof time, "2026-01-02T03:04:%02d.000000000Z", i);
      out << time << " stdout " << kind << " " << i << "\n";
    }
  }
  void rotate() {
    for (int i = 8; i >= 0; --i)
      for (const char* ending : {"", ".gz"}) {
        const std::string from = i == 0 ? log_ + ending : cat(log_, ".", i, ending);
        if (fs::exists(from)) fs::rename(from, cat(log_, ".", i + 1, ending));
      }
    std::ofstream made(log_);
  }
  std::string read(Source& source) {
    std::string out;
    for (const Record& record : source.next().value()) out += record.text + " ";
    return out;
  }
  std::string folder_, log_;
};

TEST_F(SourceTest, GoesOnWhereItWas) {
  write(1, 3);
  Source first(log_);
  ASSERT_TRUE(first.seek({}));
  EXPECT_EQ(read(first), "1 2 3 ");
  EXPECT_EQ(read(first), "");
  write(4, 5);
  Source second(log_);
  ASSERT_TRUE(second.seek(first.position()));
  EXPECT_EQ(read(second), "4 5 ");
}

TEST_F(SourceTest, ReadsAcrossRotations) {
  write(1, 2);
  Source source(log_);
  ASSERT_TRUE(source.seek({}));
  EXPECT_EQ(read(source), "1 2 ");
  write(3, 3), rotate(), write(4, 4), rotate(), rotate(), write(5, 5);
  EXPECT_EQ(read(source), "3 4 5 ");
}

TEST_F(SourceTest, FindsItsPlaceInACompressedFile) {
  write(1, 3);
  Source first(log_);
  ASSERT_TRUE(first.seek({}));
  EXPECT_EQ(read(first), "1 2 3 ");
  write(4, 5), rotate();
  ASSERT_TRUE(compress(log_ + ".1"));
  EXPECT_FALSE(fs::exists(log_ + ".1"));
  write(6, 6);
  EXPECT_EQ(read(first), "4 5 6 ") << "what is open stays readable";
  Source second(log_);
  ASSERT_TRUE(second.seek({}));
  Position middle;
  {
    // As it was saved before the file was compressed.
    const auto files = open_files(log_).value();
    middle = {.identity = files.front().identity, .offset = 3 * (30 + 11), .time = "2026-01-02T03:04:03.000000000Z"};
  }
  ASSERT_TRUE(second.seek(middle));
  EXPECT_EQ(read(second), "4 5 6 ");
}

TEST_F(SourceTest, FindsItsPlaceByTimeWhenTheFileIsGone) {
  write(1, 3), rotate(), write(4, 6);
  Source source(log_);
  ASSERT_TRUE(source.seek({.identity = 12345, .offset = 7, .time = "2026-01-02T03:04:05.000000000Z"}));
  EXPECT_EQ(read(source), "5 6 ") << "the record of that time once more";
}

TEST_F(SourceTest, PiecesAreCounted) {
  write(1, 2, 'P'), write(3, 3), write(4, 4);
  Source source(log_);
  ASSERT_TRUE(source.seek({}));
  const auto records = source.next().value();
  ASSERT_EQ(records.size(), 4U);
  EXPECT_EQ(records[1].piece, 2U);
  EXPECT_EQ(records[1].piece_of, records[0].piece_of);
  EXPECT_TRUE(records[2].last_piece && !records[0].last_piece);
  EXPECT_EQ(records[3].piece, 0U);
}

TEST_F(SourceTest, SkipsToTheLast) {
  write(1, 20), rotate(), write(21, 40);
  Source source(log_);
  ASSERT_TRUE(source.seek({}));
  EXPECT_TRUE(source.skip_to_last(100).value());
  EXPECT_EQ(read(source), "39 40 ");
  EXPECT_FALSE(source.skip_to_last(100).value());
}

TEST_F(SourceTest, PositionsSurvive) {
  const auto file = PositionFile::open(log_).value();
  EXPECT_EQ(file.load().identity, 0U);
  Position position{.identity = 7, .offset = 8, .time = "2026-01-02T03:04:05Z"};
  position.pieces[1] = {"7-1", 3};
  ASSERT_TRUE(file.save(position));
  const Position read = file.load();
  EXPECT_EQ(read.offset, 8U);
  EXPECT_EQ(read.time, position.time);
  EXPECT_EQ(read.pieces[1].count, 3U);
  EXPECT_TRUE(read.pieces[0].of.empty());
}

}  // namespace
}  // namespace proa::logs
