#include "vmm/machine/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "vmm/boot/layout.h"
#include "vmm/cpu/kvm/kvm.h"
#include "vmm/devices/virtio/rng.h"
#include "vmm/machine/snapshot.h"
#include "vmm/machine/tiny_kernel_test.h"

namespace proa::vmm {

namespace {

using testing::HasSubstr;

// What the guest said, to wait for.
class Said {
 public:
  void add(char byte) {
    const std::lock_guard lock(mutex_);
    text_ += byte;
    changed_.notify_all();
  }
  bool wait_for(std::string_view text) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return text_.contains(text); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
};

class MachineTest : public testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override {
    if (GetParam() == EngineKind::kKvm && probe_kvm() == KvmKind::kNone) GTEST_SKIP() << "no usable /dev/kvm";
  }
  std::unique_ptr<Machine> make(Said& heard, std::optional<Fd> memory = {}, EngineKind kind = GetParam()) {
    auto machine = Machine::create({.memory_bytes = 8 << 20,
                                    .memory_file = std::move(memory),
                                    .engine = kind,
                                    .engine_options = {},
                                    .cpu = cpu,
                                    .serial_output = [&heard](char byte) { heard.add(byte); }});
    EXPECT_TRUE(machine) << machine.error().message();
    EXPECT_TRUE((*machine)->add(std::make_unique<virtio::Rng>()));
    return std::move(*machine);
  }
  std::unique_ptr<Machine> booted() {
    auto machine = make(said);
    const auto done = machine->boot(
        {.kernel = files.path("kernel"), .initrd = {}, .initrd_extra = {}, .command_line = {}, .options = {}});
    EXPECT_TRUE(done) << done.error().message();
    EXPECT_TRUE(machine->start());
    EXPECT_TRUE(said.wait_for("boot\n"));
    return machine;
  }
  TinyKernel files;
  Said said;
  CpuTemplate cpu;
};

TEST_P(MachineTest, BootsTalksAndSwitchesOff) {
  const auto machine = booted();
  machine->serial().input("x");
  EXPECT_TRUE(said.wait_for("a"));
  machine->serial().input("q");
  const End end = machine->wait();
  EXPECT_EQ(End::Kind::kOff, end.kind) << end.message;
  EXPECT_GT(machine->exits()[static_cast<size_t>(ExitCause::kPortOut)], 5u);
}

TEST_P(MachineTest, PausesAndStops) {
  const auto machine = booted();
  ASSERT_TRUE(machine->pause());
  machine->serial().input("x");
  EXPECT_EQ(std::nullopt, machine->ended());
  ASSERT_TRUE(machine->resume());
  EXPECT_TRUE(said.wait_for("a"));
  machine->stop();
  EXPECT_EQ(End::Kind::kStopped, machine->wait().kind);
}

TEST_P(MachineTest, ASnapshotGoesOnElsewhereAndUnderTheOtherEngine) {
  auto machine = booted();
  machine->serial().input("x");
  ASSERT_TRUE(said.wait_for("a"));
  ASSERT_TRUE(machine->pause());
  const SnapshotFiles full{.state = files.path("state"), .memory = files.path("memory")};
  ASSERT_TRUE(write_snapshot(*machine, SnapshotKind::kFull, "how", full, true));
  ASSERT_TRUE(machine->resume());
  machine->serial().input("x");
  ASSERT_TRUE(said.wait_for("ab"));
  ASSERT_TRUE(machine->pause());
  // The page with the counter is in the diff, which makes the full one newer.
  const SnapshotFiles diff{.state = files.path("state2"), .memory = full.memory};
  const auto written = write_snapshot(*machine, SnapshotKind::kDiff, "how", diff, true);
  ASSERT_TRUE(written) << written.error().message();
  machine.reset();

  const SavedMachine saved = read_state_file(diff.state).value();
  EXPECT_EQ("how", saved.description);
  using Generation = std::array<uint64_t, 2>;
  std::set<Generation> generations;
  for (const EngineKind kind : {GetParam(), EngineKind::kKvm, EngineKind::kTranslator}) {
    if (kind == EngineKind::kKvm && probe_kvm() == KvmKind::kNone) continue;
    Said later;
    const auto copy = make(later, kernel::open(full.memory.c_str(), O_RDONLY).value(), kind);
    const auto restored = copy->restore(saved.state);
    ASSERT_TRUE(restored) << restored.error().message();
    EXPECT_EQ(2u, copy->memory().load<uint32_t>(0x101000));
    EXPECT_TRUE(generations.insert(*copy->memory().load<Generation>(kAcpi + 0x8000)).second);
    ASSERT_TRUE(copy->start());
    ASSERT_TRUE(copy->resume());
    copy->serial().input("x");
    EXPECT_TRUE(later.wait_for("c")) << copy->engine().name();
    copy->serial().input("q");
    EXPECT_EQ(End::Kind::kOff, copy->wait().kind);
  }
}

TEST_P(MachineTest, ShowsTheRegistersOfItsTemplate) {
  cpu.msrs = {{.index = 0x10a, .mask = ~0ULL, .bits = 'L'}};
  auto machine = booted();
  machine->serial().input("m");
  EXPECT_TRUE(said.wait_for("L"));
  ASSERT_TRUE(machine->pause());
  const std::string state = machine->save().value();
  const SnapshotFiles files_of{.state = files.path("state"), .memory = files.path("memory")};
  ASSERT_TRUE(write_snapshot(*machine, SnapshotKind::kFull, "", files_of, false));
  Said later;
  const auto copy = make(later, kernel::open(files_of.memory.c_str(), O_RDONLY).value());
  ASSERT_TRUE(copy->restore(state));
  ASSERT_TRUE(copy->start());
  ASSERT_TRUE(copy->resume());
  copy->serial().input("m");
  EXPECT_TRUE(later.wait_for("L"));
}

TEST_P(MachineTest, DamagedStateIsRefused) {
  auto machine = booted();
  ASSERT_TRUE(machine->pause());
  const SnapshotFiles files_of{.state = files.path("state"), .memory = files.path("memory")};
  ASSERT_TRUE(write_snapshot(*machine, SnapshotKind::kFull, "", files_of, false));
  std::string bytes = kernel::read_file(files_of.state.c_str()).value();
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(kernel::replace_file(files_of.state, bytes, 0600));
  EXPECT_THAT(read_state_file(files_of.state).error().message(), HasSubstr("damaged"));
  ASSERT_TRUE(kernel::replace_file(files_of.state, "short", 0600));
  EXPECT_THAT(read_state_file(files_of.state).error().message(), HasSubstr("too short"));
}

INSTANTIATE_TEST_SUITE_P(Engines, MachineTest, testing::Values(EngineKind::kKvm, EngineKind::kTranslator),
                         [](const auto& info) { return info.param == EngineKind::kKvm ? "Kvm" : "Translator"; });

TEST(Cpuid, MasksAndCompletes) {
  const std::vector<CpuidLeaf> supported = {{.leaf = 0, .eax = 0x16},
                                            {.leaf = 1, .ecx = ~0u, .edx = ~0u},
                                            {.leaf = 7, .by_subleaf = true, .ebx = ~0u, .ecx = ~0u, .edx = ~0u},
                                            {.leaf = 0xd, .by_subleaf = true, .eax = 7}};
  const auto leaves =
      guest_cpuid(supported, 2, 4, {{.leaf = 1, .reg = CpuidModifier::Register::kEdx, .mask = 1, .bits = 0}});
  const auto find = [&](uint32_t leaf, uint32_t subleaf = 0) {
    for (const CpuidLeaf& one : leaves)
      if (one.leaf == leaf && one.subleaf == subleaf) return one;
    return CpuidLeaf{};
  };
  EXPECT_EQ(2u, find(1).ebx >> 24);
  EXPECT_EQ(0u, find(1).ecx & 1u << 26) << "XSAVE";
  EXPECT_NE(0u, find(1).ecx & 1u << 21) << "x2APIC";
  EXPECT_NE(0u, find(1).ecx & 1u << 31) << "hypervisor";
  EXPECT_EQ(0u, find(1).edx & 1) << "as modified";
  EXPECT_EQ(0u, find(7).ebx & 1u << 5) << "AVX2";
  EXPECT_NE(0u, find(7).ebx & 1u << 9) << "ERMS";
  EXPECT_EQ(0u, find(0xd).eax);
  EXPECT_EQ(2u, find(0xb, 1).edx);
  EXPECT_EQ(2u, find(0xb, 1).eax);
  EXPECT_EQ(4u, find(0xb, 1).ebx);
}

TEST(CpuTemplateTest, IsForSomeProcessors) {
  const Processor cascade_lake{.intel = true, .family = 6, .model = 0x55, .stepping = 7};
  const Processor newer{.intel = true, .family = 6, .model = 0xcf, .stepping = 2};
  const Processor milan{.amd = true, .family = 0x19, .model = 1, .stepping = 1};
  EXPECT_TRUE(check_processor(StaticTemplate::kT2s, cascade_lake, EngineKind::kKvm));
  EXPECT_TRUE(check_processor(StaticTemplate::kT2a, milan, EngineKind::kKvm));
  EXPECT_TRUE(check_processor(StaticTemplate::kNone, newer, EngineKind::kKvm));
  EXPECT_TRUE(check_processor(StaticTemplate::kT2, newer, EngineKind::kTranslator));
  EXPECT_THAT(check_processor(StaticTemplate::kT2, newer, EngineKind::kKvm).error().message(),
              HasSubstr("model is not permitted"));
  EXPECT_THAT(check_processor(StaticTemplate::kT2, milan, EngineKind::kTranslator).error().message(),
              HasSubstr("vendor mismatched"));
}

TEST(CpuTemplateTest, HidesFeatures) {
  std::vector<CpuidLeaf> supported = {{.leaf = 1, .eax = 0xc06f2, .ecx = ~0u, .edx = ~0u},
                                      {.leaf = 7, .by_subleaf = true, .ebx = ~0u, .ecx = ~0u, .edx = ~0u}};
  const auto leaves = guest_cpuid(supported, 0, 1, static_template(StaticTemplate::kT2cl).cpuid);
  EXPECT_EQ(0x306f2u, leaves[0].eax) << "shown as Haswell";
  EXPECT_EQ(0u, leaves[1].ebx & 1u << 29) << "SHA";
  EXPECT_NE(0u, leaves[1].ebx & 1u << 9) << "ERMS";
  EXPECT_EQ(0u, leaves[1].ecx & 1u << 2) << "UMIP";
  EXPECT_EQ(0x0c0a0c4cu, static_template(StaticTemplate::kT2s).msrs.at(0).apply(~0ULL));
}

TEST(MachinePlan, ImpossibleOnesAreRefused) {
  EXPECT_THAT(Machine::create({.vcpus = 0, .engine_options = {}, .cpu = {}}).error().message(), HasSubstr("vCPUs"));
  EXPECT_THAT(Machine::create({.memory_bytes = 1000, .engine_options = {}, .cpu = {}}).error().message(),
              HasSubstr("memory"));
}

}  // namespace
}  // namespace proa::vmm
