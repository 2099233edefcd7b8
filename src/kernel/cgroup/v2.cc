#include "kernel/cgroup/v2.h"

#include <cmath>

namespace proa::kernel::cgroup::v2 {
namespace {

constexpr uint64_t kDefaultPeriod = 100000;

Failure refuse(const char* field) { return fail("linux.resources.", field, ": cgroup v2 has no such limit"); }

// cpu.max is one file for two fields: the half that is not set stays as it is.
Result<> set_bandwidth(const Folder& folder, int64_t quota, uint64_t period, bool fresh) {
  std::string limit = quota > 0 ? cat(quota) : "max";
  std::string length = cat(period != 0 ? period : kDefaultPeriod);
  if (!fresh && (quota == 0 || period == 0)) {
    const std::string current = TRY_CTX(folder.get("cpu.max"), "linux.resources.cpu");
    const size_t space = current.find(' ');
    if (quota == 0) limit = current.substr(0, space);
    if (period == 0 && space != std::string::npos) length = current.substr(space + 1);
  }
  return folder.set(quota != 0 ? "linux.resources.cpu.quota" : "linux.resources.cpu.period", "cpu.max",
                    cat(limit, ' ', length));
}

// "max" for -1; zero is "not set" and never reaches here.
std::string limit_text(int64_t value) { return value < 0 ? "max" : cat(value); }

}  // namespace

uint64_t weight_of_shares(uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double l = std::log2(static_cast<double>(shares));
  return static_cast<uint64_t>(std::ceil(std::pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0)));
}

uint64_t io_weight_of(uint16_t weight) {
  if (weight <= 10) return 1;
  return 1 + (static_cast<uint64_t>(weight) - 10) * 9999 / 990;
}

Result<std::string> swap_max(int64_t limit, int64_t memory_and_swap) {
  constexpr const char* field = "linux.resources.memory.swap: ";
  if (memory_and_swap == 0) return limit == -1 ? "max" : "";
  if (memory_and_swap == -1) return "max";
  if (limit == -1) return cat(memory_and_swap);
  if (limit == 0) return fail(field, "needs memory.limit too: cgroup v2 limits swap by itself");
  if (memory_and_swap < limit) return fail(field, memory_and_swap, " is below memory.limit ", limit);
  return cat(memory_and_swap - limit);
}

Result<> set_cpu(const Folder& folder, const CpuResources& cpu, bool fresh) {
  if (cpu.realtime_runtime.value_or(0) != 0) return refuse("cpu.realtimeRuntime");
  if (cpu.realtime_period.value_or(0) != 0) return refuse("cpu.realtimePeriod");
  if (cpu.idle) {
    const std::string text = cat(*cpu.idle);
    const long code = folder.put("cpu.idle", text);
    if (code < 0 && !(code == -ENOENT && *cpu.idle == 0))
      return folder.failure(code, "linux.resources.cpu.idle", "cpu.idle", text);
  }
  if (const uint64_t shares = cpu.shares.value_or(0); shares != 0)
    TRY(folder.set("linux.resources.cpu.shares", "cpu.weight", weight_of_shares(shares)));
  const int64_t quota = cpu.quota.value_or(0);
  const uint64_t period = cpu.period.value_or(0);
  bool burst_again = false;
  if (cpu.burst) {
    // Refused while above the old quota: then once more after the new one is written.
    const std::string text = cat(*cpu.burst);
    const long code = folder.put("cpu.max.burst", text);
    burst_again = code == -EINVAL && quota != 0;
    if (code < 0 && !burst_again && !(code == -ENOENT && *cpu.burst == 0))
      return folder.failure(code, "linux.resources.cpu.burst", "cpu.max.burst", text);
  }
  if (quota != 0 || period != 0) TRY(set_bandwidth(folder, quota, period, fresh));
  if (burst_again) TRY(folder.set("linux.resources.cpu.burst", "cpu.max.burst", *cpu.burst));
  return {};
}

