#include "kube/store/backup.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/temp_folder_test.h"
#include "kube/store/embedded.h"

namespace proa::kube::store {
namespace {

class BackupTest : public testing::Test {
 protected:
  std::unique_ptr<EmbeddedStore> open(const std::string& name) {
    auto store = open_embedded({.folder = name.empty() ? name : folder / name, .threads = false});
    EXPECT_TRUE(store) << store.error().message();
    return std::move(*store);
  }
  static Revision put(Store& store, std::string_view key, std::string_view value, LeaseId lease = 0) {
    Txn txn;
    txn.success.push_back(Put{Draft(key, value, 5), lease});
    return finish(store.commit(std::move(txn))).value().revision;
  }
  // A store with something of everything; revision 6.
  std::unique_ptr<EmbeddedStore> filled(const std::string& name) {
    auto store = open(name);
    finish(store->grant(60, 77)).value();
    put(*store, "/a", "1");
    put(*store, "/b", std::string("\0\n\xff", 3));
    put(*store, "/a", "2", 77);
    put(*store, "/gone", "x");
    Txn txn;
    txn.success.push_back(Delete{"/gone", ""});
    finish(store->commit(std::move(txn))).value();
    return store;
  }
  static std::string text(Store& store, bool revisions) {
    std::string out;
    for (const RecordPtr& record : store.range({.key = {}, .end = std::string(kToTheEnd)}).value().records) {
      out += cat(record->key(), "=", record->value(), " note ", record->note(), " lease ", record->lease());
      if (revisions) out += cat(" ", record->create_revision(), ",", record->mod_revision(), ",", record->version());
      out += "\n";
    }
    return out;
  }

  TempFolder folder;
};

TEST_F(BackupTest, AFolderIsRestoredWithItsRevisions) {
  const auto store = filled("old");
  const BackupInfo made = backup_store(*store, folder / "file").value();
  EXPECT_EQ(made.revision, 6);
  EXPECT_EQ(made.records, 2u);
  EXPECT_EQ(made.leases, 1u);
  struct stat about{};
  ASSERT_EQ(::stat((folder / "file").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  EXPECT_EQ(static_cast<uint64_t>(about.st_size), made.bytes);

  const auto restored = restore_folder(folder / "file", folder / "new");
  ASSERT_TRUE(restored) << restored.error().message();
  const auto after = open("new");
  EXPECT_EQ(text(*after, true), text(*store, true));
  EXPECT_EQ(after->revision(), 6 + kRestoreGap);
  EXPECT_TRUE(is(after->watch({.key = "/a", .from = 7}).error(), Code::kCompacted)) << "clients list again";
  EXPECT_EQ(put(*after, "/c", "new"), 7 + kRestoreGap);
  EXPECT_EQ(finish(after->leases()).value().size(), 1u);
  EXPECT_EQ(restore_folder(folder / "file", folder / "new").error().code(), EEXIST);
}

TEST_F(BackupTest, AFolderInUseCanBeBackedUpFromBeside) {
  const auto store = filled("old");
  const BackupInfo made = backup_folder(folder / "old", folder / "file").value();
  EXPECT_EQ(made.revision, 6);
  put(*store, "/later", "x");
  restore_folder(folder / "file", folder / "new").value();
  EXPECT_EQ(open("new")->range(Range::of_prefix("/")).value().count, 2);
}

TEST_F(BackupTest, AnotherStoreTakesTheKeys) {
  const auto store = filled("old");
  for (int i = 0; i < 500; ++i) put(*store, cat("/many/", i), std::string(5000, 'x'));
  backup_store(*store, folder / "file").value();
  const auto other = open("");
  restore_store(folder / "file", *other).value();
  EXPECT_EQ(text(*other, false), text(*store, false));
  EXPECT_EQ(restore_store(folder / "file", *other).error().code(), EEXIST);
}

TEST_F(BackupTest, WhatIsNotWholeIsRefused) {
  const auto store = filled("old");
  backup_store(*store, folder / "file").value();
  const std::string whole = folder.read("file");
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    folder.write("damaged", damaged);
    const auto checked = check_backup(folder / "damaged");
    ASSERT_FALSE(checked) << at;
    EXPECT_TRUE(is(checked.error(), Code::kCorrupt)) << checked.error().message();
    EXPECT_NE(checked.error().message().find("damaged: "), std::string::npos);
    folder.write("damaged", whole.substr(0, at));
    ASSERT_FALSE(check_backup(folder / "damaged")) << at;
  }
  EXPECT_FALSE(restore_folder(folder / "damaged", folder / "new"));
  EXPECT_NE(::access((folder / "new").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace proa::kube::store
