#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.h"
#include "kernel/seccomp.h"
#include "oci/runtime/mount_options.h"
#include "oci/runtime/runtime.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {
namespace {

namespace bj = boost::json;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;

bj::value document() { return json::parse(features()).value(); }

std::vector<std::string> strings(const bj::value& array) { return bj::value_to<std::vector<std::string>>(array); }

TEST(Features, HasEveryKeyOfTheSpecification) {
  const bj::value all = document();
  for (const char* pointer : {"/ociVersionMin",
                              "/ociVersionMax",
                              "/hooks",
                              "/mountOptions",
                              "/annotations",
                              "/potentiallyUnsafeConfigAnnotations",
                              "/linux/namespaces",
                              "/linux/capabilities",
                              "/linux/cgroup/v1",
                              "/linux/cgroup/v2",
                              "/linux/cgroup/systemd",
                              "/linux/cgroup/systemdUser",
                              "/linux/cgroup/rdma",
                              "/linux/seccomp/enabled",
                              "/linux/seccomp/actions",
                              "/linux/seccomp/operators",
                              "/linux/seccomp/archs",
                              "/linux/seccomp/knownFlags",
                              "/linux/seccomp/supportedFlags",
                              "/linux/apparmor/enabled",
                              "/linux/selinux/enabled",
                              "/linux/intelRdt/enabled",
                              "/linux/intelRdt/schemata",
                              "/linux/intelRdt/monitoring",
                              "/linux/memoryPolicy/modes",
                              "/linux/memoryPolicy/flags",
                              "/linux/mountExtensions/idmap/enabled",
                              "/linux/netDevices/enabled"}) {
    bj::error_code missing;
    EXPECT_NE(all.find_pointer(pointer, missing), nullptr) << pointer;
  }
}

TEST(Features, ListsAreWhatTheRuntimeTakes) {
  const bj::value all = document();
  EXPECT_THAT(strings(all.at_pointer("/linux/namespaces")),
              ElementsAre("cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"));
  EXPECT_EQ(all.at_pointer("/linux/capabilities").as_array().size(), 41u);
  EXPECT_EQ(strings(all.at("mountOptions")), known_mount_options());
  EXPECT_EQ(all.at("hooks").as_array().size(), 6u);
  EXPECT_THAT(strings(all.at_pointer("/linux/seccomp/knownFlags")),
              IsSupersetOf(strings(all.at_pointer("/linux/seccomp/supportedFlags"))));
}

// "The runtime MUST accept this value as the ociVersion property of config.json."
TEST(Features, VersionsAreAccepted) {
  const bj::value all = document();
  for (const char* key : {"ociVersionMin", "ociVersionMax"}) {
    const std::string config = cat(
        R"({"ociVersion": )", json::quote(all.at(key).as_string()),
        R"(, "root": {"path": "r"}, "process": {"cwd": "/", "args": ["a"], "user": {"uid": 0, "gid": 0}}, "linux": {}})");
    const Result<Spec> spec = parse_spec(config);
    EXPECT_TRUE(spec) << spec.error().message();
  }
}

TEST(Features, SeccompNamesCompile) {
  const bj::value all = document();
  for (const std::string& action : strings(all.at_pointer("/linux/seccomp/actions"))) {
    for (const std::string& op : strings(all.at_pointer("/linux/seccomp/operators"))) {
      kernel::Seccomp profile;
      profile.default_action = "SCMP_ACT_ALLOW";
      profile.architectures = strings(all.at_pointer("/linux/seccomp/archs"));
      profile.flags = strings(all.at_pointer("/linux/seccomp/knownFlags"));
      profile.listener_path = "/run/agent.sock";
      profile.syscalls.push_back({.names = {"chmod"},
                                  .action = action,
                                  .errno_ret = {},
                                  .args = {{.index = 0, .value = 1, .value_two = 1, .op = op}}});
      EXPECT_TRUE(kernel::compile_seccomp(profile)) << action << " " << op;
    }
  }
}

}  // namespace
}  // namespace proa::oci::runtime
