#include "vmm/host/template_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>

#include "kernel/file.h"
#include "kernel/temp_folder_test.h"

namespace proa::vmm {
namespace {

namespace fs = std::filesystem;

class TemplateStoreTest : public testing::Test {
 protected:
  // As write_snapshot() does, without a machine.
  static Result<> save(const std::string& description, const SnapshotFiles& files, size_t memory) {
    TRY(kernel::replace_file(files.state, make_state_file(description, "state of it"), 0600));
    return kernel::replace_file(files.memory, std::string(memory, 'm'), 0600);
  }
  Result<> keep(const TemplateStore& to, std::string_view kind, size_t memory = 4096) {
    return to.keep(kind, [memory](const std::string& description, const SnapshotFiles& files) {
      return save(description, files, memory);
    });
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    if (fs::exists(path))
      for (const auto& entry : fs::directory_iterator(path)) found.push_back(entry.path().filename());
    return found;
  }

  TempFolder folder;
  const std::string path = folder / "machines";
  TemplateStore store{path};
};

TEST_F(TemplateStoreTest, FindsWhatWasKeptOfThatKind) {
  EXPECT_FALSE(store.find("a"));
  ASSERT_TRUE(keep(store, "a"));
  const auto found = store.find("a");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state, "state of it");
  EXPECT_EQ(kernel::read_all(found->memory.get()).value(), std::string(4096, 'm'));
  EXPECT_FALSE(store.find("b"));
}

TEST_F(TemplateStoreTest, WhatIsInUseOutlivesItsEviction) {
  const TemplateStore small(path, {.count = 1, .bytes = 1 << 20});
  ASSERT_TRUE(keep(small, "a"));
  const auto found = small.find("a");
  ASSERT_TRUE(keep(small, "b"));
  EXPECT_FALSE(small.find("a"));
  EXPECT_TRUE(small.find("b"));
  EXPECT_EQ(names().size(), 1);
  EXPECT_EQ(kernel::read_all(found->memory.get()).value().size(), 4096);
}

TEST_F(TemplateStoreTest, EvictsWhatWasNotUsedForLongest) {
  const TemplateStore small(path, {.count = 2, .bytes = 1 << 20});
  ASSERT_TRUE(keep(small, "a"));
  ASSERT_TRUE(keep(small, "b"));
  ASSERT_TRUE(small.find("a"));
  ASSERT_TRUE(keep(small, "c"));
  EXPECT_TRUE(small.find("a"));
  EXPECT_FALSE(small.find("b"));
  const TemplateStore bytes(path, {.count = 9, .bytes = 21'000});
  ASSERT_TRUE(keep(bytes, "d", 16'384));
  EXPECT_EQ(names().size(), 2) << "21 KB hold the new one and one of 4 KiB";
}

TEST_F(TemplateStoreTest, AKilledMakerLeavesNothingForLong) {
  fs::create_directories(path + "/deadbeef-00.part");
  fs::create_directories(path + "/deadbeef-00");
  ASSERT_TRUE(keep(store, "a"));
  EXPECT_EQ(names().size(), 1) << "the rest was of another boot";
  const std::string part = path + "/" + names()[0] + ".part";
  fs::create_directories(part);
  kernel::write_all(kernel::open((part + "/memory").c_str(), O_WRONLY | O_CREAT, 0600)->get(), "half").value();
  ASSERT_TRUE(keep(store, "a"));
  EXPECT_EQ(names().size(), 1);
  EXPECT_TRUE(store.find("a"));
}

TEST_F(TemplateStoreTest, OnlyOneMakesIt) {
  const auto inner = [&](const std::string& description, const SnapshotFiles& files) -> Result<> {
    const auto again = keep(store, "a");
    EXPECT_FALSE(again);
    if (!again) EXPECT_EQ(again.error().code(), EBUSY);
    return save(description, files, 4096);
  };
  ASSERT_TRUE(store.keep("a", inner));
  EXPECT_TRUE(store.find("a"));
}

TEST_F(TemplateStoreTest, WhatCannotBeSavedOrReadIsNone) {
  EXPECT_FALSE(store.keep("a", [](const auto&, const auto&) -> Result<> { return fail("no"); }));
  EXPECT_TRUE(names().empty());
  ASSERT_TRUE(keep(store, "a"));
  ASSERT_TRUE(kernel::replace_file(path + "/" + names()[0] + "/state", "PROAVMS1 damaged", 0600));
  EXPECT_FALSE(store.find("a"));
  ASSERT_TRUE(keep(store, "a"));
  EXPECT_TRUE(store.find("a"));
  store.drop("a");
  EXPECT_TRUE(names().empty());
}

}  // namespace
}  // namespace proa::vmm
