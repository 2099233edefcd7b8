#include <unistd.h>

#include <span>

#include "base/text.h"
#include "kernel/cgroup/stats_read.h"

namespace proa::kernel::cgroup::v1 {
namespace {

Result<std::vector<uint64_t>> read_numbers(const Folder& folder, std::string_view file) {
  std::vector<uint64_t> numbers;
  const std::string text = TRY(folder.get(file));
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view word = cut(rest, ' ');
    if (word.empty()) continue;
    const auto number = parse_number<uint64_t>(word);
    if (!number) return fail(folder.path(), "/", file, ": \"", word, "\" is not a number");
    numbers.push_back(*number);
  }
  return numbers;
}

// "cpu user system" and a line of three numbers per processor.
Result<> read_per_cpu_modes(const Folder& folder, CpuStats& out) {
  const auto text = folder.get("cpuacct.usage_all");
  if (!text) {
    if (is_missing(text.error())) return {};
    return std::unexpected(text.error());
  }
  std::string_view rest = *text;
  cut(rest, '\n');
  while (!rest.empty()) {
    std::string_view line = cut(rest, '\n');
    cut(line, ' ');
    const auto user = parse_number<uint64_t>(cut(line, ' '));
    const auto system = parse_number<uint64_t>(cut(line, ' '));
    if (!user || !system) return fail(folder.path(), "/cpuacct.usage_all: cannot read it");
    out.per_cpu_user_ns.push_back(*user);
    out.per_cpu_kernel_ns.push_back(*system);
  }
  return {};
}

Result<MemoryCounter> read_counter(const Folder& folder, const std::string& name, bool optional) {
  MemoryCounter counter;
  const auto usage = folder.number(cat(name, ".usage_in_bytes"));
  if (!usage) {
    if (optional && is_missing(usage.error())) return counter;
    return std::unexpected(usage.error());
  }
  counter.usage = *usage;
  counter.max_usage = TRY(folder.number(cat(name, ".max_usage_in_bytes")));
  counter.failcnt = TRY(folder.number(cat(name, ".failcnt")));
  const auto limit = folder.number(cat(name, ".limit_in_bytes"));
  if (limit) {
    counter.limit = *limit;
  } else if (!is_missing(limit.error())) {
    return std::unexpected(limit.error());
  }
  return counter;
}

// "8:0 Read 4096", "8:0 512", and a "Total N" line.
Result<bool> read_entries(const Folder& folder, std::string_view file, std::vector<BlockIoEntry>& out) {
  const auto text = folder.get(file);
  if (!text) {
    if (is_missing(text.error())) return false;
    return std::unexpected(text.error());
  }
  for (std::string_view rest = *text; !rest.empty();) {
    const std::string_view whole = cut(rest, '\n');
    std::string_view line = whole;
    if (line.starts_with("Total ")) continue;
    BlockIoEntry entry;
    const auto major = parse_number<uint64_t>(cut(line, ':'));
    const auto minor = parse_number<uint64_t>(cut(line, ' '));
    if (line.find(' ') != std::string_view::npos) entry.op = cut(line, ' ');
    const auto value = parse_number<uint64_t>(line);
    if (!major || !minor || !value) return fail(folder.path(), "/", file, ": cannot read \"", whole, "\"");
    entry.major = *major;
    entry.minor = *minor;
    entry.value = *value;
    out.push_back(std::move(entry));
  }
  return true;
}

struct Source {
  const char* file;
  std::vector<BlockIoEntry> BlockIoStats::* table;
};

// Each scheduler counts in files of its own. The first group whose first file says something is used.
constexpr Source kBfqDebug[] = {{"blkio.bfq.sectors_recursive", &BlockIoStats::sectors},
                                {"blkio.bfq.io_service_time_recursive", &BlockIoStats::service_time},
                                {"blkio.bfq.io_wait_time_recursive", &BlockIoStats::wait_time},
                                {"blkio.bfq.io_merged_recursive", &BlockIoStats::merged},
                                {"blkio.bfq.io_queued_recursive", &BlockIoStats::queued},
                                {"blkio.bfq.time_recursive", &BlockIoStats::time},
                                {"blkio.bfq.io_serviced_recursive", &BlockIoStats::serviced},
                                {"blkio.bfq.io_service_bytes_recursive", &BlockIoStats::service_bytes}};
constexpr Source kBfq[] = {{"blkio.bfq.io_serviced_recursive", &BlockIoStats::serviced},
                           {"blkio.bfq.io_service_bytes_recursive", &BlockIoStats::service_bytes}};
constexpr Source kCfq[] = {{"blkio.sectors_recursive", &BlockIoStats::sectors},
                           {"blkio.io_service_time_recursive", &BlockIoStats::service_time},
                           {"blkio.io_wait_time_recursive", &BlockIoStats::wait_time},
                           {"blkio.io_merged_recursive", &BlockIoStats::merged},
                           {"blkio.io_queued_recursive", &BlockIoStats::queued},
                           {"blkio.time_recursive", &BlockIoStats::time},
                           {"blkio.io_serviced_recursive", &BlockIoStats::serviced},
                           {"blkio.io_service_bytes_recursive", &BlockIoStats::service_bytes}};
constexpr Source kThrottleRecursive[] = {{"blkio.throttle.io_serviced_recursive", &BlockIoStats::serviced},
                                         {"blkio.throttle.io_service_bytes_recursive", &BlockIoStats::service_bytes}};
constexpr Source kThrottle[] = {{"blkio.throttle.io_serviced", &BlockIoStats::serviced},
                                {"blkio.throttle.io_service_bytes", &BlockIoStats::service_bytes}};

Result<bool> read_group(const Folder& folder, std::span<const Source> group, BlockIoStats& out) {
  for (const Source& source : group) {
    std::vector<BlockIoEntry>& table = out.*source.table;
    table.clear();
    const bool there = TRY(read_entries(folder, source.file, table));
    if (&source == group.data() && (!there || table.empty())) return false;
  }
  return true;
}

}  // namespace

