// Every limit on cgroup v1, and what a container's cgroup goes through there.
#include <gtest/gtest.h>
#include <signal.h>

#include "kernel/cgroup/cgroup.h"
#include "kernel/cgroup/fake_cgroupfs_test.h"

namespace proa::kernel::cgroup {
namespace {

class CgroupV1 : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb",
                             "net_cls", "net_prio", "rdma", "name=systemd"})
      fs_.add_v1(name);
  }
  Cgroup create(const std::string& path = "/box") {
    auto made = Cgroup::create(fs_.request(path));
    EXPECT_TRUE(made.has_value()) << made.error().message();
    return std::move(*made);
  }
  // Everything apply() writes to one controller's files.
  std::vector<std::string> applied(const Resources& resources, const std::string& controller) {
    Cgroup group = create();
    fs_.forget_writes();
    const auto done = group.apply(resources);
    EXPECT_TRUE(done.has_value()) << done.error().message();
    return written(controller);
  }
  std::vector<std::string> updated(const Resources& resources, const std::string& controller) {
    Cgroup group = create();
    auto opened = Cgroup::open(group.location());
    fs_.forget_writes();
    const auto done = opened->update(resources);
    EXPECT_TRUE(done.has_value()) << done.error().message();
    return written(controller);
  }
  std::string error_of(const Resources& resources) {
    Cgroup group = create();
    const auto done = group.apply(resources);
    EXPECT_FALSE(done.has_value());
    return done ? "" : done.error().message();
  }
  std::vector<std::string> written(const std::string& controller) {
    std::vector<std::string> out;
    const std::string prefix = controller + "/box/";
    for (const std::string& entry : fs_.writes())
      if (entry.starts_with(prefix)) out.push_back(entry.substr(prefix.size()));
    return out;
  }
  FakeCgroupfs fs_;
};
using Lines = std::vector<std::string>;

TEST_F(CgroupV1, CreatesOneFolderPerHierarchyAndRemovesThem) {
  Cgroup group = create();
  EXPECT_EQ(group.location().hierarchies.size(), 13u);
  EXPECT_TRUE(fs_.exists("memory/box"));
  EXPECT_TRUE(fs_.exists("systemd/box"));
  fs_.make("memory/box/inner/deep");
  ASSERT_TRUE(group.remove().has_value());
  EXPECT_FALSE(fs_.exists("memory/box"));
  EXPECT_FALSE(fs_.exists("cpu/box"));
  EXPECT_TRUE(group.remove().has_value()) << "a second time is fine";
}

TEST_F(CgroupV1, RemovesOnlyTheParentsItMade) {
  fs_.make("memory/kept");
  Cgroup group = create("/kept/made/box");
  Cgroup other = create("/kept/made/other");
  ASSERT_TRUE(group.remove().has_value());
  EXPECT_TRUE(fs_.exists("memory/kept/made/other")) << "the parent is still in use";
  Cgroup again = create("/kept/made/box");
  ASSERT_TRUE(other.remove().has_value());
  ASSERT_TRUE(again.remove().has_value());
  Cgroup alone = create("/new/made/box");
  auto opened = Cgroup::open(alone.location());
  ASSERT_TRUE(opened->remove().has_value());
  EXPECT_FALSE(fs_.exists("memory/new"));
  EXPECT_TRUE(fs_.exists("memory/kept"));
}

TEST_F(CgroupV1, LeavesNothingWhenOneHierarchyFails) {
  fs_.fail_mkdir("pids/box", ENOSPC);
  const auto made = Cgroup::create(fs_.request());
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code(), ENOSPC);
  for (const char* name : {"cpu", "memory", "blkio", "systemd"}) EXPECT_FALSE(fs_.exists(std::string(name) + "/box"));
}

