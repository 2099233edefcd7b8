#include "kernel/cgroup/stats.h"

#include "base/text.h"
#include "kernel/cgroup/controllers.h"
#include "kernel/cgroup/state.h"
#include "kernel/cgroup/stats_read.h"

namespace proa::kernel::cgroup {

Result<std::map<std::string, uint64_t>> read_flat(const Folder& folder, std::string_view file) {
  std::map<std::string, uint64_t> values;
  const std::string text = TRY(folder.get(file));
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = cut(rest, '\n');
    const std::string_view key = cut(line, ' ');
    const auto value = parse_number<uint64_t>(line);
    if (!value) return fail(folder.path(), "/", file, ": cannot read the line of \"", key, "\"");
    values.emplace(key, *value);
  }
  return values;
}

Result<std::vector<uint16_t>> parse_list(std::string_view text) {
  std::vector<uint16_t> numbers;
  while (!text.empty()) {
    std::string_view range = cut(text, ',');
    const auto first = parse_number<uint16_t>(cut(range, '-'));
    const auto last = range.empty() ? first : parse_number<uint16_t>(range);
    if (!first || !last || *last < *first) return fail("\"", text, "\" is not a list of numbers");
    for (uint32_t n = *first; n <= *last; ++n) numbers.push_back(static_cast<uint16_t>(n));
  }
  return numbers;
}

Result<std::vector<std::string>> page_sizes(const Folder& folder, std::string_view suffix) {
  std::vector<std::string> sizes;
  for (const std::string& file : TRY(folder.files())) {
    std::string_view name = file;
    if (!name.starts_with("hugetlb.") || !name.ends_with(suffix)) continue;
    name.remove_prefix(8);
    name.remove_suffix(suffix.size());
    if (name.find('.') == std::string_view::npos) sizes.emplace_back(name);
  }
  return sizes;
}

Result<> read_pids(const Folder& folder, PidsStats& out) {
  const auto current = folder.number("pids.current");
  if (!current) {
    if (!is_missing(current.error())) return std::unexpected(current.error());
    std::vector<pid_t> pids;  // v2 without the controller
    TRY(collect_processes(folder, pids));
    out.current = pids.size();
    return {};
  }
  out.current = *current;
  const uint64_t limit = TRY(folder.number("pids.max"));
  out.limit = limit == UINT64_MAX ? 0 : limit;
  return {};
}

namespace {

Result<> read_v1(const Location& location, Stats& stats) {
  const auto with = [&](std::string_view controller, auto read, auto& out) -> Result<> {
    const auto* hierarchy = find_v1(location, controller);
    if (hierarchy == nullptr) return {};
    return read(Folder(hierarchy->path), out);
  };
  TRY(with("cpuacct", v1::read_cpuacct, stats.cpu));
  TRY(with("cpu", v1::read_cpu, stats.cpu));
  TRY(with("cpuset", v1::read_cpuset, stats.cpuset));
  TRY(with("memory", v1::read_memory, stats.memory));
  TRY(with("blkio", v1::read_block_io, stats.block_io));
  TRY(with("pids", read_pids, stats.pids));
  return with("hugetlb", v1::read_hugetlb, stats.hugetlb);
}

// On a hybrid host only what v1 does not have is taken from v2.
Result<> read_v2(const Location& location, const Folder& folder, Stats& stats) {
  const auto absent = [&](std::string_view controller) { return find_v1(location, controller) == nullptr; };
  if (absent("cpuacct")) TRY(v2::read_cpu(folder, stats.cpu));
  if (absent("memory")) TRY(v2::read_memory(folder, stats.memory));
  if (absent("blkio")) TRY(v2::read_block_io(folder, stats.block_io));
  if (absent("pids")) TRY(read_pids(folder, stats.pids));
  if (absent("hugetlb")) TRY(v2::read_hugetlb(folder, stats.hugetlb));
  stats.cpu.pressure = v2::read_pressure(folder, "cpu.pressure");
  stats.memory.pressure = v2::read_pressure(folder, "memory.pressure");
  stats.block_io.pressure = v2::read_pressure(folder, "io.pressure");
  return {};
}

}  // namespace

Result<Stats> read_stats(const Location& location) {
  Stats stats;
  TRY(read_v1(location, stats));
  if (const auto* unified = find_unified(location)) TRY(read_v2(location, Folder(unified->path), stats));
  return stats;
}

Result<Stats> Cgroup::stats() const { return read_stats(state_->location); }

}  // namespace proa::kernel::cgroup
