// A cgroup's counters, v1 and v2 brought to one form: what `events --stats` prints.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace proa::kernel::cgroup {

// Pressure stall information: shares of time in percent, and the total in microseconds.
struct PressureLine {
  double avg10 = 0, avg60 = 0, avg300 = 0;
  uint64_t total = 0;
};
struct Pressure {
  PressureLine some, full;
};

struct CpuStats {
  uint64_t total_ns = 0, kernel_ns = 0, user_ns = 0;
  std::vector<uint64_t> per_cpu_ns, per_cpu_kernel_ns, per_cpu_user_ns;  // v1 only
  uint64_t periods = 0, throttled_periods = 0, throttled_ns = 0;
  std::optional<Pressure> pressure;
};

struct CpusetStats {  // v1 only
  std::vector<uint16_t> cpus, mems;
  uint64_t cpu_exclusive = 0, mem_hardwall = 0, mem_exclusive = 0, memory_migrate = 0, memory_spread_page = 0,
           memory_spread_slab = 0, memory_pressure = 0, sched_load_balance = 0;
  int64_t sched_relax_domain_level = 0;
};

// Bytes; a limit of UINT64_MAX (v2) or the kernel's page-rounded maximum (v1) means none.
struct MemoryCounter {
  uint64_t usage = 0, max_usage = 0, failcnt = 0, limit = 0;
};
struct MemoryStats {
  uint64_t cache = 0;
  MemoryCounter usage, swap, kernel, kernel_tcp;  // swap: memory and swap together
  std::map<std::string, uint64_t> raw;            // memory.stat
  std::optional<Pressure> pressure;
};

struct PidsStats {
  uint64_t current = 0, limit = 0;  // limit 0: none
};

struct BlockIoEntry {
  uint64_t major = 0, minor = 0;
  std::string op;
  uint64_t value = 0;
};
struct BlockIoStats {
  std::vector<BlockIoEntry> service_bytes, serviced, queued, service_time, wait_time, merged, time, sectors;
  std::optional<Pressure> pressure;
};

struct HugetlbStats {
  uint64_t usage = 0, max_usage = 0, failcnt = 0;
};

struct Stats {
  CpuStats cpu;
  CpusetStats cpuset;
  MemoryStats memory;
  PidsStats pids;
  BlockIoStats block_io;
  std::map<std::string, HugetlbStats> hugetlb;  // by page size, "2MB"
};

}  // namespace proa::kernel::cgroup