TEST_F(CgroupV1, FindTakesWhatADeadCreatorLeft) {
  fs_.make("memory/box");
  fs_.make("pids/box/sub");
  fs_.write_file("pids/box/sub/cgroup.procs", "42");
  auto found = Cgroup::find(fs_.request());
  ASSERT_TRUE(found.has_value()) << found.error().message();
  EXPECT_EQ(found->location().hierarchies.size(), 2u);
  EXPECT_FALSE(found->remove().has_value());
  fs_.write_file("pids/box/sub/cgroup.procs", "");
  ASSERT_TRUE(found->remove().has_value());
  EXPECT_FALSE(fs_.exists("memory/box"));
  EXPECT_FALSE(fs_.exists("pids/box"));
}

TEST_F(CgroupV1, EmptyPathIsTheIdBelowTheCallersOwn) {
  FakeCgroupfs fs;
  fs.add_v1("memory", "/mine");
  fs.make("memory/mine");
  const auto group = Cgroup::create(fs.request(""));
  ASSERT_TRUE(group.has_value()) << group.error().message();
  EXPECT_TRUE(fs.exists("memory/mine/id"));
}

TEST_F(CgroupV1, RefusesThePathOfTheTop) {
  const auto made = Cgroup::create(fs_.request("/.."));
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().message(), "linux.cgroupsPath: \"/..\" names no cgroup");
}

TEST_F(CgroupV1, RefusesACgroupInUse) {
  fs_.make("memory/box");
  fs_.write_file("memory/box/cgroup.procs", "42");
  const auto made = Cgroup::create(fs_.request());
  ASSERT_FALSE(made.has_value());
  EXPECT_NE(made.error().message().find("has processes in it already"), std::string::npos) << made.error().message();
  EXPECT_FALSE(fs_.exists("cpu/box"));
  EXPECT_TRUE(fs_.exists("memory/box"));
}

TEST_F(CgroupV1, RefusesAFrozenCgroup) {
  fs_.make("freezer/box");
  fs_.write_file("freezer/box/freezer.state", "FROZEN");
  fs_.write_file("freezer/box/freezer.self_freezing", "1");
  const auto made = Cgroup::create(fs_.request());
  ASSERT_FALSE(made.has_value());
  EXPECT_NE(made.error().message().find("is frozen"), std::string::npos) << made.error().message();
}

TEST_F(CgroupV1, RootlessSkipsWhatItMayNotWrite) {
  fs_.fail_mkdir("memory/id", EACCES);
  Request request = fs_.request("");
  request.rootless = true;
  auto group = Cgroup::create(request);
  ASSERT_TRUE(group.has_value()) << group.error().message();
  EXPECT_EQ(group->location().hierarchies.size(), 12u);
  Resources resources;
  resources.memory.emplace().limit = 1 << 20;
  const auto done = group->apply(resources);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().message(),
            "linux.resources.memory.limit: no cgroup hierarchy of this container has the memory controller");
  request.cgroups_path = "/id";
  EXPECT_FALSE(Cgroup::create(request).has_value()) << "a path that was asked for must work";
}

TEST_F(CgroupV1, CpusetIsFilledFromTheNearestParentThatHasOne) {
  fs_.make("cpuset/a/b");
  Cgroup group = create("/a/b/box");
  ASSERT_TRUE(group.apply({}).has_value());
  EXPECT_EQ(fs_.read("cpuset/a/cpuset.cpus"), "0-3");
  EXPECT_EQ(fs_.read("cpuset/a/b/cpuset.mems"), "0");
  EXPECT_EQ(fs_.read("cpuset/a/b/box/cpuset.cpus"), "0-3");
}

TEST_F(CgroupV1, ParentsAreFilledBeforeAnAskedCpusetIsWritten) {
  fs_.make("cpuset/a");
  Cgroup group = create("/a/box");
  Resources resources;
  resources.cpu = CpuResources{.cpus = "1"};
  ASSERT_TRUE(group.apply(resources).has_value());
  EXPECT_EQ(fs_.read("cpuset/a/cpuset.cpus"), "0-3");
  EXPECT_EQ(fs_.read("cpuset/a/box/cpuset.cpus"), "1");
}

