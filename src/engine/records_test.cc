#include "engine/records.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/ids.h"

namespace proa::engine {
namespace {

class RecordsTest : public testing::Test {
 protected:
  RecordsTest() {
    char path[] = "/tmp/proa-records-test-XXXXXX";
    folder_ = ::mkdtemp(path);
  }
  ~RecordsTest() override { std::filesystem::remove_all(folder_); }
  Folders folders() const { return {.data = folder_ + "/data", .run = folder_ + "/run"}; }

  std::string make(const std::string& name) {
    const Records records(folders());
    Container c{
        .id = *random_id(), .name = name, .created = "2026-01-02T03:04:05Z", .config = {}, .resolved = {}, .state = {}};
    Locked locked = *records.make(c.id);
    EXPECT_TRUE(records.claim_name(name, c.id));
    EXPECT_TRUE(locked.save_config(c));
    EXPECT_TRUE(locked.save_state(c.state));
    return c.id;
  }
  std::string folder_;
};

TEST_F(RecordsTest, AreFoundByNameIdAndBeginning) {
  const std::string id = make("web");
  const Records records(folders());
  for (const std::string& reference : {std::string("web"), std::string("/web"), id, id.substr(0, 12)})
    EXPECT_EQ(*records.resolve(reference), id);
  EXPECT_EQ(records.resolve("we").error().code(), ENOENT);
  EXPECT_EQ(records.resolve("../web").error().message(), "No such container: ../web");
  EXPECT_EQ(records.load(id)->name, "web");
}

TEST_F(RecordsTest, NamesAreUniqueUntilTheirContainerIsGone) {
  const std::string id = make("web");
  const Records records(folders());
  const std::string other = *random_id();
  const auto taken = records.claim_name("web", other);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), EEXIST);
  EXPECT_NE(taken.error().message().find("is already in use by container \"" + id), std::string::npos);
  {
    Locked locked = *records.lock(id);
    const Container c = *locked.load();
    EXPECT_TRUE(records.remove(locked, c));
  }
  EXPECT_TRUE(records.claim_name("web", other));
  EXPECT_FALSE(records.lock(id));
}

TEST_F(RecordsTest, DeadMakersLeaveNothing) {
  const Records records(folders());
  const std::string id = *random_id();
  {
    const Locked locked = *records.make(id);
    EXPECT_TRUE(records.claim_name("half", id));
    std::vector<std::string> dead;
    EXPECT_TRUE(records.ids(&dead)->empty());
    EXPECT_TRUE(dead.empty());  // its maker lives
    EXPECT_FALSE(records.take_over(id));
    EXPECT_EQ(records.claim_name("half", *random_id()).error().code(), EEXIST);
  }
  std::vector<std::string> dead;
  EXPECT_TRUE(records.ids(&dead)->empty());
  EXPECT_EQ(dead, std::vector{id});
  EXPECT_TRUE(records.claim_name("half", *random_id()));
  const Locked remains = *records.take_over(id);
  EXPECT_TRUE(records.remove(remains, {.id = id}));
  EXPECT_FALSE(std::filesystem::exists(folders().container(id)));
}

TEST_F(RecordsTest, NamesOfKilledRenamingsAreFree) {
  const std::string id = make("web");
  const Records records(folders());
  EXPECT_TRUE(records.claim_name("shop", id));  // and then it was killed
  {
    const Locked renaming = *records.lock(id);
    EXPECT_EQ(records.claim_name("shop", *random_id()).error().code(), EEXIST);
  }
  const std::string other = make("shop");
  EXPECT_EQ(*records.resolve("shop"), other);
  EXPECT_EQ(*records.resolve("web"), id);
  EXPECT_TRUE(records.claim_name("gone", *random_id()));
  EXPECT_TRUE(records.release_dead_names());
  EXPECT_FALSE(std::filesystem::is_symlink(folders().names() + "/gone"));
  EXPECT_EQ(*records.resolve("shop"), other);
}

TEST(Names, AreTwoWords) {
  EXPECT_NE(make_name().find('_'), std::string::npos);
  EXPECT_TRUE(check_name(make_name(), "name"));
}

}  // namespace
}  // namespace proa::engine
