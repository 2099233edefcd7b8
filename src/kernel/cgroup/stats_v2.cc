#include "base/text.h"
#include "kernel/cgroup/stats_read.h"

namespace proa::kernel::cgroup::v2 {
namespace {

Result<MemoryCounter> read_counter(const Folder& folder, const std::string& name) {
  MemoryCounter counter;
  const auto usage = folder.number(cat(name, ".current"));
  if (!usage) {
    if (is_missing(usage.error())) return counter;
    return std::unexpected(usage.error());
  }
  counter.usage = *usage;
  counter.limit = TRY(folder.number(cat(name, ".max")));
  counter.max_usage = folder.number(cat(name, ".peak")).value_or(0);  // memory 5.19, swap 6.5
  return counter;
}

// "rbytes=4096" of a device's line, into v1's tables.
void add_entry(const BlockIoEntry& device, std::string_view item, BlockIoStats& out) {
  const std::string_view key = cut(item, '=');
  const auto value = parse_number<uint64_t>(item);
  if (!value) return;
  const auto add = [&](std::vector<BlockIoEntry>& table, const char* op) {
    table.push_back({device.major, device.minor, op, *value});
  };
  if (key == "rbytes") add(out.service_bytes, "Read");
  if (key == "wbytes") add(out.service_bytes, "Write");
  if (key == "rios") add(out.serviced, "Read");
  if (key == "wios") add(out.serviced, "Write");
}

}  // namespace

Result<> read_cpu(const Folder& folder, CpuStats& out) {
  auto values = read_flat(folder, "cpu.stat");
  if (!values) {
    if (is_missing(values.error())) return {};
    return std::unexpected(values.error());
  }
  out.total_ns = (*values)["usage_usec"] * 1000;
  out.user_ns = (*values)["user_usec"] * 1000;
  out.kernel_ns = (*values)["system_usec"] * 1000;
  out.periods = (*values)["nr_periods"];
  out.throttled_periods = (*values)["nr_throttled"];
  out.throttled_ns = (*values)["throttled_usec"] * 1000;
  return {};
}

Result<> read_memory(const Folder& folder, MemoryStats& out) {
  auto raw = read_flat(folder, "memory.stat");
  if (!raw) {
    if (is_missing(raw.error())) return {};
    return std::unexpected(raw.error());
  }
  out.raw = std::move(*raw);
  if (const auto file = out.raw.find("file"); file != out.raw.end()) out.cache = file->second;
  out.usage = TRY(read_counter(folder, "memory"));
  // v1 counts memory and swap together; their common peak is not known here.
  out.swap = TRY(read_counter(folder, "memory.swap"));
  out.swap.usage += out.usage.usage;
  out.swap.max_usage = 0;
  if (out.swap.limit != UINT64_MAX && out.usage.limit != UINT64_MAX) {
    out.swap.limit += out.usage.limit;
  } else {
    out.swap.limit = UINT64_MAX;
  }
  return {};
}

Result<> read_block_io(const Folder& folder, BlockIoStats& out) {
  const auto text = folder.get("io.stat");
  if (!text) {
    if (is_missing(text.error())) return {};
    return std::unexpected(text.error());
  }
  for (std::string_view rest = *text; !rest.empty();) {
    std::string_view line = cut(rest, '\n');
    std::string_view numbers = cut(line, ' ');
    const auto major = parse_number<uint64_t>(cut(numbers, ':'));
    const auto minor = parse_number<uint64_t>(numbers);
    if (!major || !minor) continue;  // "(unknown)" of a device that is gone
    while (!line.empty()) add_entry({*major, *minor, {}, 0}, cut(line, ' '), out);
  }
  return {};
}

Result<> read_hugetlb(const Folder& folder, std::map<std::string, HugetlbStats>& out) {
  for (const std::string& size : TRY(page_sizes(folder, ".max"))) {
    const std::string name = cat("hugetlb.", size);
    const std::string reserved = cat(name, ".rsvd.current");
    HugetlbStats& stats = out[size];
    stats.usage = TRY(folder.number(folder.has(reserved) ? reserved : cat(name, ".current")));
    stats.failcnt = TRY(folder.keyed(cat(name, ".events"), "max"));
  }
  return {};
}

// Absent on kernels without PSI, or with it switched off; then there is nothing to say.
std::optional<Pressure> read_pressure(const Folder& folder, std::string_view file) {
  const auto text = folder.get(file);
  if (!text) return std::nullopt;
  Pressure pressure;
  for (std::string_view rest = *text; !rest.empty();) {
    std::string_view line = cut(rest, '\n');
    const std::string_view kind = cut(line, ' ');
    PressureLine& out = kind == "full" ? pressure.full : pressure.some;
    while (!line.empty()) {
      std::string_view item = cut(line, ' ');
      const std::string_view key = cut(item, '=');
      if (key == "avg10") out.avg10 = parse_number<double>(item).value_or(0);
      if (key == "avg60") out.avg60 = parse_number<double>(item).value_or(0);
      if (key == "avg300") out.avg300 = parse_number<double>(item).value_or(0);
      if (key == "total") out.total = parse_number<uint64_t>(item).value_or(0);
    }
  }
  return pressure;
}

}  // namespace proa::kernel::cgroup::v2
