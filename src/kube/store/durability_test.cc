// No acknowledged write is lost: by SIGKILL, power failure, torn writes, a full disk.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <random>
#include <thread>

#include "kernel/temp_folder_test.h"
#include "kube/store/embedded.h"
#include "kube/store/memory_vfs_test.h"

namespace proa::kube::store {
namespace {

// What has been written, change by change: "revision+key=value", "revision-key".
using Log = std::vector<std::string>;

std::string entry(const Record& record) {
  return record.deleted() ? cat(record.mod_revision(), "-", record.key())
                          : cat(record.mod_revision(), "+", record.key(), "=", record.value());
}

Log log_of(Store& store) {
  Log log;
  const auto watch = store.watch({.key = {}, .end = std::string(kToTheEnd), .from = 2, .buffer = 1 << 20});
  EXPECT_TRUE(watch) << watch.error().message();
  if (!watch) return log;
  const auto batch = (*watch)->poll();
  for (const Event& event : batch.value().events) log.push_back(entry(*event.record));
  return log;
}

// A transaction of one to four changes; what it writes goes to `log`.
Txn random_txn(std::mt19937& random, Revision revision, Log& log) {
  Txn txn;
  const size_t count = 1 + random() % 4;
  for (size_t i = 0; i < count; ++i) {
    const std::string key = cat("k", i, "/", random() % 20);
    const std::string value = cat(revision, std::string(random() % 5000, 'x'));
    log.push_back(cat(revision, "+", key, "=", value));
    txn.success.push_back(Put{Draft(key, value)});
  }
  return txn;
}

EmbeddedOptions options(const TempFolder& folder, const std::string& vfs = {}) {
  return {.folder = folder.path(),
          .history = std::chrono::seconds(0),
          .history_bytes = SIZE_MAX,
          .threads = false,
          .vfs = vfs};
}

// What is there is a beginning of what was written, with all that was acknowledged, and no part of a transaction.
void check_log(Store& store, const Log& written, size_t acknowledged, uint32_t seed) {
  const Log found = log_of(store);
  ASSERT_GE(found.size(), acknowledged) << "seed " << seed;
  ASSERT_LE(found.size(), written.size()) << "seed " << seed;
  ASSERT_TRUE(std::equal(found.begin(), found.end(), written.begin())) << "seed " << seed;
  ASSERT_TRUE(found.size() == acknowledged || found.size() == written.size()) << "seed " << seed;
}

TEST(Durability, PowerFailuresAtAnyWriteLoseNothing) {
  const TempFolder folder;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    MemoryDisk disk(cat("disk", seed));
    Log written;
    size_t acknowledged = 0;
    for (int life = 0; life < 4; ++life) {
      disk.lose_power_after(static_cast<int64_t>(random() % 250));
      // Without power even opening may fail.
      if (auto store = open_embedded(options(folder, disk.name()))) {
        check_log(**store, written, acknowledged, seed);
        if (testing::Test::HasFatalFailure()) return;
        written = log_of(**store);
        acknowledged = written.size();
        for (int i = 0; i < 60 && disk.has_power(); ++i) {
          Txn txn = random_txn(random, (*store)->revision() + 1, written);
          const auto done = finish((*store)->commit(std::move(txn)));
          if (!done) {
            EXPECT_FALSE(disk.has_power()) << done.error().message();
            EXPECT_TRUE(finish((*store)->commit(random_txn(random, 9, *std::make_unique<Log>()))).error().code() != 0);
            break;
          }
          acknowledged = written.size();
        }
      }
      disk.restart(seed * 7 + static_cast<uint32_t>(life));
    }
    const auto store = open_embedded(options(folder, disk.name()));
    ASSERT_TRUE(store) << "seed " << seed << ": " << store.error().message();
    check_log(**store, written, acknowledged, seed);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(Durability, AFullDiskRefusesWritesAndGoesOnWhenThereIsRoom) {
  const TempFolder folder;
  MemoryDisk disk("full");
  Log written;
  {
    auto store = std::move(open_embedded(options(folder, disk.name())).value());
    disk.set_capacity(600'000);
    const auto watch = std::move(store->watch({.key = "k", .end = "l"}).value());
    std::mt19937 random(3);
    int refused = 0;
    for (int i = 0; i < 400; ++i) {
      Log attempt;
      const auto done = finish(store->commit(random_txn(random, store->revision() + 1, attempt)));
      if (done) {
        written.insert(written.end(), attempt.begin(), attempt.end());
        continue;
      }
      ++refused;
      ASSERT_EQ(done.error().code(), ENOSPC) << done.error().message();
      EXPECT_NE(done.error().message().find("no space left"), std::string::npos) << done.error().message();
      EXPECT_FALSE(done.error().hint().empty());
      if (refused == 20) disk.set_capacity(SIZE_MAX);
    }
    EXPECT_GE(refused, 20);
    EXPECT_EQ(log_of(*store), written);
    EXPECT_EQ(watch->poll().value().events.size(), written.size());
  }
  auto store = std::move(open_embedded(options(folder, disk.name())).value());
  EXPECT_EQ(log_of(*store), written);
}

// The log cut off or damaged at every kind of place: what is read is what was whole before it.
TEST(Durability, ADamagedLogGivesAPrefix) {
  const TempFolder folder;
  Log written;
  auto store = std::move(open_embedded(options(folder)).value());
  std::mt19937 random(5);
  std::vector<size_t> ends = {0};
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(finish(store->commit(random_txn(random, store->revision() + 1, written))));
    ends.push_back(written.size());
  }
  const std::string database = folder.read("store.db");
  const std::string wal = folder.read("store.db-wal");
  const size_t frame = 8192 + 24;
  std::vector<size_t> places = {0, 1, 31, 32, 33, 32 + 23, 32 + 24, 32 + 25, 32 + frame - 1, 32 + frame};
  for (size_t at = 32; at < wal.size(); at += frame)
    for (const size_t inside : {0ul, 12ul, 24ul, 4096ul, frame - 1}) places.push_back(at + inside);
  for (const bool cut : {true, false})
    for (const size_t place : places) {
      if (place >= wal.size()) continue;
      const TempFolder copy;
      copy.write("store.db", database);
      std::string damaged = wal;
      if (cut)
        damaged.resize(place);
      else
        damaged[place] = static_cast<char>(damaged[place] ^ 0x5a);
      copy.write("store.db-wal", damaged);
      const auto after = open_embedded(options(copy));
      ASSERT_TRUE(after) << place << ": " << after.error().message();
      const Log found = log_of(**after);
      EXPECT_TRUE(std::equal(found.begin(), found.end(), written.begin())) << place;
      EXPECT_TRUE(std::ranges::find(ends, found.size()) != ends.end()) << place << ": part of a transaction";
    }
  const TempFolder whole;
  whole.write("store.db", database);
  whole.write("store.db-wal", wal);
  EXPECT_EQ(log_of(**open_embedded(options(whole))), written);
}

TEST(Durability, WhatIsNoDatabaseIsSaid) {
  const TempFolder folder;
  folder.write("store.db", std::string(20'000, 'x'));
  const auto store = open_embedded(options(folder));
  ASSERT_FALSE(store);
  EXPECT_TRUE(is(store.error(), Code::kCorrupt)) << store.error().message();
  EXPECT_NE(store.error().message().find(folder / "store.db"), std::string::npos) << store.error().message();
  EXPECT_NE(store.error().hint().find("restore"), std::string::npos);
}

// Writes as fast as it can from four threads, and tells of each acknowledged write.
[[noreturn]] void write_until_killed(const std::string& folder, int tell) {
  auto store = open_embedded({.folder = folder, .history = std::chrono::seconds(0)});
  if (!store) _exit(1);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (int i = 0;; ++i) {
        const std::string key = cat(thread, "/", i % 50);
        const std::string value = cat(i);
        Txn txn;
        txn.success.push_back(Put{Draft(key, value)});
        const auto done = finish((*store)->commit(std::move(txn)));
        const std::string line = cat(done ? done->revision : 0, " ", key, " ", value, "\n");
        if (::write(tell, line.data(), line.size()) < 0) _exit(2);
      }
    });
  for (auto& thread : threads) thread.join();
  _exit(0);
}

TEST(Durability, SigkillLosesNothing) {
  const TempFolder folder;
  std::map<Revision, std::string> acknowledged;
  for (int round = 0; round < 5; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) write_until_killed(folder.path(), ends[1]);
    ::close(ends[1]);
    FILE* const told = ::fdopen(ends[0], "r");
    char line[128];
    for (int i = 0; i < 300 * (round + 1) && std::fgets(line, sizeof line, told); ++i) {
      if (i == 300 * round + 150) ::kill(child, SIGKILL);  // and what it told before is still to be read
      const std::string_view text(line);
      acknowledged[std::atoll(line)] = std::string(text.substr(text.find(' ') + 1, text.size() - text.find(' ') - 2));
    }
    ::kill(child, SIGKILL);
    while (std::fgets(line, sizeof line, told)) {
      const std::string_view text(line);
      acknowledged[std::atoll(line)] = std::string(text.substr(text.find(' ') + 1, text.size() - text.find(' ') - 2));
    }
    std::fclose(told);
    ::waitpid(child, nullptr, 0);
    const auto store = open_embedded({.folder = folder.path(), .history = std::chrono::seconds(0), .threads = false});
    ASSERT_TRUE(store) << store.error().message();
    std::map<Revision, std::string> found;
    auto watch =
        std::move((*store)->watch({.key = {}, .end = std::string(kToTheEnd), .from = 2, .buffer = 1 << 20}).value());
    for (const Event& event : watch->poll().value().events)
      found[event.record->mod_revision()] = cat(event.record->key(), " ", event.record->value());
    ASSERT_FALSE(acknowledged.contains(0)) << "a write failed";
    ASSERT_GE(acknowledged.size(), 100u);
    for (const auto& [revision, text] : acknowledged) ASSERT_EQ(found[revision], text) << revision;
  }
}

}  // namespace
}  // namespace proa::kube::store
