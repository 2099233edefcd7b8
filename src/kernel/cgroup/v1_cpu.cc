#include "kernel/cgroup/v1.h"

namespace proa::kernel::cgroup::v1 {
namespace {

// The kernel silently clamps shares to these.
constexpr uint64_t kMinShares = 2, kMaxShares = 262144;

// Period and quota (and runtime) are checked against each other and the parent at every write, so a
// lower period may be refused until the quota is written: then it is written again.
Result<> set_realtime(const Folder& folder, const CpuResources& cpu) {
  const uint64_t period = cpu.realtime_period.value_or(0);
  const int64_t runtime = cpu.realtime_runtime.value_or(0);
  bool again = false;
  if (period != 0) {
    const std::string text = cat(period);
    const long code = folder.put("cpu.rt_period_us", text);
    again = code == -EINVAL && runtime != 0;
    if (code < 0 && !again) return folder.failure(code, "linux.resources.cpu.realtimePeriod", "cpu.rt_period_us", text);
  }
  if (runtime != 0) TRY(folder.set("linux.resources.cpu.realtimeRuntime", "cpu.rt_runtime_us", cat(runtime)));
  if (again) TRY(folder.set("linux.resources.cpu.realtimePeriod", "cpu.rt_period_us", period));
  return {};
}

Result<> set_bandwidth(const Folder& folder, const CpuResources& cpu) {
  const uint64_t period = cpu.period.value_or(0);
  const int64_t quota = cpu.quota.value_or(0);
  bool period_again = false, burst_again = false;
  if (period != 0) {
    const std::string text = cat(period);
    const long code = folder.put("cpu.cfs_period_us", text);
    period_again = code == -EINVAL && quota != 0;
    if (code < 0 && !period_again) return folder.failure(code, "linux.resources.cpu.period", "cpu.cfs_period_us", text);
  }
  if (cpu.burst) {
    const std::string text = cat(*cpu.burst);
    const long code = folder.put("cpu.cfs_burst_us", text);
    burst_again = code == -EINVAL && quota != 0;
    const bool missing_but_zero = code == -ENOENT && *cpu.burst == 0;
    if (code < 0 && !burst_again && !missing_but_zero)
      return folder.failure(code, "linux.resources.cpu.burst", "cpu.cfs_burst_us", text);
  }
  if (quota != 0) TRY(folder.set("linux.resources.cpu.quota", "cpu.cfs_quota_us", cat(quota)));
  if (period_again) TRY(folder.set("linux.resources.cpu.period", "cpu.cfs_period_us", period));
  if (burst_again) TRY(folder.set("linux.resources.cpu.burst", "cpu.cfs_burst_us", *cpu.burst));
  return {};
}

}  // namespace

Result<> set_cpu(const Folder& folder, const CpuResources& cpu) {
  if (const uint64_t shares = cpu.shares.value_or(0); shares != 0) {
    if (shares < kMinShares) return fail("linux.resources.cpu.shares: ", shares, " is below the minimum ", kMinShares);
    if (shares > kMaxShares) return fail("linux.resources.cpu.shares: ", shares, " is above the maximum ", kMaxShares);
    TRY(folder.set("linux.resources.cpu.shares", "cpu.shares", shares));
  }
  TRY(set_bandwidth(folder, cpu));
  if (cpu.idle) {
    const std::string text = cat(*cpu.idle);
    const long code = folder.put("cpu.idle", text);
    if (code < 0 && !(code == -ENOENT && *cpu.idle == 0))
      return folder.failure(code, "linux.resources.cpu.idle", "cpu.idle", text);
  }
  return set_realtime(folder, cpu);
}

Result<> set_cpuset(const Folder& folder, const CpuResources& cpu) {
  if (!cpu.cpus.empty()) TRY(folder.set("linux.resources.cpu.cpus", "cpuset.cpus", cpu.cpus));
  if (!cpu.mems.empty()) TRY(folder.set("linux.resources.cpu.mems", "cpuset.mems", cpu.mems));
  return {};
}

namespace {

Result<> fill_if_empty(const Folder& folder, std::string_view file);

// The top always has values, so this ends there.
Result<> copy_from_parent(const Folder& folder, std::string_view file) {
  const Folder parent = folder.parent();
  std::string value = TRY(parent.get(file));
  if (value.empty()) {
    TRY(fill_if_empty(parent, file));
    value = TRY(parent.get(file));
  }
  return folder.set("cpuset inherited from the parent", file, value);
}

Result<> fill_if_empty(const Folder& folder, std::string_view file) {
  if (!TRY(folder.get(file)).empty()) return {};
  return copy_from_parent(folder, file);
}

}  // namespace

Result<> populate_parents(const Folder& folder, const CpuResources& given) {
  if (!given.cpus.empty()) TRY(fill_if_empty(folder.parent(), "cpuset.cpus"));
  if (!given.mems.empty()) TRY(fill_if_empty(folder.parent(), "cpuset.mems"));
  return {};
}

Result<> populate_cpuset(const Folder& folder, const CpuResources& given, bool fresh) {
  const auto fill = fresh ? copy_from_parent : fill_if_empty;
  if (given.cpus.empty()) TRY(fill(folder, "cpuset.cpus"));
  if (given.mems.empty()) TRY(fill(folder, "cpuset.mems"));
  return {};
}

}  // namespace proa::kernel::cgroup::v1