TEST_F(CgroupV1, CpusetAskedForIsNotFilledFirst) {
  Resources resources;
  resources.cpu.emplace().cpus = "1";
  EXPECT_EQ(applied(resources, "cpuset"), (Lines{"cpuset.cpus: 1", "cpuset.mems: 0"}));
  resources.cpu->mems = "0";
  EXPECT_EQ(updated(resources, "cpuset"), (Lines{"cpuset.cpus: 1", "cpuset.mems: 0"}));
}

TEST_F(CgroupV1, Cpu) {
  Resources resources;
  CpuResources& cpu = resources.cpu.emplace();
  cpu.shares = 512;
  cpu.quota = 50000;
  cpu.period = 200000;
  cpu.burst = 1000;
  cpu.idle = 1;
  cpu.realtime_runtime = 9000;
  cpu.realtime_period = 800000;
  EXPECT_EQ(applied(resources, "cpu"),
            (Lines{"cpu.shares: 512", "cpu.cfs_period_us: 200000", "cpu.cfs_burst_us: 1000", "cpu.cfs_quota_us: 50000",
                   "cpu.idle: 1", "cpu.rt_period_us: 800000", "cpu.rt_runtime_us: 9000"}));
}

TEST_F(CgroupV1, CpuPeriodAndBurstAreRetriedAfterTheQuota) {
  Resources resources;
  CpuResources& cpu = resources.cpu.emplace();
  cpu.quota = 5000;
  cpu.period = 10000;
  cpu.burst = 1000;
  fs_.fail_next_write("cpu/box/cpu.cfs_period_us", EINVAL);
  fs_.fail_next_write("cpu/box/cpu.cfs_burst_us", EINVAL);
  EXPECT_EQ(updated(resources, "cpu"),
            (Lines{"cpu.cfs_period_us: 10000", "cpu.cfs_burst_us: 1000", "cpu.cfs_quota_us: 5000",
                   "cpu.cfs_period_us: 10000", "cpu.cfs_burst_us: 1000"}));
}

TEST_F(CgroupV1, CpuRealtimePeriodIsRetriedAfterTheRuntime) {
  Resources resources;
  resources.cpu.emplace().realtime_period = 1000;
  resources.cpu->realtime_runtime = 500;
  fs_.fail_next_write("cpu/box/cpu.rt_period_us", EINVAL);
  EXPECT_EQ(updated(resources, "cpu"),
            (Lines{"cpu.rt_period_us: 1000", "cpu.rt_runtime_us: 500", "cpu.rt_period_us: 1000"}));
}

TEST_F(CgroupV1, CpuSharesOutsideTheKernelsRangeAreRefused) {
  Resources resources;
  resources.cpu.emplace().shares = 1;
  EXPECT_EQ(error_of(resources), "linux.resources.cpu.shares: 1 is below the minimum 2");
  resources.cpu->shares = 262145;
  EXPECT_EQ(error_of(resources), "linux.resources.cpu.shares: 262145 is above the maximum 262144");
}

TEST_F(CgroupV1, Memory) {
  Resources resources;
  MemoryResources& memory = resources.memory.emplace();
  memory.limit = 1000;
  memory.swap = 2000;
  memory.reservation = 500;
  memory.kernel = 100;
  memory.kernel_tcp = 300;
  memory.swappiness = 0;
  memory.disable_oom_killer = true;
  memory.use_hierarchy = true;
  EXPECT_EQ(applied(resources, "memory"),
            (Lines{"memory.use_hierarchy: 1", "memory.limit_in_bytes: 1000", "memory.memsw.limit_in_bytes: 2000",
                   "memory.soft_limit_in_bytes: 500", "memory.kmem.tcp.limit_in_bytes: 300", "memory.swappiness: 0",
                   "memory.oom_control: 1"}));
  EXPECT_EQ(ignored_fields(resources).size(), 1u);
}

