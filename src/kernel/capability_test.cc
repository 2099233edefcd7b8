#include "kernel/capability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/file.h"
#include "kernel/sys.h"

namespace proa::kernel {
namespace {

using ::testing::ElementsAre;

// The kernel's own text for a set: "CapBnd:\t000001ffffffffff".
uint64_t set_from_proc(const char* field) {
  const std::string status = read_file("/proc/self/status").value();
  const size_t at = status.find(field);
  return at == std::string::npos ? ~uint64_t{0}
                                 : std::stoull(status.substr(at + std::string_view(field).size()), nullptr, 16);
}

TEST(Capability, HasFortyOneNamesInOrder) {
  ASSERT_EQ(capability_names().size(), 41u);
  EXPECT_EQ(capability_names()[0], "CAP_CHOWN");
  EXPECT_EQ(capability_names()[21], "CAP_SYS_ADMIN");
  for (int number = 0; number < 41; ++number) EXPECT_EQ(capability_number(capability_name(number)), number);
  EXPECT_EQ(capability_name(41), "");
  EXPECT_EQ(capability_name(-1), "");
}

TEST(Capability, TakesShortAndLowerCaseNames) {
  EXPECT_EQ(capability_number("CAP_NET_ADMIN"), 12);
  EXPECT_EQ(capability_number("NET_ADMIN"), 12);
  EXPECT_EQ(capability_number("cap_net_admin"), 12);
  EXPECT_EQ(capability_number("CAP_"), std::nullopt);
  EXPECT_EQ(capability_number(""), std::nullopt);
  EXPECT_EQ(capability_number("CAP_NET_ADMINX"), std::nullopt);
}

TEST(Capability, MasksReadBothWays) {
  const std::vector<std::string> names = {"CAP_KILL", "CAP_BPF", "CAP_TIME_TRAVEL"};
  std::vector<std::string> unknown;
  const uint64_t mask = capability_mask(names, &unknown);
  EXPECT_EQ(mask, (uint64_t{1} << 5) | (uint64_t{1} << 39));
  EXPECT_THAT(unknown, ElementsAre("CAP_TIME_TRAVEL"));
  EXPECT_THAT(capability_names_of(mask), ElementsAre("CAP_KILL", "CAP_BPF"));
  EXPECT_THAT(capability_names_of(uint64_t{1} << 50), ElementsAre("CAP_50"));
}

TEST(Capability, AgreesWithTheKernel) {
  if (const Result<std::string> last = read_file("/proc/sys/kernel/cap_last_cap"))
    EXPECT_EQ(last_capability(), std::stoi(*last));
  EXPECT_EQ(bounding_capabilities(), set_from_proc("CapBnd:"));
  const CapabilitySets sets = get_capabilities().value();
  EXPECT_EQ(sets.effective, set_from_proc("CapEff:"));
  EXPECT_EQ(sets.permitted, set_from_proc("CapPrm:"));
  EXPECT_EQ(sets.inheritable, set_from_proc("CapInh:"));
}

TEST(Capability, LastIsFoundOnOlderKernels) {
  class OldKernel : public Gate {
    long invoke(const CallShape&, const CallArgs& args) noexcept override { return args[1] <= 37 ? 1 : -EINVAL; }
  } old_kernel;
  ScopedGate scope(old_kernel);
  EXPECT_EQ(last_capability(), 37);
  EXPECT_EQ(all_capabilities(), (uint64_t{1} << 38) - 1);
  EXPECT_EQ(bounding_capabilities(), (uint64_t{1} << 38) - 1);
}

TEST(Capability, LimitsTheBoundingSetToWhatIsKept) {
  RecordingGate gate;
  gate.answer_next("prctl", -EINVAL, "(24, 41)");
  ScopedGate scope(gate);
  ASSERT_TRUE(limit_bounding_capabilities((uint64_t{1} << 41) - 1 - 0b101));
  EXPECT_THAT(gate.calls(), ElementsAre("prctl(24, 0)", "prctl(24, 2)", "prctl(24, 41)"));
}

TEST(Capability, SaysWhichCouldNotBeDropped) {
  RecordingGate gate;
  gate.answer_next("prctl", -EPERM, "(24, 5)");
  ScopedGate scope(gate);
  const Result<> result = limit_bounding_capabilities(0);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "drop CAP_KILL from the bounding set: operation not permitted");
}

TEST(Capability, AmbientOnesThatCannotBeRaisedComeBack) {
  RecordingGate gate;
  gate.answer_next("prctl", -EPERM, "(47, 2, 12, 0, 0)");
  ScopedGate scope(gate);
  EXPECT_EQ(set_ambient_capabilities((uint64_t{1} << 12) | (uint64_t{1} << 5)).value(), uint64_t{1} << 12);
  EXPECT_THAT(gate.calls(), ElementsAre("prctl(47, 4, 0, 0, 0)", "prctl(47, 2, 5, 0, 0)", "prctl(47, 2, 12, 0, 0)"));
}

TEST(Capability, SetsComeThroughInAChild) {
  const uint64_t mine = get_capabilities().value().permitted;
  const pid_t child = fork();
  if (child == 0) {
    // Giving up capabilities is allowed to everyone.
    const uint64_t keep = mine & (uint64_t{1} << 5);
    if (!set_capabilities({.effective = 0, .permitted = keep, .inheritable = 0})) _exit(1);
    const Result<CapabilitySets> now = get_capabilities();
    _exit(now && now->permitted == keep && now->effective == 0 ? 0 : 2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace proa::kernel
