#include "kube/store/index.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

namespace proa::kube::store {
namespace {

RecordPtr record(std::string_view key, Revision revision) {
  return Draft(key, "v").finish({.create_revision = 1, .mod_revision = revision, .version = 1});
}

std::map<std::string, Revision> contents(const Index& index, std::string_view from = {}) {
  std::map<std::string, Revision> all;
  std::string last;
  index.walk(from, [&](const Record& found) {
    EXPECT_TRUE(all.empty() || found.key() > last);
    last = found.key();
    all.emplace(found.key(), found.mod_revision());
    return true;
  });
  return all;
}

TEST(Index, IsAMap) {
  Epochs epochs;
  Index index(epochs);
  std::map<std::string, Revision> expected;
  std::mt19937 random(7);
  for (Revision revision = 1; revision < 30'000; ++revision) {
    const std::string key = "/registry/pods/" + std::to_string(random() % 3000);
    // Grows, then shrinks to nothing.
    if (random() % 30'000 > static_cast<unsigned>(revision)) {
      index.push(record(key, revision));
      expected[key] = revision;
    } else {
      index.erase(key);
      expected.erase(key);
    }
    if (revision % 500 == 0) ASSERT_EQ(contents(index), expected);
    const Record* const found = index.find(key);
    ASSERT_EQ(found ? found->mod_revision() : 0, expected.contains(key) ? expected[key] : 0);
  }
  for (const auto& [key, revision] : std::map(expected)) index.erase(key);
  EXPECT_TRUE(contents(index).empty());
  EXPECT_EQ(index.size(), 0u);
}

TEST(Index, WalksFromAnyKey) {
  Epochs epochs;
  Index index(epochs);
  for (int i = 0; i < 1000; ++i) index.push(record(std::to_string(1000 + 2 * i), 1));
  EXPECT_EQ(contents(index, "2001").size(), 499u);
  EXPECT_EQ(contents(index, "2002").size(), 499u);
  EXPECT_EQ(contents(index, "9").size(), 0u);
  EXPECT_EQ(contents(index, "").begin()->first, "1000");
}

TEST(Index, PopBringsTheVersionBefore) {
  Epochs epochs;
  Index index(epochs);
  index.push(record("a", 1));
  index.push(record("a", 2));
  index.pop("a");
  EXPECT_EQ(index.find("a")->mod_revision(), 1);
  index.pop("a");
  EXPECT_EQ(index.find("a"), nullptr);
}

TEST(Index, ALongChainOfVersionsIsFreedWithoutRecursion) {
  Epochs epochs;
  Index index(epochs);
  for (Revision revision = 1; revision <= 300'000; ++revision) index.push(record("a", revision));
  index.erase("a");
}

// Readers always see every key that is there all the time, in order, whatever comes and goes between.
TEST(Index, ReadersRunBesideTheWriter) {
  Epochs epochs;
  Index index(epochs);
  for (int i = 0; i < 500; ++i) index.push(record("k" + std::to_string(1000 + i), 1));
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0;
  std::vector<std::jthread> readers;
  for (int reader = 0; reader < 3; ++reader)
    readers.emplace_back([&] {
      while (!done) {
        const Epochs::Guard guard(epochs);
        int fixed = 0;
        std::string last;
        index.walk("", [&](const Record& found) {
          if (found.key() <= last) ++wrong;
          last = found.key();
          if (found.key().size() == 5) ++fixed;
          return true;
        });
        if (fixed != 500) ++wrong;
      }
    });
  std::mt19937 random(1);
  for (int i = 0; i < 60'000; ++i) {
    const std::string key = "k" + std::to_string(1000 + random() % 500);
    switch (random() % 3) {
      case 0: index.push(record(key + "x" + std::to_string(random() % 9), 2)); break;
      case 1: index.erase(key + "x" + std::to_string(random() % 9)); break;
      case 2:
        index.push(record(key, 3));
        index.cut_previous(*index.find(key));
        break;
    }
  }
  done = true;
  readers.clear();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace proa::kube::store