TEST_F(CgroupV1, MemoryUpdateRaisesSwapFirstAndLowersItLast) {
  Cgroup group = create();
  fs_.write_file("memory/box/memory.limit_in_bytes", "1000");
  auto opened = Cgroup::open(group.location());
  Resources resources;
  resources.memory.emplace().limit = 3000;
  resources.memory->swap = 4000;
  fs_.forget_writes();
  ASSERT_TRUE(opened->update(resources).has_value());
  EXPECT_EQ(written("memory"), (Lines{"memory.memsw.limit_in_bytes: 4000", "memory.limit_in_bytes: 3000"}));
  resources.memory->limit = 500;
  resources.memory->swap = 600;
  fs_.forget_writes();
  ASSERT_TRUE(opened->update(resources).has_value());
  EXPECT_EQ(written("memory"), (Lines{"memory.limit_in_bytes: 500", "memory.memsw.limit_in_bytes: 600"}));
  resources.memory->limit = -1;
  resources.memory->swap.reset();
  fs_.forget_writes();
  ASSERT_TRUE(opened->update(resources).has_value());
  EXPECT_EQ(written("memory"), (Lines{"memory.memsw.limit_in_bytes: -1", "memory.limit_in_bytes: -1"}));
}

TEST_F(CgroupV1, MemoryUnlimitedWithoutSwapAccounting) {
  Cgroup group = create();
  fs_.remove_file("memory/box/memory.memsw.limit_in_bytes");
  Resources resources;
  resources.memory.emplace().limit = -1;
  fs_.forget_writes();
  ASSERT_TRUE(group.apply(resources).has_value());
  EXPECT_EQ(written("memory"), (Lines{"memory.limit_in_bytes: -1"}));
  resources.memory->swap = 5;
  const auto done = group.apply(resources);
  ASSERT_FALSE(done.has_value());
  EXPECT_TRUE(done.error().message().starts_with("linux.resources.memory.swap: this kernel has no memory.memsw"))
      << done.error().message();
}

TEST_F(CgroupV1, MemoryBelowTheUsageSaysSo) {
  fs_.fail_next_write("memory/box/memory.limit_in_bytes", EBUSY);
  Resources resources;
  resources.memory.emplace().limit = 1000;
  EXPECT_TRUE(error_of(resources).starts_with(
      "linux.resources.memory.limit: 1000 is below what the container uses (now 4096, at most 8192 so far)"));
}

TEST_F(CgroupV1, MemorySwappinessHasARange) {
  Resources resources;
  resources.memory.emplace().swappiness = 101;
  EXPECT_EQ(error_of(resources), "linux.resources.memory.swappiness: 101 is not in 0-100");
}

TEST_F(CgroupV1, MemoryUpdateGivesTheOomKillerBack) {
  Resources resources;
  resources.memory.emplace().disable_oom_killer = false;
  EXPECT_EQ(applied(resources, "memory"), Lines{});
  EXPECT_EQ(updated(resources, "memory"), (Lines{"memory.oom_control: 0"}));
}

TEST_F(CgroupV1, BlockIo) {
  Resources resources;
  BlockIoResources& io = resources.block_io.emplace();
  io.weight = 300;
  io.weight_device = {{.major = 8, .minor = 0, .weight = 500, .leaf_weight = {}}};
  io.throttle_read_bps = {{8, 0, 600}, {8, 16, 0}};
  io.throttle_write_bps = {{8, 0, 601}};
  io.throttle_read_iops = {{8, 0, 602}};
  io.throttle_write_iops = {{8, 0, 603}};
  EXPECT_EQ(
      applied(resources, "blkio"),
      (Lines{"blkio.bfq.weight: 300", "blkio.bfq.weight_device: 8:0 500", "blkio.throttle.read_bps_device: 8:0 600",
             "blkio.throttle.read_bps_device: 8:16 0", "blkio.throttle.write_bps_device: 8:0 601",
             "blkio.throttle.read_iops_device: 8:0 602", "blkio.throttle.write_iops_device: 8:0 603"}));
}

