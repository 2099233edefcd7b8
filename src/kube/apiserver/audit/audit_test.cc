#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "kernel/temp_folder_test.h"
#include "kube/apiserver/audit/log.h"
#include "kube/apiserver/audit/policy.h"

namespace proa::kube::api {
namespace {

using testing::HasSubstr;

constexpr std::string_view kPolicy = R"(
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  users: ["system:kube-proxy"]
  verbs: [watch]
- level: None
  nonResourceURLs: ["/healthz*", "/version"]
- level: Metadata
  resources:
  - group: ""
    resources: [secrets, "pods/log", "*/status", "services/*"]
- level: RequestResponse
  omitManagedFields: false
  omitStages: [ResponseStarted]
  namespaces: [prod]
  resources: [{group: apps}]
- level: Request
  userGroups: [dev]
)";

class AuditPolicyTest : public testing::Test {
 protected:
  AuditDecision of(std::string_view verb, std::string_view group, std::string_view resource, std::string_view sub = {},
                   std::string_view ns = "x", const User& user = {}) {
    return policy_.decide({.user = user,
                           .is_resource = true,
                           .verb = verb,
                           .group = group,
                           .version = "v1",
                           .ns = ns,
                           .resource = resource,
                           .subresource = sub,
                           .name = "n",
                           .path = {},
                           .field_selector = {},
                           .label_selector = {}});
  }
  AuditLevel level(std::string_view verb, std::string_view group, std::string_view resource, std::string_view sub = {},
                   std::string_view ns = "x", const User& user = {}) {
    return of(verb, group, resource, sub, ns, user).level;
  }
  AuditLevel path(std::string_view path) {
    const User user;
    return policy_
        .decide({.user = user,
                 .is_resource = false,
                 .verb = "get",
                 .group = {},
                 .version = {},
                 .ns = {},
                 .resource = {},
                 .subresource = {},
                 .name = {},
                 .path = path,
                 .field_selector = {},
                 .label_selector = {}})
        .level;
  }
  AuditPolicy policy_ = *AuditPolicy::parse(kPolicy);
};

TEST_F(AuditPolicyTest, TheFirstRuleThatFitsDecides) {
  const User proxy{.name = "system:kube-proxy", .uid = {}, .groups = {}, .extra = {}};
  const User dev{.name = "jane", .uid = {}, .groups = {"dev"}, .extra = {}};
  EXPECT_EQ(level("watch", "", "secrets", "", "x", proxy), AuditLevel::kNone);
  EXPECT_EQ(level("get", "", "secrets", "", "x", proxy), AuditLevel::kMetadata);
  EXPECT_EQ(level("get", "", "pods", "log"), AuditLevel::kMetadata);
  EXPECT_EQ(level("get", "", "pods"), AuditLevel::kNone);
  EXPECT_EQ(level("update", "", "pods", "status"), AuditLevel::kMetadata);
  EXPECT_EQ(level("get", "", "services", "proxy"), AuditLevel::kMetadata);
  EXPECT_EQ(level("get", "apps", "deployments", "", "prod"), AuditLevel::kRequestResponse);
  EXPECT_EQ(level("get", "apps", "deployments", "", "test"), AuditLevel::kNone);
  EXPECT_EQ(level("get", "apps", "deployments", "", "test", dev), AuditLevel::kRequest);
  EXPECT_EQ(path("/healthz/ping"), AuditLevel::kNone);
}

TEST_F(AuditPolicyTest, StagesAndManagedFields) {
  const AuditDecision secret = of("get", "", "secrets"), prod = of("get", "apps", "deployments", "", "prod");
  EXPECT_TRUE(secret.omits(AuditStage::kRequestReceived));
  EXPECT_FALSE(secret.omits(AuditStage::kResponseStarted));
  EXPECT_TRUE(secret.omit_managed_fields);
  EXPECT_TRUE(prod.omits(AuditStage::kRequestReceived));
  EXPECT_TRUE(prod.omits(AuditStage::kResponseStarted));
  EXPECT_FALSE(prod.omit_managed_fields);
}

TEST(AuditPolicy, ErrorsNameTheField) {
  const auto why = [](std::string_view rules) {
    const auto policy = AuditPolicy::parse(cat("apiVersion: audit.k8s.io/v1\nkind: Policy\n", rules));
    return policy ? std::string() : policy.error().message();
  };
  EXPECT_THAT(why("rules: []"), HasSubstr("rules: there are none"));
  EXPECT_THAT(why("rules: [{level: Most}]"), HasSubstr("rules[0].level"));
  EXPECT_THAT(why("rules: [{level: None}, {level: None, user: [x]}]"), HasSubstr("rules[1].user: is not known"));
  EXPECT_THAT(why("rules: [{level: None, nonResourceURLs: [x]}]"), HasSubstr("rules[0].nonResourceURLs"));
  EXPECT_THAT(why("rules: [{level: None, omitStages: [Later]}]"), HasSubstr("rules[0].omitStages"));
  EXPECT_THAT(why("rules: [{level: None, resources: [{resourceNames: [a]}]}]"),
              HasSubstr("resources[0].resourceNames"));
  EXPECT_FALSE(AuditPolicy::parse("kind: Policy\nrules: [{level: None}]"));
  EXPECT_FALSE(AuditPolicy::parse("a: ["));
}

TEST(AuditLog, NothingIsLostAndFilesAreTurnedOver) {
  const TempFolder folder;
  const std::string path = folder / "audit.log";
  {
    const auto log = *AuditLog::open({.path = path, .most_bytes = 1000});
    for (int i = 0; i < 1000; ++i) log->add(cat("line ", i));
  }
  int lines = 0;
  std::vector<std::string> files;
  for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
    files.push_back(file.path().filename());
    EXPECT_LE(file.file_size(), 1000U);
    struct stat info{};
    ASSERT_EQ(::stat(file.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600);
    const std::string text = folder.read(files.back());
    EXPECT_TRUE(text.ends_with('\n') || text.empty());
    lines += static_cast<int>(std::ranges::count(text, '\n'));
  }
  EXPECT_GT(files.size(), 1U);
  // Backups of one millisecond would have one name.
  EXPECT_EQ(lines, 1000);
}

TEST(AuditLog, KeepsSoManyBackups) {
  const TempFolder folder;
  folder.write("audit-notes.log", "somebody's");
  {
    const auto log = *AuditLog::open({.path = folder / "audit.log", .most_bytes = 100, .most_backups = 2});
    for (int i = 0; i < 100; ++i) log->add("a line of some thirty characters");
  }
  size_t count = 0;
  for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(folder.path())) ++count;
  EXPECT_EQ(count, 4U);
  EXPECT_EQ(folder.read("audit-notes.log"), "somebody's");
}

TEST(AuditLog, GoesOnInTheFileThatIsThere) {
  const TempFolder folder;
  folder.write("audit.log", "before\n");
  {
    (*AuditLog::open({.path = folder / "audit.log"}))->add("after");
  }
  EXPECT_EQ(folder.read("audit.log"), "before\nafter\n");
  EXPECT_THAT(AuditLog::open({.path = "/nowhere/audit.log"}).error().message(), HasSubstr("/nowhere/audit.log"));
}

}  // namespace
}  // namespace proa::kube::api
