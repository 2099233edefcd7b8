// Resource Director Technology: shares of cache and memory bandwidth, through the resctrl file system
// ("linux.intelRdt" of the OCI runtime-spec, config-linux.md, "IntelRdt").
//
// One thread. Nothing is owned: groups stay until remove_resctrl().
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::kernel {

struct IntelRdt {
  std::string clos_id, l3_cache_schema, mem_bw_schema;
  std::vector<std::string> schemata;
  bool enable_monitoring = false;
};

struct ResctrlGroup {
  std::string path;     // the class of service the container is in
  std::string monitor;  // its own monitoring group; empty for none
  bool made = false;    // `path` was made for this container and goes with it
};

// Finds or makes the container's groups and writes their schemata. Errors name "linux.intelRdt.…"; on
// failure nothing is left. `root` prefixes /sys and /proc (tests).
Result<ResctrlGroup> create_resctrl(const IntelRdt& config, std::string_view container_id,
                                    const std::string& root = {});
// Where create_resctrl() put a container, without touching anything.
Result<ResctrlGroup> find_resctrl(const IntelRdt& config, std::string_view container_id, const std::string& root = {});
// Moves a process in; the processes it forks from then on are in too.
Result<> assign_resctrl(const ResctrlGroup& group, pid_t pid);
// `update`: an empty schema stays as it is. Errors name the flag, --l3-cache-schema or --mem-bw-schema.
Result<> update_resctrl(const ResctrlGroup& group, std::string_view l3_cache_schema, std::string_view mem_bw_schema,
                        const std::string& root = {});
// Takes away what was made for the container; what is gone already is fine.
Result<> remove_resctrl(const ResctrlGroup& group);

struct L3CacheInfo {
  std::string cbm_mask;
  uint64_t min_cbm_bits = 0, num_closids = 0;
};
struct MemoryBandwidthInfo {
  uint64_t bandwidth_gran = 0, delay_linear = 0, min_bandwidth = 0, num_closids = 0;
};
struct ResctrlDomainStats {  // per cache (socket)
  uint64_t mbm_total_bytes = 0, mbm_local_bytes = 0, llc_occupancy = 0;
};
struct ResctrlStats {
  std::optional<L3CacheInfo> l3_cache;        // absent: the machine cannot divide its cache
  std::optional<MemoryBandwidthInfo> mem_bw;  // absent: nor its bandwidth
  std::string l3_schema_root, l3_schema, mem_bw_schema_root, mem_bw_schema;
  std::vector<std::string> schemata;  // every line of the group
  bool has_bandwidth_counters = false, has_cache_counters = false;
  std::vector<ResctrlDomainStats> domains;
};
Result<ResctrlStats> resctrl_stats(const ResctrlGroup& group, const std::string& root = {});

}  // namespace proa::kernel