TEST_F(CgroupV1, BlockIoPrefersTheOldNames) {
  Cgroup group = create();
  for (const char* name : {"weight", "weight_device", "leaf_weight", "leaf_weight_device"})
    fs_.write_file(cat("blkio/box/blkio.", name), "");
  Resources resources;
  BlockIoResources& io = resources.block_io.emplace();
  io.weight = 300;
  io.leaf_weight = 200;
  io.weight_device = {{.major = 8, .minor = 0, .weight = 500, .leaf_weight = 400}};
  fs_.forget_writes();
  ASSERT_TRUE(group.apply(resources).has_value());
  EXPECT_EQ(written("blkio"), (Lines{"blkio.weight: 300", "blkio.leaf_weight: 200", "blkio.weight_device: 8:0 500",
                                     "blkio.leaf_weight_device: 8:0 400"}));
}

TEST_F(CgroupV1, AFileTheKernelLacksIsNamedByItsField) {
  Resources resources;
  resources.block_io.emplace().leaf_weight = 200;
  EXPECT_EQ(error_of(resources), cat("linux.resources.blockIO.leafWeight: this kernel has no blkio.leaf_weight in ",
                                     fs_.top(), "/blkio/box: no such file or directory"));
}

TEST_F(CgroupV1, AValueTheKernelRefusesIsNamedByItsField) {
  fs_.fail_next_write("blkio/box/blkio.throttle.read_bps_device", ENODEV);
  Resources resources;
  resources.block_io.emplace().throttle_read_bps = {{99, 0, 5}};
  EXPECT_TRUE(
      error_of(resources).starts_with("linux.resources.blockIO.throttleReadBpsDevice[0].rate: write \"99:0 5\" to "));
}

TEST_F(CgroupV1, Pids) {
  Resources resources;
  resources.pids_limit = 7;
  EXPECT_EQ(applied(resources, "pids"), (Lines{"pids.max: 7"}));
  resources.pids_limit = 0;
  EXPECT_EQ(applied(resources, "pids"), (Lines{"pids.max: 1"}));
  resources.pids_limit = -1;
  EXPECT_EQ(updated(resources, "pids"), (Lines{"pids.max: max"}));
}

TEST_F(CgroupV1, HugetlbWithAndWithoutReservations) {
  Resources resources;
  resources.hugepage_limits = {{"2MB", 4194304}, {"1GB", 0}};
  EXPECT_EQ(applied(resources, "hugetlb"),
            (Lines{"hugetlb.2MB.limit_in_bytes: 4194304", "hugetlb.2MB.rsvd.limit_in_bytes: 4194304",
                   "hugetlb.1GB.limit_in_bytes: 0"}));
  resources.hugepage_limits = {{"3MB", 1}};
  EXPECT_TRUE(
      error_of(resources).starts_with("linux.resources.hugepageLimits[0].limit: this kernel has no hugetlb.3MB"));
  resources.hugepage_limits = {{"../x", 1}};
  EXPECT_EQ(error_of(resources), "linux.resources.hugepageLimits[0].pageSize: \"../x\" is not a page size");
}

TEST_F(CgroupV1, NetworkAndRdma) {
  Resources resources;
  resources.network.emplace().class_id = 1048577;
  resources.network->priorities = {{"eth0", 500}, {"eth1", 1000}};
  EXPECT_EQ(applied(resources, "net_cls"), (Lines{"net_cls.classid: 1048577"}));
  EXPECT_EQ(applied(resources, "net_prio"), (Lines{"net_prio.ifpriomap: eth0 500", "net_prio.ifpriomap: eth1 1000"}));
  resources.rdma["mlx4_0"].hca_objects = 1000;
  resources.rdma["mlx5_1"] = {.hca_handles = 3, .hca_objects = 10000};
  EXPECT_EQ(applied(resources, "rdma"),
            (Lines{"rdma.max: mlx4_0 hca_object=1000", "rdma.max: mlx5_1 hca_handle=3 hca_object=10000"}));
  resources.rdma["none"] = {};
  EXPECT_EQ(error_of(resources), "linux.resources.rdma[\"none\"]: needs hcaHandles or hcaObjects");
}

