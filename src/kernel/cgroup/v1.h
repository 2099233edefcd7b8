// Limits on cgroup v1: one function per controller, each writing the control files of one folder.
// `fresh`: the cgroup was just made, so its values are the kernel's defaults and need not be read.
// Zero means "not set", as in runc, except where the specification gives zero a meaning.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/cgroup/device_rules.h"
#include "kernel/cgroup/folder.h"
#include "kernel/cgroup/resources.h"

namespace proa::kernel::cgroup::v1 {

Result<> set_cpu(const Folder& folder, const CpuResources& cpu);
Result<> set_cpuset(const Folder& folder, const CpuResources& cpu);
// Copies cpus and mems from the parent where they are empty, topmost first: tasks may not enter before.
// Of a fresh folder only those that `given` did not set are touched, unread.
Result<> populate_cpuset(const Folder& folder, const CpuResources& given, bool fresh);
// ... of the parents only, for the values that `given` sets: a child takes no more than its parent has.
Result<> populate_parents(const Folder& folder, const CpuResources& given);
Result<> set_memory(const Folder& folder, const MemoryResources& memory, bool fresh);
Result<> set_block_io(const Folder& folder, const BlockIoResources& io);
Result<> set_pids(const Folder& folder, int64_t limit);
Result<> set_hugetlb(const Folder& folder, const std::vector<HugepageLimit>& limits);
Result<> set_net_cls(const Folder& folder, uint32_t class_id);
Result<> set_net_prio(const Folder& folder, const std::vector<NetworkPriority>& priorities);
Result<> set_devices(const Folder& folder, const DevicePolicy& policy, bool fresh);

}  // namespace proa::kernel::cgroup::v1

namespace proa::kernel::cgroup {
// The rdma and pids files are the same on both versions.
Result<> set_rdma(const Folder& folder, const std::map<std::string, RdmaLimit, std::less<>>& limits);
}  // namespace proa::kernel::cgroup