Result<> set_cpuset(const Folder& folder, const CpuResources& cpu) {
  if (!cpu.cpus.empty()) TRY(folder.set("linux.resources.cpu.cpus", "cpuset.cpus", cpu.cpus));
  if (!cpu.mems.empty()) TRY(folder.set("linux.resources.cpu.mems", "cpuset.mems", cpu.mems));
  return {};
}

// v1 refuses a limit below the usage; v2 would kill. memory.checkBeforeUpdate asks for v1's way.
Result<> check_usage(const Folder& folder, const MemoryResources& memory) {
  if (!memory.check_before_update.value_or(false)) return {};
  const int64_t limit = memory.limit.value_or(0), swap = memory.swap.value_or(0);
  const auto usage = folder.number("memory.current");
  if (!usage) return {};
  if (swap > 0 && static_cast<uint64_t>(swap) <= *usage)
    return fail("linux.resources.memory.swap: ", swap, " is not above the memory in use, ", *usage);
  if (limit > 0 && static_cast<uint64_t>(limit) <= *usage)
    return fail("linux.resources.memory.limit: ", limit, " is not above the memory in use, ", *usage);
  return {};
}

Result<> set_memory(const Folder& folder, const MemoryResources& memory, bool fresh) {
  if (memory.kernel_tcp.value_or(0) > 0) return refuse("memory.kernelTCP");
  if (memory.swappiness) return refuse("memory.swappiness");
  if (memory.disable_oom_killer.value_or(false)) return refuse("memory.disableOOMKiller");
  if (!memory.use_hierarchy.value_or(true)) return refuse("memory.useHierarchy");
  const int64_t limit = memory.limit.value_or(0);
  const int64_t swap = memory.swap.value_or(0);
  int64_t base = limit;
  if (limit == 0 && swap > 0 && !fresh) {
    const uint64_t current = TRY_CTX(folder.number("memory.max"), "linux.resources.memory.swap");
    base = current > INT64_MAX ? -1 : static_cast<int64_t>(current);
  }
  TRY(check_usage(folder, memory));
  if (const std::string text = TRY(swap_max(base, swap)); !text.empty()) {
    const long code = folder.put("memory.swap.max", text);
    // A kernel without swap accounting already gives "all" and "none".
    if (code < 0 && !(code == -ENOENT && (text == "max" || text == "0")))
      return folder.failure(code, "linux.resources.memory.swap", "memory.swap.max", text);
  }
  if (limit != 0) TRY(folder.set("linux.resources.memory.limit", "memory.max", limit_text(limit)));
  if (const int64_t reservation = memory.reservation.value_or(0); reservation != 0)
    TRY(folder.set("linux.resources.memory.reservation", "memory.low", limit_text(reservation)));
  return {};
}

Result<> set_hugetlb(const Folder& folder, const std::vector<HugepageLimit>& limits) {
  for (size_t i = 0; i < limits.size(); ++i) {
    const std::string name = cat("hugetlb.", limits[i].page_size);
    const std::string field = cat("linux.resources.hugepageLimits[", i, "].limit");
    TRY(folder.set(field, cat(name, ".max"), limits[i].limit));
    const std::string reserved = cat(name, ".rsvd.max");
    const std::string text = cat(limits[i].limit);
    if (const long code = folder.put(reserved, text); code < 0 && code != -ENOENT)
      return folder.failure(code, field, reserved, text);
  }
  return {};
}

Result<> set_unified(const Folder& folder, const std::map<std::string, std::string, std::less<>>& values) {
  for (const auto& [name, value] : values) {
    const std::string field = cat("linux.resources.unified[\"", name, "\"]");
    std::vector<std::string> lines;
    for (std::string_view rest = value; !rest.empty();) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (!line.empty()) lines.emplace_back(line);
    }
    if (lines.empty()) lines.emplace_back();
    TRY(folder.set_each(field, name, lines));
  }
  return {};
}

}  // namespace proa::kernel::cgroup::v2