TEST_F(CgroupV1, UnifiedIsRefused) {
  Resources resources;
  resources.unified["memory.high"] = "1";
  EXPECT_EQ(error_of(resources), "linux.resources.unified: this host has cgroup v1 only");
}

TEST_F(CgroupV1, DevicesAreDeniedThenAllowed) {
  Resources resources;
  resources.devices = {{.allow = false, .type = 'a', .major = {}, .minor = {}, .access = "rwm"},
                       {.allow = true, .type = 'b', .major = 8, .minor = 0, .access = "r"}};
  const Lines lines = applied(resources, "devices");
  ASSERT_EQ(lines.size(), 13u);
  EXPECT_EQ(lines.front(), "devices.deny: a");
  EXPECT_EQ(std::ranges::count(lines, "devices.allow: b 8:0 r"), 1);
  EXPECT_EQ(std::ranges::count(lines, "devices.allow: c 1:3 rwm"), 1);
  EXPECT_EQ(std::ranges::count(lines, "devices.allow: c 136:* rwm"), 1);
}

TEST_F(CgroupV1, AllDevicesAllowedWritesNoExceptions) {
  Resources resources;
  resources.devices = {{.allow = true, .type = 'a', .major = {}, .minor = {}, .access = "rwm"}};
  EXPECT_EQ(applied(resources, "devices"), (Lines{"devices.allow: a"}));
}

TEST_F(CgroupV1, UpdateThatFailsSetsBackWhatItWrote) {
  Cgroup group = create();
  Resources first;
  first.pids_limit = 7;
  first.memory = MemoryResources{.limit = 1 << 20, .swap = 2 << 20};
  ASSERT_TRUE(group.apply(first).has_value());
  Resources second;
  second.pids_limit = 9;
  second.memory = MemoryResources{.limit = 4 << 20, .swap = 8 << 20};
  second.cpu = CpuResources{.cpus = "0-77"};
  fs_.fail_next_write("cpuset/box/cpuset.cpus", EINVAL);
  const auto done = group.update(second);
  ASSERT_FALSE(done.has_value());
  EXPECT_NE(done.error().message().find("linux.resources.cpu.cpus"), std::string::npos) << done.error().message();
  EXPECT_EQ(fs_.read("pids/box/pids.max"), "7");
  EXPECT_EQ(fs_.read("memory/box/memory.limit_in_bytes"), "1048576");
  EXPECT_EQ(fs_.read("memory/box/memory.memsw.limit_in_bytes"), "2097152");
}

TEST_F(CgroupV1, DeviceUpdateWritesTheDifference) {
  Cgroup group = create();
  fs_.write_file("devices/box/devices.list",
                 "c *:* m\nb *:* m\nc 1:3 rwm\nc 1:5 rwm\nc 1:7 rwm\nc 1:8 rwm\nc 1:9 rwm\nc 5:0 rwm\nc 5:2 rwm\n"
                 "c 136:* rwm\nc 10:200 rwm\nb 8:0 rw");
  auto opened = Cgroup::open(group.location());
  fs_.forget_writes();
  ASSERT_TRUE(opened->update({}).has_value());
  EXPECT_TRUE(fs_.writes().empty()) << "no rules: devices stay as they are";
  Resources resources;
  resources.devices = {{.allow = true, .type = 'b', .major = 8, .minor = 0, .access = "r"}};
  ASSERT_TRUE(opened->update(resources).has_value());
  EXPECT_EQ(written("devices"), (Lines{"devices.deny: b 8:0 w"}));
}

