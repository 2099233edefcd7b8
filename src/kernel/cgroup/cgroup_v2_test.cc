// Every limit on the unified hierarchy, alone and beside v1.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "kernel/cgroup/cgroup.h"
#include "kernel/cgroup/fake_cgroupfs_test.h"
#include "kernel/cgroup/v2.h"

namespace proa::kernel::cgroup {
namespace {

using Lines = std::vector<std::string>;

class CgroupV2 : public testing::Test {
 protected:
  void SetUp() override { fs_.add_v2({"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"}); }
  Cgroup create(const std::string& path = "/box") {
    auto made = Cgroup::create(fs_.request(path));
    EXPECT_TRUE(made.has_value()) << made.error().message();
    return std::move(*made);
  }
  Lines applied(const Resources& resources) {
    Cgroup group = create();
    fs_.forget_writes();
    const auto done = group.apply(resources);
    EXPECT_TRUE(done.has_value()) << done.error().message();
    return written();
  }
  Lines updated(const Resources& resources) {
    auto opened = Cgroup::open(create().location());
    fs_.forget_writes();
    const auto done = opened->update(resources);
    EXPECT_TRUE(done.has_value()) << done.error().message();
    return written();
  }
  std::string error_of(const Resources& resources) {
    Cgroup group = create();
    const auto done = group.apply(resources);
    EXPECT_FALSE(done.has_value());
    return done ? "" : done.error().message();
  }
  Lines written() {
    Lines out;
    for (const std::string& entry : fs_.writes())
      if (entry.starts_with("box/")) out.push_back(entry.substr(4));
    return out;
  }
  FakeCgroupfs fs_;
};

TEST_F(CgroupV2, SwitchesAllControllersOnAlongThePath) {
  Cgroup group = create("/a/b/box");
  EXPECT_EQ(fs_.read("cgroup.subtree_control"), "cpuset cpu io memory hugetlb pids rdma");
  EXPECT_EQ(fs_.read("a/b/cgroup.subtree_control"), "cpuset cpu io memory hugetlb pids rdma");
  EXPECT_EQ(fs_.read("a/b/box/cgroup.subtree_control"), "");
  EXPECT_TRUE(fs_.exists("a/b/box/memory.max"));
  fs_.forget_writes();
  Cgroup second = create("/a/b/second");
  EXPECT_TRUE(fs_.writes().empty()) << "they are on already";
}

TEST_F(CgroupV2, ParentWithProcessesLeavesControllersOffAndLimitsFailByName) {
  fs_.make("used");
  fs_.write_file("used/cgroup.procs", "5");
  Cgroup group = create("/used/box");
  EXPECT_TRUE(group.apply({}).has_value());
  Resources resources;
  resources.memory.emplace().limit = 4096;
  const auto done = group.apply(resources);
  ASSERT_FALSE(done.has_value());
  EXPECT_TRUE(done.error().message().starts_with(
      "linux.resources.memory.limit: the memory controller cannot be switched on below "))
      << done.error().message();
  fs_.write_file("used/cgroup.procs", "");
}

TEST_F(CgroupV2, RelativePathsAreBesideTheCallersOwn) {
  FakeCgroupfs fs;
  fs.add_v2({"memory"}, "/user.slice/session.scope");
  fs.make("user.slice/session.scope");
  const auto group = Cgroup::create(fs.request("box"));
  ASSERT_TRUE(group.has_value()) << group.error().message();
  EXPECT_TRUE(fs.exists("user.slice/box"));
}

TEST_F(CgroupV2, Cpu) {
  Resources resources;
  CpuResources& cpu = resources.cpu.emplace();
  cpu.shares = 1024;
  cpu.quota = 50000;
  cpu.period = 200000;
  cpu.burst = 1000;
  cpu.idle = 1;
  cpu.cpus = "0-1";
  cpu.mems = "0";
  EXPECT_EQ(applied(resources), (Lines{"cpu.idle: 1", "cpu.weight: 100", "cpu.max.burst: 1000", "cpu.max: 50000 200000",
                                       "cpuset.cpus: 0-1", "cpuset.mems: 0"}));
}

TEST_F(CgroupV2, CpuQuotaAloneKeepsThePeriod) {
  Resources resources;
  resources.cpu.emplace().quota = 50000;
  EXPECT_EQ(applied(resources), (Lines{"cpu.max: 50000 100000"}));
  Cgroup group = create();
  fs_.write_file("box/cpu.max", "1000 20000");
  auto opened = Cgroup::open(group.location());
  fs_.forget_writes();
  ASSERT_TRUE(opened->update(resources).has_value());
  EXPECT_EQ(written(), (Lines{"cpu.max: 50000 20000"}));
  resources.cpu->quota.reset();
  resources.cpu->period = 30000;
  fs_.forget_writes();
  ASSERT_TRUE(opened->update(resources).has_value());
  EXPECT_EQ(written(), (Lines{"cpu.max: 50000 30000"}));
  resources.cpu->period.reset();
  resources.cpu->quota = -1;
  fs_.forget_writes();
  ASSERT_TRUE(opened->update(resources).has_value());
  EXPECT_EQ(written(), (Lines{"cpu.max: max 30000"}));
}

TEST_F(CgroupV2, CpuBurstIsRetriedAfterTheQuota) {
  Resources resources;
  resources.cpu.emplace().quota = 50000;
  resources.cpu->burst = 20000;
  fs_.fail_next_write("box/cpu.max.burst", EINVAL);
  EXPECT_EQ(applied(resources), (Lines{"cpu.max.burst: 20000", "cpu.max: 50000 100000", "cpu.max.burst: 20000"}));
}

TEST(V2Conversions, WeightOfShares) {
  EXPECT_EQ(v2::weight_of_shares(2), 1u);
  EXPECT_EQ(v2::weight_of_shares(1024), 100u);
  EXPECT_EQ(v2::weight_of_shares(262144), 10000u);
  EXPECT_EQ(v2::weight_of_shares(1), 1u);
  EXPECT_EQ(v2::weight_of_shares(1u << 30), 10000u);
  uint64_t last = 0;
  for (uint64_t shares = 2; shares <= 262144; shares += 97) {
    EXPECT_GE(v2::weight_of_shares(shares), last);
    last = v2::weight_of_shares(shares);
  }
}

TEST(V2Conversions, IoWeight) {
  EXPECT_EQ(v2::io_weight_of(10), 1u);
  EXPECT_EQ(v2::io_weight_of(1000), 10000u);
  EXPECT_EQ(v2::io_weight_of(500), 4950u);
  EXPECT_EQ(v2::io_weight_of(1), 1u);
}

TEST(V2Conversions, SwapIsWhatIsLeftOfTheSum) {
  EXPECT_EQ(v2::swap_max(1000, 3000).value(), "2000");
  EXPECT_EQ(v2::swap_max(1000, 1000).value(), "0");
  EXPECT_EQ(v2::swap_max(1000, 0).value(), "");
  EXPECT_EQ(v2::swap_max(1000, -1).value(), "max");
  EXPECT_EQ(v2::swap_max(-1, 0).value(), "max");
  EXPECT_EQ(v2::swap_max(-1, 3000).value(), "3000");
  EXPECT_FALSE(v2::swap_max(0, 3000).has_value());
  EXPECT_FALSE(v2::swap_max(4000, 3000).has_value());
}

TEST_F(CgroupV2, Memory) {
  Resources resources;
  MemoryResources& memory = resources.memory.emplace();
  memory.limit = 1000;
  memory.swap = 3000;
  memory.reservation = 500;
  memory.use_hierarchy = true;
  EXPECT_EQ(applied(resources), (Lines{"memory.swap.max: 2000", "memory.max: 1000", "memory.low: 500"}));
  memory = {};
  memory.limit = -1;
  memory.reservation = -1;
  EXPECT_EQ(applied(resources), (Lines{"memory.swap.max: max", "memory.max: max", "memory.low: max"}));
}

TEST_F(CgroupV2, MemorySwapUpdateUsesTheLimitThatHolds) {
  auto opened = Cgroup::open(create().location());
  fs_.write_file("box/memory.max", "1000");
  Resources resources;
  resources.memory.emplace().swap = 1500;
  fs_.forget_writes();
  ASSERT_TRUE(opened->update(resources).has_value());
  EXPECT_EQ(written(), (Lines{"memory.swap.max: 500"}));
  ASSERT_TRUE(opened->remove().has_value());
  EXPECT_EQ(error_of(resources),
            "linux.resources.memory.swap: needs memory.limit too: cgroup v2 limits swap by itself");
}

TEST_F(CgroupV2, MemoryWithoutSwapAccounting) {
  Cgroup group = create();
  fs_.remove_file("box/memory.swap.max");
  Resources resources;
  resources.memory.emplace().limit = 1000;
  resources.memory->swap = 1000;
  EXPECT_TRUE(group.apply(resources).has_value());
  resources.memory->swap = 2000;
  const auto done = group.apply(resources);
  ASSERT_FALSE(done.has_value());
  EXPECT_TRUE(done.error().message().starts_with("linux.resources.memory.swap: this kernel has no memory.swap.max"));
}

TEST_F(CgroupV2, MemoryCheckBeforeUpdate) {
  Resources resources;
  resources.memory.emplace().limit = 4096;
  EXPECT_EQ(updated(resources), (Lines{"memory.max: 4096"}));
  resources.memory->check_before_update = true;
  EXPECT_EQ(error_of(resources), "linux.resources.memory.limit: 4096 is not above the memory in use, 4096");
  resources.memory->limit = 5000;
  EXPECT_EQ(updated(resources), (Lines{"memory.max: 5000"}));
}

TEST_F(CgroupV2, FieldsWithoutAnEquivalentAreRefused) {
  const auto refused = [&](auto set) {
    Resources resources;
    resources.memory.emplace();
    resources.cpu.emplace();
    resources.block_io.emplace();
    set(resources);
    return error_of(resources);
  };
  EXPECT_EQ(refused([](Resources& r) { r.memory->swappiness = 1; }),
            "linux.resources.memory.swappiness: cgroup v2 has no such limit");
  EXPECT_EQ(refused([](Resources& r) { r.memory->disable_oom_killer = true; }),
            "linux.resources.memory.disableOOMKiller: cgroup v2 has no such limit");
  EXPECT_EQ(refused([](Resources& r) { r.memory->kernel_tcp = 5; }),
            "linux.resources.memory.kernelTCP: cgroup v2 has no such limit");
  EXPECT_EQ(refused([](Resources& r) { r.memory->use_hierarchy = false; }),
            "linux.resources.memory.useHierarchy: cgroup v2 has no such limit");
  EXPECT_EQ(refused([](Resources& r) { r.cpu->realtime_runtime = 5; }),
            "linux.resources.cpu.realtimeRuntime: cgroup v2 has no such limit");
  EXPECT_EQ(refused([](Resources& r) { r.cpu->realtime_period = 5; }),
            "linux.resources.cpu.realtimePeriod: cgroup v2 has no such limit");
  EXPECT_EQ(refused([](Resources& r) { r.block_io->leaf_weight = 5; }),
            "linux.resources.blockIO.leafWeight: cgroup v2 has no such limit");
  EXPECT_EQ(refused([](Resources& r) { r.block_io->weight_device = {{8, 0, {}, 5}}; }),
            "linux.resources.blockIO.weightDevice[0].leafWeight: cgroup v2 has no such limit");
  EXPECT_EQ(refused([](Resources& r) { r.network.emplace().class_id = 5; }),
            "linux.resources.network.classID: no cgroup hierarchy of this container has the net_cls controller");
  EXPECT_EQ(refused([](Resources& r) { r.network.emplace().priorities = {{"e", 1}}; }),
            "linux.resources.network.priorities: no cgroup hierarchy of this container has the net_prio controller");
}

TEST_F(CgroupV2, BlockIoByWeightAndThrottle) {
  Resources resources;
  BlockIoResources& io = resources.block_io.emplace();
  io.weight = 1000;
  io.weight_device = {{.major = 8, .minor = 0, .weight = 10, .leaf_weight = {}}};
  io.throttle_read_bps = {{8, 0, 600}};
  io.throttle_write_bps = {{8, 0, 601}};
  io.throttle_read_iops = {{8, 0, 602}};
  io.throttle_write_iops = {{8, 0, 0}};
  EXPECT_EQ(applied(resources), (Lines{"io.weight: 10000", "io.weight: 8:0 1", "io.max: 8:0 rbps=600",
                                       "io.max: 8:0 wbps=601", "io.max: 8:0 riops=602", "io.max: 8:0 wiops=max"}));
}

TEST_F(CgroupV2, BlockIoByBfq) {
  Cgroup group = create();
  fs_.write_file("box/io.bfq.weight", "default 100");
  Resources resources;
  resources.block_io.emplace().weight = 300;
  resources.block_io->weight_device = {{.major = 8, .minor = 0, .weight = 10, .leaf_weight = {}}};
  fs_.forget_writes();
  ASSERT_TRUE(group.apply(resources).has_value());
  EXPECT_EQ(written(), (Lines{"io.bfq.weight: 300", "io.bfq.weight: 8:0 10"}));
}

TEST_F(CgroupV2, PidsHugetlbRdma) {
  Resources resources;
  resources.pids_limit = 9;
  resources.hugepage_limits = {{"2MB", 4194304}};
  resources.rdma["mlx"].hca_handles = 2;
  EXPECT_EQ(applied(resources), (Lines{"pids.max: 9", "hugetlb.2MB.max: 4194304", "hugetlb.2MB.rsvd.max: 4194304",
                                       "rdma.max: mlx hca_handle=2"}));
}

TEST_F(CgroupV2, UnifiedIsWrittenVerbatimLineByLine) {
  Resources resources;
  resources.unified["io.max"] = "259:0 rbps=1\n253:0 rbps=2";
  resources.unified["memory.high"] = "5";
  resources.unified["cgroup.max.depth"] = "3";
  EXPECT_EQ(applied(resources),
            (Lines{"cgroup.max.depth: 3", "io.max: 259:0 rbps=1", "io.max: 253:0 rbps=2", "memory.high: 5"}));
}

TEST_F(CgroupV2, UnifiedNamesAreChecked) {
  const auto refused = [&](const char* key) {
    Resources resources;
    resources.unified[key] = "1";
    return error_of(resources);
  };
  EXPECT_EQ(refused("../memory.max"), "linux.resources.unified[\"../memory.max\"]: must be a file name, without \"/\"");
  EXPECT_EQ(refused("memory"), "linux.resources.unified[\"memory\"]: must have the form CONTROLLER.PARAMETER");
  EXPECT_EQ(refused("misc.max"),
            "linux.resources.unified[\"misc.max\"]: no cgroup hierarchy of this container has the misc controller");
  EXPECT_TRUE(std::string(refused("memory.nothing"))
                  .starts_with("linux.resources.unified[\"memory.nothing\"]: this kernel has no"));
}

TEST_F(CgroupV2, DevicesAreAProgram) {
  Resources resources;
  resources.devices = {{.allow = false, .type = 'a', .major = {}, .minor = {}, .access = "rwm"}};
  EXPECT_EQ(applied(resources), Lines{});
  EXPECT_EQ(fs_.bpf_calls(), (Lines{"load", "attach"}));
}

TEST_F(CgroupV2, RootlessLeavesDevicesAlone) {
  Request request = fs_.request();
  request.rootless = true;
  auto group = Cgroup::create(request);
  ASSERT_TRUE(group->apply({}).has_value());
  EXPECT_TRUE(fs_.bpf_calls().empty());
}

TEST_F(CgroupV2, EntryAndCloneInto) {
  Cgroup group = create();
  EXPECT_EQ(group.entry_files()->size(), 1u);
  EXPECT_EQ(group.entry_files(false)->size(), 0u);
  EXPECT_TRUE(group.unified_folder()->operator bool());
}

TEST_F(CgroupV2, FreezeWaitsForTheKernelsWord) {
  Cgroup group = create();
  fs_.on_write([&](const std::string& file, const std::string& text) {
    if (file == "box/cgroup.freeze") fs_.write_file("box/cgroup.events", "populated 1\nfrozen " + text);
  });
  ASSERT_TRUE(group.freeze().has_value());
  EXPECT_TRUE(group.frozen().value_or(false));
  ASSERT_TRUE(group.thaw().has_value());
  EXPECT_FALSE(group.frozen().value_or(true));
}

TEST_F(CgroupV2, KillIsOneWrite) {
  Cgroup group = create();
  fs_.forget_writes();
  ASSERT_TRUE(group.signal_all(SIGKILL).has_value());
  EXPECT_EQ(written(), (Lines{"cgroup.kill: 1"}));
}

TEST_F(CgroupV2, DelegateGivesAwayFolderAndProcsOnly) {
  Cgroup group = create();
  EXPECT_TRUE(group.delegate(::getuid()).has_value());
}

class CgroupHybrid : public testing::Test {
 protected:
  void SetUp() override { fs_.add_hybrid(); }
  FakeCgroupfs fs_;
};

TEST_F(CgroupHybrid, EverythingWorksWhereItIs) {
  auto group = Cgroup::create(fs_.request("/p/box"));
  ASSERT_TRUE(group.has_value()) << group.error().message();
  EXPECT_EQ(group->location().hierarchies.size(), 10u);
  EXPECT_TRUE(fs_.writes_to("unified/cgroup.subtree_control").empty()) << "nothing is switched on unasked";
  Resources resources;
  resources.memory.emplace().limit = 4096;
  resources.pids_limit = 5;
  resources.hugepage_limits = {{"2MB", 2097152}};
  ASSERT_TRUE(group->apply(resources).has_value());
  EXPECT_EQ(fs_.read("memory/p/box/memory.limit_in_bytes"), "4096");
  EXPECT_EQ(fs_.read("pids/p/box/pids.max"), "5");
  EXPECT_EQ(fs_.read("unified/cgroup.subtree_control"), "hugetlb");
  EXPECT_EQ(fs_.read("unified/p/box/hugetlb.2MB.max"), "2097152");
  EXPECT_TRUE(fs_.bpf_calls().empty()) << "devices are on v1";
  EXPECT_EQ(group->entry_files()->size(), 10u);
  EXPECT_EQ(group->entry_files(false)->size(), 9u);
  ASSERT_TRUE(group->remove().has_value());
  EXPECT_FALSE(fs_.exists("unified/p"));
}

TEST_F(CgroupHybrid, UnifiedReachesWhatIsOnV2Only) {
  auto group = Cgroup::create(fs_.request());
  Resources resources;
  resources.unified["hugetlb.2MB.max"] = "2097152";
  ASSERT_TRUE(group->apply(resources).has_value());
  EXPECT_EQ(fs_.read("unified/box/hugetlb.2MB.max"), "2097152");
  resources.unified["memory.high"] = "1";
  const auto refused = group->apply(resources);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message(),
            cat("linux.resources.unified[\"memory.high\"]: the memory controller is on cgroup v1 here, at ", fs_.top(),
                "/memory/box"));
}

TEST_F(CgroupHybrid, KillUsesTheUnifiedFolderAndThawsV1) {
  auto group = Cgroup::create(fs_.request());
  fs_.write_file("freezer/box/freezer.state", "FROZEN");
  fs_.write_file("freezer/box/freezer.self_freezing", "1");
  fs_.forget_writes();
  ASSERT_TRUE(group->signal_all(SIGKILL).has_value());
  EXPECT_EQ(fs_.writes(), (Lines{"unified/box/cgroup.kill: 1", "freezer/box/freezer.state: THAWED"}));
}

TEST_F(CgroupHybrid, TheUsualContainerNeedsFewSystemCalls) {
  Resources resources;
  resources.devices = {{.allow = false, .type = 'a', .major = {}, .minor = {}, .access = "rwm"}};
  const int before = fs_.syscalls();
  auto group = Cgroup::create(fs_.request());
  ASSERT_TRUE(group->apply(resources).has_value());
  // A read of the hierarchies, a look (two calls) and a mkdir for each, four cpuset files, 12 device rules.
  EXPECT_LE(fs_.syscalls() - before, 60);
}

}  // namespace
}  // namespace proa::kernel::cgroup
