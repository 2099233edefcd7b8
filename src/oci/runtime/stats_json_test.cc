#include "oci/runtime/stats_json.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.h"

namespace proa::oci::runtime {
namespace {

constexpr std::string_view kNothing =
    R"({"type":"stats","id":"box","data":{"cpu":{},"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,)"
    R"("memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,)"
    R"("sched_relax_domain_level":0},"memory":{},"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},)"
    R"("network_interfaces":null}})";

TEST(StatsJson, NothingCounted) { EXPECT_EQ(stats_line("box", {}, nullptr), std::string(kNothing) + "\n"); }

TEST(StatsJson, EverythingCounted) {
  kernel::cgroup::Stats stats;
  stats.cpu = {.total_ns = 10,
               .kernel_ns = 0,
               .user_ns = 3,
               .per_cpu_ns = {4, 6},
               .per_cpu_kernel_ns = {1},
               .per_cpu_user_ns = {2},
               .periods = 5,
               .throttled_periods = 0,
               .throttled_ns = 7,
               .pressure = {}};
  stats.cpu.pressure.emplace().some = {.avg10 = 1.5, .avg60 = 0, .avg300 = 0.25, .total = 9};
  stats.cpuset.cpus = {0, 2};
  stats.cpuset.sched_relax_domain_level = -1;
  stats.memory.cache = 1;
  stats.memory.usage = {.usage = 2, .max_usage = 3, .failcnt = 0, .limit = UINT64_MAX};
  stats.memory.raw = {{"rss", 4}, {"anon", 0}};
  stats.pids = {.current = 2, .limit = 9};
  stats.block_io.service_bytes = {{8, 0, "Read", 512}};
  stats.hugetlb["2MB"] = {.usage = 0, .max_usage = 1, .failcnt = 2};
  const std::string line = stats_line("a\"b", stats, nullptr);
  ASSERT_TRUE(json::parse(line).has_value()) << line;
  const auto has = [&](std::string_view part) {
    EXPECT_NE(line.find(part), std::string::npos) << part << " in " << line;
  };
  has(R"("id":"a\"b")");
  has(R"("cpu":{"usage":{"total":10,"percpu":[4,6],"percpu_kernel":[1],"percpu_user":[2],"kernel":0,"user":3},)"
      R"("throttling":{"periods":5,"throttledTime":7},"psi":{"some":{"avg10":1.5,"avg60":0,"avg300":0.25,"total":9}}})");
  has(R"("cpuset":{"cpus":[0,2],"cpu_exclusive":0,)");
  has(R"("sched_relax_domain_level":-1})");
  has(R"("memory":{"cache":1,"usage":{"limit":18446744073709551615,"usage":2,"max":3,"failcnt":0},"raw":{"anon":0,"rss":4}})");
  has(R"("pids":{"current":2,"limit":9})");
  has(R"("blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":512}]})");
  has(R"("hugetlb":{"2MB":{"max":1,"failcnt":2}})");
}

TEST(StatsJson, Resctrl) {
  kernel::ResctrlStats rdt;
  rdt.l3_cache = {.cbm_mask = "7ff", .min_cbm_bits = 1, .num_closids = 16};
  rdt.mem_bw = {.bandwidth_gran = 10, .delay_linear = 1, .min_bandwidth = 10, .num_closids = 8};
  rdt.l3_schema = "L3:0=f";
  rdt.schemata = {"L3:0=f", "MB:0=20"};
  rdt.has_bandwidth_counters = true;
  rdt.has_cache_counters = true;
  rdt.domains = {{.mbm_total_bytes = 1, .mbm_local_bytes = 2, .llc_occupancy = 3}};
  const std::string line = stats_line("box", {}, &rdt);
  EXPECT_NE(line.find(R"("intel_rdt":{"l3_cache_info":{"cbm_mask":"7ff","min_cbm_bits":1,"num_closids":16},)"
                      R"("l3_cache_schema":"L3:0=f","mem_bw_info":{"bandwidth_gran":10,"delay_linear":1,)"
                      R"("min_bandwidth":10,"num_closids":8},"schemata":["L3:0=f","MB:0=20"],)"
                      R"("mbm_stats":[{"mbm_total_bytes":1,"mbm_local_bytes":2}],"cmt_stats":[{"llc_occupancy":3}]})"),
            std::string::npos)
      << line;
}

TEST(StatsJson, OutOfMemory) { EXPECT_EQ(oom_line("box"), "{\"type\":\"oom\",\"id\":\"box\"}\n"); }

}  // namespace
}  // namespace proa::oci::runtime
