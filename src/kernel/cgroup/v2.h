// Limits on the unified hierarchy, converted from v1's terms where they differ (docs in v2.cc).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/cgroup/folder.h"
#include "kernel/cgroup/resources.h"

namespace proa::kernel::cgroup::v2 {

// `fresh`: the cgroup was just made; else values that depend on one another are completed by reading
// (a quota keeps the period it had). Fields v2 cannot express are errors that name them.
Result<> set_cpu(const Folder& folder, const CpuResources& cpu, bool fresh);
Result<> set_cpuset(const Folder& folder, const CpuResources& cpu);
// For checkBeforeUpdate: an error when a limit is below what is in use now.
Result<> check_usage(const Folder& folder, const MemoryResources& memory);
Result<> set_memory(const Folder& folder, const MemoryResources& memory, bool fresh);
Result<> set_block_io(const Folder& folder, const BlockIoResources& io);
Result<> set_hugetlb(const Folder& folder, const std::vector<HugepageLimit>& limits);
// Keys are file names; a value of several lines is written line by line. Controllers are checked by
// the caller.
Result<> set_unified(const Folder& folder, const std::map<std::string, std::string, std::less<>>& values);

// cpu.weight (1-10000) of cpu.shares (2-262144). Both defaults, 1024 and 100, match, as do both ends:
// a quadratic in log2(shares) through these three points, as runc and crun have it since 2025.
uint64_t weight_of_shares(uint64_t shares);
// io.weight (1-10000) of blkio.weight (10-1000), linear.
uint64_t io_weight_of(uint16_t weight);
// memory.swap.max of memory+swap and memory limits: "" leave, "max", or a number.
Result<std::string> swap_max(int64_t limit, int64_t memory_and_swap);

}  // namespace proa::kernel::cgroup::v2
