#include "kube/apiserver/access/kubeconfig.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/temp_folder_test.h"
#include "kube/object/yaml.h"

namespace proa::kube::api {
namespace {

using testing::HasSubstr;
using testing::Not;

const KubeconfigEntry kEntry{.name = "proa",
                             .server = "https://127.0.0.1:6443",
                             .authority_pem = "CA",
                             .certificate_pem = "CERT",
                             .key_pem = "KEY"};
constexpr std::string_view kOthers = R"(apiVersion: v1
kind: Config
current-context: work
clusters:
- name: work
  cluster: {server: "https://work.example"}
contexts:
- name: work
  context: {cluster: work, user: me, namespace: dev}
users:
- name: me
  user: {token: secret}
preferences: {colors: true}
)";

TEST(Kubeconfig, MergesAndLeavesOthersAlone) {
  const std::string merged = *merge_kubeconfig(kOthers, kEntry);
  Arena arena;
  const Value config = *read_yaml(arena, merged);
  EXPECT_EQ(config.string("current-context"), "proa");
  ASSERT_EQ(config.get("clusters").size(), 2U);
  EXPECT_EQ(config.get("clusters").items()[0].string({"cluster", "server"}), "https://work.example");
  EXPECT_EQ(config.get("clusters").items()[1].string({"cluster", "certificate-authority-data"}), "Q0E=");
  EXPECT_EQ(config.get("users").items()[0].string({"user", "token"}), "secret");
  EXPECT_TRUE(config.get({"preferences", "colors"}).as_bool());
  EXPECT_EQ(*merge_kubeconfig(merged, kEntry), merged);
  const std::string without = *without_kubeconfig_entry(merged, "proa");
  EXPECT_THAT(without, Not(HasSubstr("proa")));
  EXPECT_THAT(without, HasSubstr("work.example"));
}

TEST(Kubeconfig, KeepsTheNamespaceChosen) {
  std::string text = kubeconfig_text(kEntry);
  text.replace(text.find("    user: proa"), 0, "    namespace: mine\n");
  EXPECT_THAT(*merge_kubeconfig(text, kEntry), HasSubstr("namespace: mine"));
}

TEST(Kubeconfig, RefusesWhatItDoesNotUnderstand) {
  EXPECT_FALSE(merge_kubeconfig("a: [", kEntry));
  EXPECT_FALSE(merge_kubeconfig("- 1", kEntry));
  EXPECT_FALSE(merge_kubeconfig("clusters: {}", kEntry));
  EXPECT_FALSE(merge_kubeconfig("kind: Pod", kEntry));
}

TEST(Kubeconfig, WritesTheFile) {
  const TempFolder folder;
  const KubeconfigOwner owner{.path = folder / "home/.kube/config", .uid = ::geteuid(), .gid = ::getegid()};
  ASSERT_TRUE(write_kubeconfig(owner, kEntry));
  struct stat info{};
  ASSERT_EQ(::stat(owner.path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600);
  EXPECT_NE(::access((owner.path + ".lock").c_str(), F_OK), 0);
  EXPECT_EQ(folder.read("home/.kube/config"), kubeconfig_text(kEntry));
  ASSERT_TRUE(remove_from_kubeconfig(owner, "proa"));
  EXPECT_THAT(folder.read("home/.kube/config"), Not(HasSubstr("6443")));
}

TEST(Kubeconfig, LeavesADamagedFileAlone) {
  const TempFolder folder;
  folder.write("config", "a: [");
  const auto done = write_kubeconfig({.path = folder / "config", .uid = ::geteuid(), .gid = ::getegid()}, kEntry);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("config: "));
  EXPECT_EQ(folder.read("config"), "a: [");
}

// As sudo has it: root writes for another, with that user's rights and no more.
TEST(Kubeconfig, WritesWithTheUsersRights) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const TempFolder folder("/tmp");
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((folder / "home").c_str(), 0700), 0);
  ASSERT_EQ(::chown((folder / "home").c_str(), 12345, 12345), 0);
  ASSERT_EQ(::mkdir((folder / "root").c_str(), 0700), 0);
  ASSERT_TRUE(write_kubeconfig({.path = folder / "home/.kube/config", .uid = 12345, .gid = 12345}, kEntry));
  struct stat info{};
  ASSERT_EQ(::stat((folder / "home/.kube/config").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 12345U);
  EXPECT_FALSE(write_kubeconfig({.path = folder / "root/config", .uid = 12345, .gid = 12345}, kEntry));
}

}  // namespace
}  // namespace proa::kube::api
