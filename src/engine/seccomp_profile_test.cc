#include "engine/seccomp_profile.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "kernel/capability.h"
#include "oci/spec/spec.h"

namespace proa::engine {
namespace {

std::string spec_with(const std::string& profile) {
  return R"({"ociVersion":"1.2.0","process":{"cwd":"/","args":["a"],"user":{"uid":0,"gid":0}},"root":{"path":"r"},"linux":{"seccomp":)" +
         profile + "}}";
}

TEST(SeccompProfile, IsOneThatTheRuntimeCompiles) {
  for (const uint64_t capabilities : {uint64_t{0}, kernel::all_capabilities(), uint64_t{1} << 21}) {
    const auto profile = default_seccomp(capabilities);
    ASSERT_TRUE(profile) << profile.error().message();
    const auto spec = oci::parse_spec(spec_with(*profile));
    ASSERT_TRUE(spec) << spec.error().message();
    std::vector<std::string> skipped;
    EXPECT_TRUE(kernel::compile_seccomp(*spec->linux_->seccomp, &skipped));
  }
}

TEST(SeccompProfile, CapabilitiesBringTheirCalls) {
  const std::string none = *default_seccomp(0), admin = *default_seccomp(uint64_t{1} << 21);
  EXPECT_EQ(none.find("\"mount\""), std::string::npos);
  EXPECT_NE(admin.find("\"mount\""), std::string::npos);
  EXPECT_NE(none.find("\"SCMP_CMP_MASKED_EQ\""), std::string::npos);
  EXPECT_EQ(admin.find("\"SCMP_CMP_MASKED_EQ\""), std::string::npos);
  EXPECT_NE(none.find("\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38"), std::string::npos);
}

}  // namespace
}  // namespace proa::engine
