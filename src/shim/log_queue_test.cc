#include "shim/log_queue.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>

namespace proa::shim {
namespace {

namespace fs = std::filesystem;

class LogQueueTest : public testing::Test {
 protected:
  LogQueueTest() {
    char name[] = "/tmp/proa-log-queue-test-XXXXXX";
    folder_ = mkdtemp(name);
    EXPECT_TRUE(log_->file().open((folder_ / "log").string(), 0, 1, false));
  }
  ~LogQueueTest() override {
    if (writer_.joinable()) finish();
    fs::remove_all(folder_);
  }

  void open(uint64_t limit) { ASSERT_TRUE(queue_.open(limit)); }
  // What was appended before waits until then, as if the disk did not answer.
  void start() {
    writer_ = std::thread([this] { queue_.run(); });
  }
  void append(std::string_view text, Stream stream = Stream::out) { queue_.append(stream, text, {}); }
  void finish() {
    queue_.finish({});
    if (writer_.joinable()) writer_.join();
  }
  std::string text() const {
    std::ifstream file(folder_ / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  fs::path folder_;
  std::unique_ptr<Log> log_ = std::make_unique<Log>(LogFormat::raw);
  LogQueue queue_{*log_};
  std::thread writer_;
};

TEST_F(LogQueueTest, WithoutABufferGoesStraightToTheLog) {
  append("one\n");
  EXPECT_EQ("one\n", text());
  EXPECT_TRUE(queue_.rest());
  EXPECT_TRUE(queue_.reopen());
}

TEST_F(LogQueueTest, AllOfItInItsOrder) {
  open(10'000);
  start();
  queue_.be_patient();
  std::string all;
  for (int i = 0; i < 20'000; ++i) {
    const std::string line = std::to_string(i) + std::string(i % 97, 'x') + "\n";
    append(line, i % 3 == 0 ? Stream::err : Stream::out);
    all += line;
  }
  finish();
  EXPECT_EQ(all, text());
  EXPECT_EQ(0U, queue_.dropped());
}

TEST_F(LogQueueTest, WhatThereIsNoRoomForIsDroppedByWholeLines) {
  open(100);
  append("first\n");
  append(std::string(200, 'x') + "\n");
  append("second\n");
  append("third\n" + std::string(200, 'y') + "\nfourth\n");
  EXPECT_EQ(201U + 208U, queue_.dropped());
  start();
  finish();
  EXPECT_EQ("first\nsecond\nthird\n", text());
}

TEST_F(LogQueueTest, TheRestOfALineWhoseBeginningIsGoneGoesToo) {
  open(100);
  append("first\n");
  append(std::string(200, 'x'));
  append("still of it");
  append(" its end\nnext\n");
  start();
  finish();
  EXPECT_EQ("first\nnext\n", text());
  EXPECT_EQ(200U + 11 + 9, queue_.dropped());
}

TEST_F(LogQueueTest, ALineThatWasBegunMayEndBeyondTheLimit) {
  open(100);
  append("begun");
  append(std::string(200, 'x') + "\nlate\n");
  EXPECT_EQ(5U, queue_.dropped());
  start();
  finish();
  EXPECT_EQ("begun" + std::string(200, 'x') + "\n", text());
}

TEST_F(LogQueueTest, ALineTooLongForThatIsEndedBeforeTheNext) {
  open(100);
  std::string all = "begun";
  append(all);
  const std::string part(LogQueue::kMost, 'x');
  for (int i = 0; i < 9; ++i) append(part);
  const size_t kept = 9 - queue_.dropped() / part.size();
  EXPECT_EQ(3U, kept);
  start();
  while (!queue_.rest()) std::this_thread::yield();
  append("its end\nnext\n");
  finish();
  for (size_t i = 0; i < kept; ++i) all += part;
  EXPECT_EQ(all + "\nnext\n", text());
}

TEST_F(LogQueueTest, OnePieceAlwaysFits) {
  open(1);
  append("longer than the buffer\n");
  append("late\n");
  start();
  finish();
  EXPECT_EQ("longer than the buffer\n", text());
}

TEST_F(LogQueueTest, WaitsForRoomOnceItIsPatient) {
  open(100);
  append(std::string(90, 'a') + "\n");
  queue_.be_patient();
  start();
  append(std::string(90, 'b') + "\n");
  finish();
  EXPECT_EQ(182U, text().size());
}

TEST_F(LogQueueTest, GivesMemoryBackOnlyWhileThereIsNothingToWrite) {
  open(1 << 20);
  append("one\n");
  EXPECT_FALSE(queue_.rest());
  start();
  while (!queue_.rest()) std::this_thread::yield();
  append("two\n");
  finish();
  EXPECT_EQ("one\ntwo\n", text());
}

TEST_F(LogQueueTest, ReopensBetweenRecords) {
  open(1 << 20);
  start();
  append("one\n");
  while (!queue_.rest()) std::this_thread::yield();
  fs::rename(folder_ / "log", folder_ / "moved");
  EXPECT_TRUE(queue_.reopen());
  append("two\n");
  finish();
  EXPECT_EQ("two\n", text());
}

TEST_F(LogQueueTest, SaysThatTheDiskDoesNotAnswer) {
  open(1 << 20);
  const Result<> done = queue_.reopen();
  ASSERT_FALSE(done);
  EXPECT_NE(std::string_view::npos, done.error().text.view().find("does not answer"));
  start();
}

TEST_F(LogQueueTest, ABufferThatNoMemoryHoldsIsRefused) { EXPECT_FALSE(queue_.open(UINT64_MAX)); }

}  // namespace
}  // namespace proa::shim
