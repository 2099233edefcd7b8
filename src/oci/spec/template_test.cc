#include "oci/spec/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <sstream>

#include "kernel/file.h"
#include "oci/runtime/runtime.h"
#include "oci/spec/spec.h"

namespace proa::oci {
namespace {

using testing::HasSubstr;

Spec made(const TemplateOptions& options) {
  auto text = template_config(options);
  EXPECT_TRUE(text);
  auto spec = parse_spec(text.value_or(""));
  EXPECT_TRUE(spec) << (spec ? "" : spec.error().message());
  return spec.value_or(Spec{});
}

TEST(Template, IsAValidConfigThatConfines) {
  const Spec spec = made({});
  EXPECT_EQ(spec.root->path, "rootfs");
  EXPECT_TRUE(spec.root->readonly);
  EXPECT_TRUE(spec.process->no_new_privileges);
  EXPECT_THAT(spec.process->args, testing::ElementsAre("sh"));
  EXPECT_EQ(spec.mounts.size(), 7u);
  EXPECT_THAT(spec.linux_->masked_paths, testing::Contains("/proc/kcore"));
  EXPECT_THAT(spec.linux_->readonly_paths, testing::Contains("/proc/sys"));
  for (const auto type :
       {NamespaceType::kPid, NamespaceType::kNetwork, NamespaceType::kIpc, NamespaceType::kUts, NamespaceType::kMount})
    EXPECT_NE(spec.linux_->find(type), nullptr);
  EXPECT_EQ(spec.linux_->find(NamespaceType::kUser), nullptr);
  EXPECT_EQ(spec.linux_->find(NamespaceType::kCgroup), nullptr);
  EXPECT_NE(made({.unified_cgroup = true}).linux_->find(NamespaceType::kCgroup), nullptr);
}

TEST(Template, RootlessMapsTheCallerAndAsksForNothingPrivileged) {
  const Spec spec = made({.rootless = true, .uid = 1000, .gid = 4294967290});
  EXPECT_EQ(spec.linux_->find(NamespaceType::kNetwork), nullptr);
  ASSERT_NE(spec.linux_->find(NamespaceType::kUser), nullptr);
  ASSERT_EQ(spec.linux_->uid_mappings.size(), 1u);
  EXPECT_EQ(spec.linux_->uid_mappings[0].host_id, 1000u);
  EXPECT_EQ(spec.linux_->uid_mappings[0].container_id, 0u);
  EXPECT_EQ(spec.linux_->uid_mappings[0].size, 1u);
  EXPECT_EQ(spec.linux_->gid_mappings.at(0).host_id, 4294967290u);
  EXPECT_EQ(spec.linux_->resources, std::nullopt);
  for (const Mount& mount : spec.mounts) {
    EXPECT_THAT(mount.options, testing::Not(testing::Contains(HasSubstr("gid="))));
    if (mount.destination == "/sys") EXPECT_THAT(mount.options, testing::Contains("rbind"));
  }
}

class TemplateFile : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/proa-template-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { EXPECT_TRUE(kernel::remove_tree(folder_)); }
  std::string folder_;
};

TEST_F(TemplateFile, IsWrittenOnceAndNeverOver) {
  ASSERT_TRUE(runtime::write_template(folder_, false));
  auto text = kernel::read_file((folder_ + "/config.json").c_str());
  ASSERT_TRUE(text);
  EXPECT_TRUE(parse_spec(*text));
  auto again = runtime::write_template(folder_, true);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message(), HasSubstr(folder_ + "/config.json"));
  EXPECT_EQ(kernel::read_file((folder_ + "/config.json").c_str()).value_or(""), *text);
}

TEST_F(TemplateFile, AMissingBundleIsNamed) {
  auto written = runtime::write_template(folder_ + "/none", false);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message(), HasSubstr(folder_ + "/none/config.json"));
}

}  // namespace
}  // namespace proa::oci
