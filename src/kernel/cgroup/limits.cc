#include "kernel/cgroup/limits.h"

#include <fcntl.h>

#include "base/text.h"
#include "kernel/cgroup/controllers.h"
#include "kernel/cgroup/device_program.h"
#include "kernel/cgroup/device_rules.h"
#include "kernel/cgroup/v1.h"
#include "kernel/cgroup/v2.h"
#include "kernel/file.h"

namespace proa::kernel::cgroup {
namespace {

// The first field that asks for something, for errors; nullptr when nothing does.
const char* asked(const MemoryResources& memory, bool fresh) {
  if (memory.limit.value_or(0) != 0) return "linux.resources.memory.limit";
  if (memory.swap.value_or(0) != 0) return "linux.resources.memory.swap";
  if (memory.reservation.value_or(0) != 0) return "linux.resources.memory.reservation";
  if (memory.kernel_tcp.value_or(0) != 0) return "linux.resources.memory.kernelTCP";
  if (memory.swappiness) return "linux.resources.memory.swappiness";
  if (memory.disable_oom_killer.value_or(false) || (memory.disable_oom_killer && !fresh))
    return "linux.resources.memory.disableOOMKiller";
  if (memory.use_hierarchy) return "linux.resources.memory.useHierarchy";
  return nullptr;
}

const char* asked_cpu(const CpuResources& cpu) {
  if (cpu.shares.value_or(0) != 0) return "linux.resources.cpu.shares";
  if (cpu.quota.value_or(0) != 0) return "linux.resources.cpu.quota";
  if (cpu.period.value_or(0) != 0) return "linux.resources.cpu.period";
  if (cpu.burst) return "linux.resources.cpu.burst";
  if (cpu.idle) return "linux.resources.cpu.idle";
  if (cpu.realtime_runtime.value_or(0) != 0) return "linux.resources.cpu.realtimeRuntime";
  if (cpu.realtime_period.value_or(0) != 0) return "linux.resources.cpu.realtimePeriod";
  return nullptr;
}

const char* asked_cpuset(const CpuResources& cpu) {
  if (!cpu.cpus.empty()) return "linux.resources.cpu.cpus";
  if (!cpu.mems.empty()) return "linux.resources.cpu.mems";
  return nullptr;
}

const char* asked(const BlockIoResources& io) {
  if (io.weight.value_or(0) != 0) return "linux.resources.blockIO.weight";
  if (io.leaf_weight.value_or(0) != 0) return "linux.resources.blockIO.leafWeight";
  if (!io.weight_device.empty()) return "linux.resources.blockIO.weightDevice";
  if (!io.throttle_read_bps.empty()) return "linux.resources.blockIO.throttleReadBpsDevice";
  if (!io.throttle_write_bps.empty()) return "linux.resources.blockIO.throttleWriteBpsDevice";
  if (!io.throttle_read_iops.empty()) return "linux.resources.blockIO.throttleReadIOPSDevice";
  if (!io.throttle_write_iops.empty()) return "linux.resources.blockIO.throttleWriteIOPSDevice";
  return nullptr;
}

Result<> write_cpu(const Location& location, const CpuResources& cpu, bool fresh) {
  const char* field = asked_cpu(cpu);
  if (field == nullptr) return {};
  const Target target = TRY(find_target(location, "cpu", "cpu", field));
  return target.v2 ? v2::set_cpu(target.folder, cpu, fresh) : v1::set_cpu(target.folder, cpu);
}

// On v1 the cpuset is needed even by a container without limits: it starts empty.
Result<> write_cpuset(const Location& location, const CpuResources& cpu, bool fresh, bool creating) {
  const auto* v1 = find_v1(location, "cpuset");
  if (creating && v1 != nullptr) TRY(v1::populate_parents(Folder(v1->path), cpu));
  if (const char* field = asked_cpuset(cpu)) {
    const Target target = TRY(find_target(location, "cpuset", "cpuset", field));
    TRY(target.v2 ? v2::set_cpuset(target.folder, cpu) : v1::set_cpuset(target.folder, cpu));
  }
  return creating && v1 != nullptr ? v1::populate_cpuset(Folder(v1->path), cpu, fresh) : Result<>{};
}

Result<> write_memory(const Location& location, const MemoryResources& memory, bool fresh) {
  const char* field = asked(memory, fresh);
  if (field == nullptr) return {};
  const Target target = TRY(find_target(location, "memory", "memory", field));
  return target.v2 ? v2::set_memory(target.folder, memory, fresh) : v1::set_memory(target.folder, memory, fresh);
}

Result<> write_block_io(const Location& location, const BlockIoResources& io) {
  const char* field = asked(io);
  if (field == nullptr) return {};
  const Target target = TRY(find_target(location, "blkio", "io", field));
  return target.v2 ? v2::set_block_io(target.folder, io) : v1::set_block_io(target.folder, io);
}

Result<> write_hugetlb(const Location& location, const std::vector<HugepageLimit>& limits) {
  const Target target = TRY(find_target(location, "hugetlb", "hugetlb", "linux.resources.hugepageLimits"));
  for (size_t i = 0; i < limits.size(); ++i)
    if (limits[i].page_size.empty() || limits[i].page_size.find('/') != std::string::npos)
      return fail("linux.resources.hugepageLimits[", i, "].pageSize: \"", limits[i].page_size, "\" is not a page size");
  return target.v2 ? v2::set_hugetlb(target.folder, limits) : v1::set_hugetlb(target.folder, limits);
}

Result<> write_network(const Location& location, const NetworkResources& network) {
  if (network.class_id.value_or(0) != 0) {
    const Target target = TRY(find_target(location, "net_cls", "", "linux.resources.network.classID"));
    TRY(v1::set_net_cls(target.folder, *network.class_id));
  }
  if (!network.priorities.empty()) {
    const Target target = TRY(find_target(location, "net_prio", "", "linux.resources.network.priorities"));
    TRY(v1::set_net_prio(target.folder, network.priorities));
  }
  return {};
}

Result<> write_devices(const Location& location, const std::vector<DeviceRule>& rules, bool fresh) {
  const DevicePolicy policy = TRY(device_policy(rules));
  if (const auto* v1 = find_v1(location, "devices")) return v1::set_devices(Folder(v1->path), policy, fresh);
  const auto* unified = find_unified(location);
  if (unified == nullptr)
    return fail("linux.resources.devices: no cgroup hierarchy of this container controls devices");
  const Fd folder = TRY(open(unified->path.c_str(), O_RDONLY | O_DIRECTORY));
  TRY_CTX(attach_device_program(folder.get(), device_program(policy), fresh), "linux.resources.devices");
  return {};
}

// A key is the name of a file: "memory.high", "cgroup.max.depth".
Result<> check_unified_key(const Location& location, std::string_view key) {
  const std::string field = cat("linux.resources.unified[\"", key, "\"]");
  const size_t dot = key.find('.');
  if (key.find('/') != std::string_view::npos) return fail(field, ": must be a file name, without \"/\"");
  if (dot == std::string_view::npos || dot == 0) return fail(field, ": must have the form CONTROLLER.PARAMETER");
  const std::string_view controller = key.substr(0, dot);
  if (controller == "cgroup") return {};
  if (const auto* v1 = find_v1(location, controller == "io" ? "blkio" : controller))
    return fail(field, ": the ", controller, " controller is on cgroup v1 here, at ", v1->path);
  TRY(find_target(location, controller, controller, field));
  return {};
}

Result<> write_unified(const Location& location, const std::map<std::string, std::string, std::less<>>& values) {
  const auto* unified = find_unified(location);
  if (unified == nullptr) return fail("linux.resources.unified: this host has cgroup v1 only");
  for (const auto& [key, value] : values) TRY(check_unified_key(location, key));
  return v2::set_unified(Folder(unified->path), values);
}

void complete_cpu(const Location& location, CpuResources& cpu) {
  const bool quota = cpu.quota.value_or(0) != 0, period = cpu.period.value_or(0) != 0;
  if (quota == period) return;
  const auto target = find_target(location, "cpu", "cpu", "cpu");
  if (!target) return;
  if (!target->v2) {
    const auto current_period = target->folder.number("cpu.cfs_period_us");
    const auto current_quota = target->folder.number("cpu.cfs_quota_us");
    if (!period && current_period) cpu.period = *current_period;
    if (!quota && current_quota) cpu.quota = *current_quota == UINT64_MAX ? -1 : static_cast<int64_t>(*current_quota);
    return;
  }
  const std::string current = target->folder.get("cpu.max").value_or("");
  std::string_view rest = current;
  const std::string_view limit = cut(rest, ' ');
  if (!period) cpu.period = parse_number<uint64_t>(rest);
  if (!quota) cpu.quota = limit == "max" ? std::optional<int64_t>(-1) : parse_number<int64_t>(limit);
}

void complete_memory(const Location& location, MemoryResources& memory) {
  if (memory.swap.value_or(0) <= 0 || memory.limit.value_or(0) != 0) return;
  const auto target = find_target(location, "memory", "memory", "memory");
  if (!target) return;
  const auto current = target->folder.number(target->v2 ? "memory.max" : "memory.limit_in_bytes");
  if (current) memory.limit = *current > INT64_MAX ? -1 : static_cast<int64_t>(*current);
}

}  // namespace

Resources complete_limits(const Location& location, Resources resources) {
  if (resources.cpu) complete_cpu(location, *resources.cpu);
  if (resources.memory) complete_memory(location, *resources.memory);
  return resources;
}

Result<> write_limits(const Location& location, const Resources& resources, const LimitOptions& options) {
  const bool fresh = options.fresh;
  if (resources.pids_limit && !(fresh && *resources.pids_limit < 0)) {
    const Target target = TRY(find_target(location, "pids", "pids", "linux.resources.pids.limit"));
    TRY(v1::set_pids(target.folder, *resources.pids_limit));
  }
  if (resources.memory) TRY(write_memory(location, *resources.memory, fresh));
  if (resources.block_io) TRY(write_block_io(location, *resources.block_io));
  if (resources.cpu) TRY(write_cpu(location, *resources.cpu, fresh));
  TRY(write_cpuset(location, resources.cpu.value_or(CpuResources{}), fresh, options.create));
  if ((options.create || !resources.devices.empty()) && !location.rootless)
    TRY(write_devices(location, resources.devices, fresh));
  if (!resources.hugepage_limits.empty()) TRY(write_hugetlb(location, resources.hugepage_limits));
  if (resources.network) TRY(write_network(location, *resources.network));
  if (!resources.rdma.empty()) {
    const Target target = TRY(find_target(location, "rdma", "rdma", "linux.resources.rdma"));
    TRY(set_rdma(target.folder, resources.rdma));
  }
  if (!resources.unified.empty()) TRY(write_unified(location, resources.unified));
  return {};
}

}  // namespace proa::kernel::cgroup