Result<> read_cpu(const Folder& folder, CpuStats& out) {
  auto values = read_flat(folder, "cpu.stat");
  if (!values) {
    if (is_missing(values.error())) return {};
    return std::unexpected(values.error());
  }
  out.periods = (*values)["nr_periods"];
  out.throttled_periods = (*values)["nr_throttled"];
  out.throttled_ns = (*values)["throttled_time"];
  return {};
}

Result<> read_cpuacct(const Folder& folder, CpuStats& out) {
  constexpr uint64_t kTick = 1'000'000'000 / 100;  // USER_HZ is 100 for every architecture of ours
  auto modes = TRY(read_flat(folder, "cpuacct.stat"));
  out.user_ns = modes["user"] * kTick;
  out.kernel_ns = modes["system"] * kTick;
  out.total_ns = TRY(folder.number("cpuacct.usage"));
  out.per_cpu_ns = TRY(read_numbers(folder, "cpuacct.usage_percpu"));
  return read_per_cpu_modes(folder, out);
}

Result<> read_cpuset(const Folder& folder, CpusetStats& out) {
  const auto flag = [&](const char* file, uint64_t& value) -> Result<> {
    const auto read = folder.number(file);
    if (read) {
      value = *read;
    } else if (!is_missing(read.error())) {
      return std::unexpected(read.error());
    }
    return {};
  };
  out.cpus = TRY(parse_list(folder.get("cpuset.cpus").value_or("")));
  out.mems = TRY(parse_list(folder.get("cpuset.mems").value_or("")));
  TRY(flag("cpuset.cpu_exclusive", out.cpu_exclusive));
  TRY(flag("cpuset.mem_hardwall", out.mem_hardwall));
  TRY(flag("cpuset.mem_exclusive", out.mem_exclusive));
  TRY(flag("cpuset.memory_migrate", out.memory_migrate));
  TRY(flag("cpuset.memory_spread_page", out.memory_spread_page));
  TRY(flag("cpuset.memory_spread_slab", out.memory_spread_slab));
  TRY(flag("cpuset.memory_pressure", out.memory_pressure));
  TRY(flag("cpuset.sched_load_balance", out.sched_load_balance));
  const std::string level = folder.get("cpuset.sched_relax_domain_level").value_or("0");
  out.sched_relax_domain_level = parse_number<int64_t>(level).value_or(0);
  return {};
}

Result<> read_memory(const Folder& folder, MemoryStats& out) {
  auto raw = read_flat(folder, "memory.stat");
  if (!raw) {
    if (is_missing(raw.error())) return {};
    return std::unexpected(raw.error());
  }
  out.raw = std::move(*raw);
  if (const auto cache = out.raw.find("cache"); cache != out.raw.end()) out.cache = cache->second;
  out.usage = TRY(read_counter(folder, "memory", false));
  out.swap = TRY(read_counter(folder, "memory.memsw", true));
  out.kernel = TRY(read_counter(folder, "memory.kmem", true));
  out.kernel_tcp = TRY(read_counter(folder, "memory.kmem.tcp", true));
  return {};
}

Result<> read_block_io(const Folder& folder, BlockIoStats& out) {
  for (const std::span<const Source> group :
       {std::span<const Source>(kBfqDebug), std::span<const Source>(kBfq), std::span<const Source>(kCfq),
        std::span<const Source>(kThrottleRecursive), std::span<const Source>(kThrottle)})
    if (TRY(read_group(folder, group, out))) return {};
  return {};
}

Result<> read_hugetlb(const Folder& folder, std::map<std::string, HugetlbStats>& out) {
  for (const std::string& size : TRY(page_sizes(folder, ".limit_in_bytes"))) {
    // Reservations, which containers are limited by, where the kernel counts them.
    std::string name = cat("hugetlb.", size, ".rsvd");
    if (!folder.has(cat(name, ".usage_in_bytes"))) name = cat("hugetlb.", size);
    HugetlbStats& stats = out[size];
    stats.usage = TRY(folder.number(cat(name, ".usage_in_bytes")));
    stats.max_usage = TRY(folder.number(cat(name, ".max_usage_in_bytes")));
    stats.failcnt = TRY(folder.number(cat(name, ".failcnt")));
  }
  return {};
}

}  // namespace proa::kernel::cgroup::v1
