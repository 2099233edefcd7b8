// Reading the counters of one folder; for cgroup's own files. A controller that is not there leaves zeros.
#pragma once

#include "base/error.h"
#include "kernel/cgroup/cgroup.h"
#include "kernel/cgroup/folder.h"
#include "kernel/cgroup/stats.h"

namespace proa::kernel::cgroup {

Result<Stats> read_stats(const Location& location);

namespace v1 {
Result<> read_cpu(const Folder& folder, CpuStats& out);      // controller cpu
Result<> read_cpuacct(const Folder& folder, CpuStats& out);  // controller cpuacct
Result<> read_cpuset(const Folder& folder, CpusetStats& out);
Result<> read_memory(const Folder& folder, MemoryStats& out);
Result<> read_block_io(const Folder& folder, BlockIoStats& out);
Result<> read_hugetlb(const Folder& folder, std::map<std::string, HugetlbStats>& out);
}  // namespace v1

namespace v2 {
Result<> read_cpu(const Folder& folder, CpuStats& out);
Result<> read_memory(const Folder& folder, MemoryStats& out);
Result<> read_block_io(const Folder& folder, BlockIoStats& out);
Result<> read_hugetlb(const Folder& folder, std::map<std::string, HugetlbStats>& out);
std::optional<Pressure> read_pressure(const Folder& folder, std::string_view file);
}  // namespace v2

// The same files on both versions.
Result<> read_pids(const Folder& folder, PidsStats& out);

// "key value" lines.
Result<std::map<std::string, uint64_t>> read_flat(const Folder& folder, std::string_view file);
// "0-2,7" as numbers.
Result<std::vector<uint16_t>> parse_list(std::string_view text);
// Page sizes that the folder has hugetlb files for, by the files' `suffix`.
Result<std::vector<std::string>> page_sizes(const Folder& folder, std::string_view suffix);
// True for the error of a file that is not there.
inline bool is_missing(const Error& error) { return error.code() == ENOENT; }

}  // namespace proa::kernel::cgroup