TEST_F(CgroupV1, EntryFilesAreTasks) {
  Cgroup group = create();
  fs_.make("memory/box/sub");
  fs_.make("cpu/box/sub");
  auto files = group.entry_files();
  ASSERT_TRUE(files.has_value());
  EXPECT_EQ(files->size(), 13u);
  EXPECT_TRUE(group.entry_files(true, Lines{"memory,cpu:sub"}).has_value());
  EXPECT_EQ(group.entry_files(true, Lines{"memory:sub", "cpu:/sub"})->size(), 13u);
  EXPECT_FALSE(group.entry_files(true, Lines{"nothing:sub"}).has_value());
  EXPECT_FALSE(group.entry_files(true, Lines{"sub"}).has_value()) << "not in every hierarchy";
  const auto missing = group.entry_files(true, Lines{"pids:/nowhere"});
  ASSERT_FALSE(missing.has_value());
  EXPECT_TRUE(missing.error().message().starts_with("--cgroup: below ")) << missing.error().message();
  EXPECT_FALSE(group.unified_folder()->operator bool());
}

TEST_F(CgroupV1, AttachWritesThePidEverywhere) {
  Cgroup group = create();
  fs_.forget_writes();
  ASSERT_TRUE(group.attach(4711, {}).has_value());
  EXPECT_EQ(fs_.writes().size(), 13u);
  EXPECT_EQ(fs_.read("memory/box/cgroup.procs"), "4711");
}

TEST_F(CgroupV1, FreezesAfterRetriesAndThaws) {
  Cgroup group = create();
  EXPECT_FALSE(group.frozen().value_or(true));
  fs_.freeze_slowly(3);
  ASSERT_TRUE(group.freeze().has_value());
  EXPECT_GE(fs_.writes_to("freezer/box/freezer.state").size(), 4u);
  fs_.write_file("freezer/box/freezer.self_freezing", "1");
  EXPECT_TRUE(group.frozen().value_or(false));
  ASSERT_TRUE(group.thaw().has_value());
  EXPECT_FALSE(group.frozen().value_or(true));
}

TEST_F(CgroupV1, FreezeThatNeverEndsThawsAgain) {
  Cgroup group = create();
  fs_.freeze_slowly(1 << 20);
  ASSERT_FALSE(group.freeze().has_value());
  EXPECT_EQ(fs_.read("freezer/box/freezer.state"), "THAWED");
}

TEST_F(CgroupV1, ProcessesComeFromAllLevelsOnce) {
  Cgroup group = create();
  fs_.make("cpu/box/a/b");
  fs_.write_file("cpu/box/cgroup.procs", "30\n10");
  fs_.write_file("cpu/box/a/b/cgroup.procs", "20\n10");
  EXPECT_EQ(group.processes().value(), (std::vector<pid_t>{10, 20, 30}));
}

TEST_F(CgroupV1, KillThawsAFrozenCgroup) {
  Cgroup group = create();
  fs_.write_file("freezer/box/freezer.state", "FROZEN");
  fs_.write_file("freezer/box/freezer.self_freezing", "1");
  ASSERT_TRUE(group.signal_all(SIGKILL).has_value());
  EXPECT_EQ(fs_.read("freezer/box/freezer.state"), "THAWED");
}

TEST_F(CgroupV1, OtherSignalsLeaveAFrozenCgroupFrozen) {
  Cgroup group = create();
  fs_.write_file("freezer/box/freezer.state", "FROZEN");
  fs_.write_file("freezer/box/freezer.self_freezing", "1");
  ASSERT_TRUE(group.signal_all(SIGTERM).has_value());
  EXPECT_EQ(fs_.read("freezer/box/freezer.state"), "FROZEN");
}

TEST_F(CgroupV1, RemoveWaitsForTheDeadButNotForTheLiving) {
  Cgroup group = create();
  fs_.fail_next_rmdir("memory/box", 5);
  ASSERT_TRUE(group.remove().has_value());
  EXPECT_FALSE(fs_.exists("memory/box"));
  Cgroup alive = create();
  fs_.write_file("pids/box/cgroup.procs", "1");
  const auto busy = alive.remove();
  ASSERT_FALSE(busy.has_value());
  EXPECT_EQ(busy.error().code(), EBUSY);
  EXPECT_FALSE(fs_.exists("memory/box")) << "the others go all the same";
  fs_.write_file("pids/box/cgroup.procs", "");
}

}  // namespace
}  // namespace proa::kernel::cgroup
