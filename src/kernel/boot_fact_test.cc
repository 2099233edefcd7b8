#include "kernel/boot_fact.h"

#include <gtest/gtest.h>

#include "kernel/file.h"
#include "kernel/temp_folder_test.h"

namespace proa::kernel {
namespace {

TEST(BootFact, IsRememberedUntilTheNextBoot) {
  const TempFolder folder;
  const std::string facts = folder.path() + "/facts";
  EXPECT_FALSE(recall_fact("speed", facts));
  remember_fact("speed", "2300000", facts);
  EXPECT_EQ(recall_fact("speed", facts), "2300000");
  ASSERT_TRUE(replace_file(facts + "/speed", "another-boot 7\n", 0644));
  EXPECT_FALSE(recall_fact("speed", facts));
}

TEST(BootFact, ADamagedFileIsNone) {
  const TempFolder folder;
  remember_fact("speed", "1", folder.path());
  for (const std::string& text : {std::string(), boot_id(), boot_id() + " 23"}) {
    ASSERT_TRUE(replace_file(folder.path() + "/speed", text, 0644));
    EXPECT_FALSE(recall_fact("speed", folder.path())) << text;
  }
}

}  // namespace
}  // namespace proa::kernel
