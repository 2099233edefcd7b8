#include "oci/runtime/shield.h"

#include <gtest/gtest.h>
#include <linux/capability.h>

#include <cstdlib>

namespace proa::oci::runtime {
namespace {

constexpr uint64_t kTrace = uint64_t{1} << CAP_SYS_PTRACE;

Process with(const Capabilities& sets) {
  Process process;
  process.capabilities = sets;
  return process;
}

TEST(MayTrace, WithTheCapabilityInAnySetItCanBeHadFrom) {
  EXPECT_TRUE(may_trace(with({.bounding = kTrace, .unknown = {}}))) << "by a set-user-id program";
  EXPECT_TRUE(may_trace(with({.effective = kTrace, .unknown = {}})));
  EXPECT_TRUE(may_trace(with({.permitted = kTrace, .unknown = {}})));
  EXPECT_TRUE(may_trace(with({.inheritable = kTrace, .unknown = {}})));
}

TEST(MayTrace, NotWithout) {
  EXPECT_FALSE(may_trace(Process{})) << "no capabilities at all";
  EXPECT_FALSE(may_trace(with({.bounding = ~kTrace, .effective = ~kTrace, .permitted = ~kTrace, .unknown = {}})));
}

TEST(JoinsProcesses, WhenThePidNamespaceIsNotANewOne) {
  Spec spec;
  EXPECT_FALSE(joins_processes(spec));
  spec.linux_.emplace().namespaces = {{NamespaceType::kPid, {}}, {NamespaceType::kNetwork, "/proc/1/ns/net"}};
  EXPECT_FALSE(joins_processes(spec));
  spec.linux_->namespaces[0].path = "/proc/1/ns/pid";
  EXPECT_TRUE(joins_processes(spec));
}

TEST(ShieldProgram, SecondLifeReturnsAtOnceAndForgetsTheMark) {
  ::setenv("_PROA_SHIELDED", "1", 1);
  EXPECT_TRUE(shield_program());
  EXPECT_EQ(std::getenv("_PROA_SHIELDED"), nullptr);
}

}  // namespace
}  // namespace proa::oci::runtime
