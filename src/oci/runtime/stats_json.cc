#include "oci/runtime/stats_json.h"

#include <charconv>
#include <functional>

#include "base/json.h"

namespace proa::oci::runtime {
namespace {

using namespace kernel::cgroup;

std::string text(double value) {
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

// An object being written. Members of value zero or without content are left out by the _or_nothing
// functions, as in runc's documents.
class Object {
 public:
  Object& raw(std::string_view key, std::string_view json) {
    text_.append(text_.size() == 1 ? "\"" : ",\"").append(key).append("\":").append(json);
    return *this;
  }
  Object& number(std::string_view key, uint64_t value) { return raw(key, cat(value)); }
  Object& number_or_nothing(std::string_view key, uint64_t value) { return value != 0 ? number(key, value) : *this; }
  Object& string_or_nothing(std::string_view key, std::string_view value) {
    return value.empty() ? *this : raw(key, json::quote(value));
  }
  template <typename T>
  Object& array_or_nothing(std::string_view key, const std::vector<T>& values,
                           const std::function<std::string(const T&)>& write) {
    if (values.empty()) return *this;
    std::string out = "[";
    for (const T& value : values) out.append(out.size() == 1 ? "" : ",").append(write(value));
    return raw(key, out + "]");
  }
  template <typename T>
  Object& numbers_or_nothing(std::string_view key, const std::vector<T>& values) {
    return array_or_nothing<T>(key, values, [](const T& value) { return cat(value); });
  }
  Object& object_or_nothing(std::string_view key, const Object& value) {
    return value.text_.size() == 1 ? *this : raw(key, value.done());
  }
  std::string done() const { return text_ + "}"; }

 private:
  std::string text_ = "{";
};

std::string pressure_line(const PressureLine& line) {
  return Object()
      .raw("avg10", text(line.avg10))
      .raw("avg60", text(line.avg60))
      .raw("avg300", text(line.avg300))
      .number("total", line.total)
      .done();
}

void add_pressure(Object& out, const std::optional<Pressure>& pressure) {
  if (!pressure) return;
  Object lines;
  const auto add = [&](std::string_view key, const PressureLine& line) {
    if (line.avg10 != 0 || line.avg60 != 0 || line.avg300 != 0 || line.total != 0) lines.raw(key, pressure_line(line));
  };
  add("some", pressure->some);
  add("full", pressure->full);
  out.raw("psi", lines.done());
}

std::string cpu_json(const CpuStats& cpu) {
  Object out;
  const bool used = cpu.total_ns != 0 || cpu.kernel_ns != 0 || cpu.user_ns != 0 || !cpu.per_cpu_ns.empty();
  if (used)
    out.raw("usage", Object()
                         .number_or_nothing("total", cpu.total_ns)
                         .numbers_or_nothing("percpu", cpu.per_cpu_ns)
                         .numbers_or_nothing("percpu_kernel", cpu.per_cpu_kernel_ns)
                         .numbers_or_nothing("percpu_user", cpu.per_cpu_user_ns)
                         .number("kernel", cpu.kernel_ns)
                         .number("user", cpu.user_ns)
                         .done());
  out.object_or_nothing("throttling", Object()
                                          .number_or_nothing("periods", cpu.periods)
                                          .number_or_nothing("throttledPeriods", cpu.throttled_periods)
                                          .number_or_nothing("throttledTime", cpu.throttled_ns));
  add_pressure(out, cpu.pressure);
  return out.done();
}

std::string cpuset_json(const CpusetStats& cpuset) {
  return Object()
      .numbers_or_nothing("cpus", cpuset.cpus)
      .number("cpu_exclusive", cpuset.cpu_exclusive)
      .numbers_or_nothing("mems", cpuset.mems)
      .number("mem_hardwall", cpuset.mem_hardwall)
      .number("mem_exclusive", cpuset.mem_exclusive)
      .number("memory_migrate", cpuset.memory_migrate)
      .number("memory_spread_page", cpuset.memory_spread_page)
      .number("memory_spread_slab", cpuset.memory_spread_slab)
      .number("memory_pressure", cpuset.memory_pressure)
      .number("sched_load_balance", cpuset.sched_load_balance)
      .raw("sched_relax_domain_level", cat(cpuset.sched_relax_domain_level))
      .done();
}

void add_counter(Object& out, std::string_view key, const MemoryCounter& counter) {
  if (counter.limit == 0 && counter.usage == 0 && counter.max_usage == 0 && counter.failcnt == 0) return;
  out.raw(key, Object()
                   .number("limit", counter.limit)
                   .number_or_nothing("usage", counter.usage)
                   .number_or_nothing("max", counter.max_usage)
                   .number("failcnt", counter.failcnt)
                   .done());
}

std::string memory_json(const MemoryStats& memory) {
  Object out;
  out.number_or_nothing("cache", memory.cache);
  add_counter(out, "usage", memory.usage);
  add_counter(out, "swap", memory.swap);
  add_counter(out, "kernel", memory.kernel);
  add_counter(out, "kernelTCP", memory.kernel_tcp);
  Object raw;
  for (const auto& [key, value] : memory.raw) raw.number(key, value);
  out.object_or_nothing("raw", raw);
  add_pressure(out, memory.pressure);
  return out.done();
}

std::string block_io_json(const BlockIoStats& io) {
  Object out;
  const auto add = [&](std::string_view key, const std::vector<BlockIoEntry>& entries) {
    out.array_or_nothing<BlockIoEntry>(key, entries, [](const BlockIoEntry& entry) {
      return Object()
          .number_or_nothing("major", entry.major)
          .number_or_nothing("minor", entry.minor)
          .string_or_nothing("op", entry.op)
          .number_or_nothing("value", entry.value)
          .done();
    });
  };
  add("ioServiceBytesRecursive", io.service_bytes);
  add("ioServicedRecursive", io.serviced);
  add("ioQueueRecursive", io.queued);
  add("ioServiceTimeRecursive", io.service_time);
  add("ioWaitTimeRecursive", io.wait_time);
  add("ioMergedRecursive", io.merged);
  add("ioTimeRecursive", io.time);
  add("sectorsRecursive", io.sectors);
  add_pressure(out, io.pressure);
  return out.done();
}

std::string hugetlb_json(const std::map<std::string, HugetlbStats>& sizes) {
  Object out;
  for (const auto& [size, stats] : sizes)
    out.raw(size, Object()
                      .number_or_nothing("usage", stats.usage)
                      .number_or_nothing("max", stats.max_usage)
                      .number("failcnt", stats.failcnt)
                      .done());
  return out.done();
}

std::string resctrl_json(const kernel::ResctrlStats* stats) {
  Object out;
  if (stats == nullptr) return out.done();
  if (stats->l3_cache)
    out.raw("l3_cache_info", Object()
                                 .string_or_nothing("cbm_mask", stats->l3_cache->cbm_mask)
                                 .number_or_nothing("min_cbm_bits", stats->l3_cache->min_cbm_bits)
                                 .number_or_nothing("num_closids", stats->l3_cache->num_closids)
                                 .done());
  out.string_or_nothing("l3_cache_schema_root", stats->l3_schema_root)
      .string_or_nothing("l3_cache_schema", stats->l3_schema);
  if (stats->mem_bw)
    out.raw("mem_bw_info", Object()
                               .number_or_nothing("bandwidth_gran", stats->mem_bw->bandwidth_gran)
                               .number_or_nothing("delay_linear", stats->mem_bw->delay_linear)
                               .number_or_nothing("min_bandwidth", stats->mem_bw->min_bandwidth)
                               .number_or_nothing("num_closids", stats->mem_bw->num_closids)
                               .done());
  out.string_or_nothing("mem_bw_schema_root", stats->mem_bw_schema_root)
      .string_or_nothing("mem_bw_schema", stats->mem_bw_schema)
      .array_or_nothing<std::string>("schemata", stats->schemata,
                                     [](const std::string& line) { return json::quote(line); });
  using Domain = kernel::ResctrlDomainStats;
  if (stats->has_bandwidth_counters)
    out.array_or_nothing<Domain>("mbm_stats", stats->domains, [](const Domain& domain) {
      return Object()
          .number_or_nothing("mbm_total_bytes", domain.mbm_total_bytes)
          .number_or_nothing("mbm_local_bytes", domain.mbm_local_bytes)
          .done();
    });
  if (stats->has_cache_counters)
    out.array_or_nothing<Domain>("cmt_stats", stats->domains, [](const Domain& domain) {
      return Object().number_or_nothing("llc_occupancy", domain.llc_occupancy).done();
    });
  return out.done();
}

}  // namespace

std::string stats_line(std::string_view id, const Stats& stats, const kernel::ResctrlStats* resctrl) {
  const std::string data = Object()
                               .raw("cpu", cpu_json(stats.cpu))
                               .raw("cpuset", cpuset_json(stats.cpuset))
                               .raw("memory", memory_json(stats.memory))
                               .raw("pids", Object()
                                                .number_or_nothing("current", stats.pids.current)
                                                .number_or_nothing("limit", stats.pids.limit)
                                                .done())
                               .raw("blkio", block_io_json(stats.block_io))
                               .raw("hugetlb", hugetlb_json(stats.hugetlb))
                               .raw("intel_rdt", resctrl_json(resctrl))
                               // Interfaces that the runtime itself made for the container: it makes none.
                               .raw("network_interfaces", "null")
                               .done();
  return Object().raw("type", "\"stats\"").raw("id", json::quote(id)).raw("data", data).done() + "\n";
}

std::string oom_line(std::string_view id) {
  return Object().raw("type", "\"oom\"").raw("id", json::quote(id)).done() + "\n";
}

}  // namespace proa::oci::runtime
