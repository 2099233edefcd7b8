#include "kernel/cgroup/stats.h"

#include <gtest/gtest.h>

#include "kernel/cgroup/fake_cgroupfs_test.h"
#include "kernel/cgroup/stats_read.h"

namespace proa::kernel::cgroup {
namespace {

TEST(Stats, V1) {
  FakeCgroupfs fs;
  for (const char* name : {"cpu", "cpuacct", "cpuset", "memory", "blkio", "pids", "hugetlb"}) fs.add_v1(name);
  auto group = Cgroup::create(fs.request());
  ASSERT_FALSE(group->apply({}).has_value()) << "no hierarchy of this host controls devices";
  fs.write_file("blkio/box/blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30");
  fs.write_file("blkio/box/blkio.throttle.io_serviced_recursive", "8:0 Read 1\nTotal 1");
  fs.write_file("blkio/box/blkio.bfq.io_serviced_recursive", "Total 0");
  fs.write_file("pids/box/pids.max", "9");
  const auto stats = group->stats();
  ASSERT_TRUE(stats.has_value()) << stats.error().message();
  EXPECT_EQ(stats->cpu.total_ns, 300u);
  EXPECT_EQ(stats->cpu.user_ns, 40'000'000u);
  EXPECT_EQ(stats->cpu.kernel_ns, 50'000'000u);
  EXPECT_EQ(stats->cpu.per_cpu_ns, (std::vector<uint64_t>{100, 200}));
  EXPECT_EQ(stats->cpu.per_cpu_kernel_ns, (std::vector<uint64_t>{20, 40}));
  EXPECT_EQ(stats->cpu.per_cpu_user_ns, (std::vector<uint64_t>{10, 30}));
  EXPECT_EQ(stats->cpu.throttled_periods, 2u);
  EXPECT_EQ(stats->cpuset.cpus, (std::vector<uint16_t>{0, 1, 2, 3}));
  EXPECT_EQ(stats->cpuset.sched_relax_domain_level, -1);
  EXPECT_EQ(stats->cpuset.sched_load_balance, 1u);
  EXPECT_EQ(stats->memory.cache, 77u);
  EXPECT_EQ(stats->memory.usage.usage, 4096u);
  EXPECT_EQ(stats->memory.usage.failcnt, 1u);
  EXPECT_EQ(stats->memory.swap.max_usage, 8193u);
  EXPECT_EQ(stats->memory.raw.at("rss"), 88u);
  EXPECT_EQ(stats->pids.current, 2u);
  EXPECT_EQ(stats->pids.limit, 9u);
  ASSERT_EQ(stats->block_io.service_bytes.size(), 3u);
  EXPECT_EQ(stats->block_io.service_bytes[1].op, "Write");
  EXPECT_EQ(stats->block_io.service_bytes[1].value, 20u);
  EXPECT_EQ(stats->block_io.serviced.size(), 1u);
  EXPECT_EQ(stats->hugetlb.at("2MB").failcnt, 3u);
  EXPECT_EQ(stats->hugetlb.at("1GB").usage, 4u);
}

TEST(Stats, V2) {
  FakeCgroupfs fs;
  fs.add_v2({"cpu", "memory", "io", "pids", "hugetlb"});
  auto group = Cgroup::create(fs.request());
  const auto stats = group->stats();
  ASSERT_TRUE(stats.has_value()) << stats.error().message();
  EXPECT_EQ(stats->cpu.total_ns, 6000u);
  EXPECT_EQ(stats->memory.cache, 7u);
  EXPECT_EQ(stats->memory.usage.limit, UINT64_MAX);
  EXPECT_EQ(stats->memory.usage.max_usage, 5000u);
  EXPECT_EQ(stats->memory.swap.usage, 4196u);
  ASSERT_TRUE(stats->memory.pressure.has_value());
  EXPECT_DOUBLE_EQ(stats->memory.pressure->some.avg10, 1.5);
  EXPECT_EQ(stats->memory.pressure->full.total, 4u);
  EXPECT_FALSE(stats->cpu.pressure.has_value());
  EXPECT_EQ(stats->pids.limit, 0u);
  ASSERT_EQ(stats->block_io.service_bytes.size(), 2u);
  EXPECT_EQ(stats->block_io.serviced[1].value, 2u);
  EXPECT_EQ(stats->hugetlb.at("2MB").usage, 11u);
  EXPECT_EQ(stats->hugetlb.at("2MB").failcnt, 12u);
}

TEST(Stats, HybridTakesHugetlbFromV2) {
  FakeCgroupfs fs;
  fs.add_hybrid();
  auto group = Cgroup::create(fs.request());
  Resources resources;
  resources.hugepage_limits = {{"2MB", 2097152}};
  ASSERT_TRUE(group->apply(resources).has_value());
  const auto stats = group->stats();
  ASSERT_TRUE(stats.has_value()) << stats.error().message();
  EXPECT_EQ(stats->cpu.total_ns, 300u);
  EXPECT_EQ(stats->hugetlb.at("2MB").usage, 11u);
}

TEST(Stats, MalformedFilesAreNamed) {
  FakeCgroupfs fs;
  fs.add_v2({"memory"});
  auto group = Cgroup::create(fs.request());
  fs.write_file("box/memory.stat", "anon many");
  const auto stats = group->stats();
  ASSERT_FALSE(stats.has_value());
  EXPECT_EQ(stats.error().message(), cat(fs.top(), "/box/memory.stat: cannot read the line of \"anon\""));
}

TEST(ParseList, Ranges) {
  EXPECT_EQ(parse_list("0-2,7").value(), (std::vector<uint16_t>{0, 1, 2, 7}));
  EXPECT_TRUE(parse_list("").value().empty());
  EXPECT_FALSE(parse_list("2-1").has_value());
  EXPECT_FALSE(parse_list("a").has_value());
  EXPECT_FALSE(parse_list("0-99999").has_value());
}

}  // namespace
}  // namespace proa::kernel::cgroup
