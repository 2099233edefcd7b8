#include "kernel/resctrl.h"

#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "kernel/cgroup/folder.h"
#include "kernel/file.h"
#include "kernel/sys.h"

namespace proa::kernel {
namespace {

using cgroup::Folder;

constexpr CallShape kStatfs{SYS_statfs, "statfs", "sp"};
constexpr CallShape kMkdirat{SYS_mkdirat, "mkdirat", "dso"};
constexpr CallShape kUnlinkat{SYS_unlinkat, "unlinkat", "dsx"};
constexpr long kResctrlMagic = 0x7655821;  // RDTGROUP_SUPER_MAGIC

// The mount point: at its usual place, else as mountinfo says.
Result<std::string> find_mount(const std::string& root) {
  std::string usual = cat(root, "/sys/fs/resctrl");
  struct statfs info{};
  const long answer = call(kStatfs, usual.c_str(), &info);
  if (answer == 0 && static_cast<long>(info.f_type) == kResctrlMagic) return usual;
  const std::string mounts = read_file(cat(root, "/proc/self/mountinfo").c_str()).value_or("");
  for (std::string_view rest = mounts; answer == 0 && !rest.empty();) {
    std::string_view line = cut(rest, '\n');
    if (line.find(" - resctrl ") == std::string_view::npos) continue;
    for (int i = 0; i < 4; ++i) cut(line, ' ');
    return cat(root, cut(line, ' '));
  }
  return fail("linux.intelRdt: no resctrl file system is mounted")
      .hint(answer == 0 ? "mount -t resctrl resctrl /sys/fs/resctrl" : "this kernel or processor has no resctrl");
}

// The kernel says more in a file than errno can.
Error explain(Error error, const std::string& mount) {
  const std::string status = Folder(mount + "/info").get("last_cmd_status").value_or("ok");
  if (status == "ok") return error;
  return Error(cat(error.message(), " (", status, ")"), error.code());
}

Result<> check_config(const IntelRdt& config) {
  static constexpr std::array<std::string_view, 3> reserved = {"info", "mon_groups", "mon_data"};
  const std::string& id = config.clos_id;
  const bool bad = id == "." || id == ".." || (id != "/" && id.find('/') != std::string::npos) ||
                   std::ranges::find(reserved, id) != reserved.end();
  if (bad) return fail("linux.intelRdt.closID: \"", id, "\" is not a group's name");
  if (!config.mem_bw_schema.empty() && !config.mem_bw_schema.starts_with("MB:"))
    return fail("linux.intelRdt.memBwSchema: \"", config.mem_bw_schema, "\" must start with \"MB:\"");
  if (config.mem_bw_schema.find('\n') != std::string::npos) return fail("linux.intelRdt.memBwSchema: has a newline");
  for (size_t i = 0; i < config.schemata.size(); ++i)
    if (config.schemata[i].find('\n') != std::string::npos)
      return fail("linux.intelRdt.schemata[", i, "]: has a newline");
  return {};
}

bool sets_schemata(const IntelRdt& config) {
  return !config.l3_cache_schema.empty() || !config.mem_bw_schema.empty() || !config.schemata.empty();
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '0')) text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool same_number(std::string_view a, std::string_view b) {
  return std::ranges::equal(trim(a), trim(b), [](char x, char y) {
    return x == y || ((x ^ y) == 0x20 && (x | 0x20) >= 'a' && (x | 0x20) <= 'f');
  });
}

// Whether a schemata line ("L3:0=7ff;1=7ff") says everything that `wanted` says, number by number.
bool line_covers(std::string_view line, std::string_view wanted) {
  const auto resource = [](std::string_view& text) {
    std::string_view name = cut(text, ':');
    while (name.starts_with(' ')) name.remove_prefix(1);
    return name;
  };
  if (resource(line) != resource(wanted)) return false;
  while (!wanted.empty()) {
    std::string_view value = cut(wanted, ';');
    const std::string_view id = cut(value, '=');
    bool found = false;
    for (std::string_view rest = line; !rest.empty() && !found;) {
      std::string_view held = cut(rest, ';');
      found = same_number(cut(held, '='), id) && same_number(held, value);
    }
    if (!found) return false;
  }
  return true;
}

Result<> check_same(const Folder& folder, const char* field, std::string_view wanted) {
  const std::string schemata = TRY(folder.get("schemata"));
  while (!wanted.empty()) {
    const std::string_view line = cut(wanted, '\n');
    bool found = line.empty();
    for (std::string_view rest = schemata; !rest.empty() && !found;) found = line_covers(cut(rest, '\n'), line);
    if (!found) return fail("linux.intelRdt.", field, ": \"", line, "\" is not what the group ", folder.path(), " has");
  }
  return {};
}

// A class that exists is shared with others: its cache and bandwidth must be those asked for.
Result<> check_existing(const IntelRdt& config, const Folder& folder) {
  if (config.clos_id.empty()) return {};
  TRY(check_same(folder, "l3CacheSchema", config.l3_cache_schema));
  return check_same(folder, "memBwSchema", config.mem_bw_schema);
}

Result<> write_schemata(const IntelRdt& config, const Folder& folder, const std::string& mount) {
  std::string text;
  for (const std::string* part : {&config.l3_cache_schema, &config.mem_bw_schema})
    if (!part->empty()) text.append(*part).append("\n");
  for (const std::string& line : config.schemata) text.append(line).append("\n");
  if (text.empty()) return {};
  const char* field = !config.l3_cache_schema.empty() ? "linux.intelRdt.l3CacheSchema"
                      : !config.mem_bw_schema.empty() ? "linux.intelRdt.memBwSchema"
                                                      : "linux.intelRdt.schemata";
  auto written = folder.set(field, "schemata", text);
  if (!written) return std::unexpected(explain(std::move(written).error(), mount));
  return {};
}

ResctrlGroup name_groups(const IntelRdt& config, std::string_view id, const std::string& mount) {
  ResctrlGroup group;
  group.path = config.clos_id == "/" ? mount : cat(mount, "/", config.clos_id.empty() ? id : config.clos_id);
  if (config.enable_monitoring) group.monitor = cat(group.path, "/mon_groups/", id);
  return group;
}

Result<> make_group(const IntelRdt& config, ResctrlGroup& group, const std::string& mount) {
  if (group.path != mount && (config.clos_id.empty() || sets_schemata(config))) {
    const long answer = call(kMkdirat, AT_FDCWD, group.path.c_str(), 0755);
    if (answer < 0 && answer != -EEXIST)
      return Failure(
          explain(Error::from_errno(static_cast<int>(-answer), cat("linux.intelRdt: make group ", group.path)), mount));
    group.made = answer >= 0;
  } else if (group.path != mount && !path_exists(group.path.c_str())) {
    return fail("linux.intelRdt.closID: the group ", group.path,
                " does not exist, and no schemata are given to make it");
  }
  const Folder folder(group.path);
  if (!group.made) TRY(check_existing(config, folder));
  TRY(write_schemata(config, folder, mount));
  if (group.monitor.empty()) return {};
  const long answer = call(kMkdirat, AT_FDCWD, group.monitor.c_str(), 0755);
  if (answer >= 0) return {};
  auto error =
      Error::from_errno(static_cast<int>(-answer), cat("linux.intelRdt.enableMonitoring: make group ", group.monitor));
  group.monitor.clear();
  return Failure(explain(std::move(error), mount));
}

Result<> remove_group(const std::string& path) {
  const long answer = call(kUnlinkat, AT_FDCWD, path.c_str(), AT_REMOVEDIR);
  if (answer == -ENOENT) return {};
  return check_ok(answer, "remove resctrl group ", path);
}

// The line of a schemata file for a resource, without spaces around it.
std::string line_of(const std::string& schemata, std::string_view resource) {
  for (std::string_view rest = schemata; !rest.empty();) {
    std::string_view line = cut(rest, '\n');
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (line.starts_with(resource)) return std::string(line);
  }
  return {};
}

Result<> read_info(const std::string& mount, ResctrlStats& stats) {
  if (const Folder l3(mount + "/info/L3"); l3.has("cbm_mask")) {
    L3CacheInfo& info = stats.l3_cache.emplace();
    info.cbm_mask = TRY(l3.get("cbm_mask"));
    info.min_cbm_bits = TRY(l3.number("min_cbm_bits"));
    info.num_closids = TRY(l3.number("num_closids"));
  }
  if (const Folder mb(mount + "/info/MB"); mb.has("min_bandwidth")) {
    MemoryBandwidthInfo& info = stats.mem_bw.emplace();
    info.bandwidth_gran = TRY(mb.number("bandwidth_gran"));
    info.delay_linear = TRY(mb.number("delay_linear"));
    info.min_bandwidth = TRY(mb.number("min_bandwidth"));
    info.num_closids = TRY(mb.number("num_closids"));
  }
  const std::string features = Folder(mount + "/info/L3_MON").get("mon_features").value_or("");
  stats.has_bandwidth_counters = features.find("mbm_") != std::string::npos;
  stats.has_cache_counters = features.find("llc_occupancy") != std::string::npos;
  return {};
}

// A counter can be "Unavailable" or "Error" for a moment: then it counts nothing.
Result<> read_counters(const std::string& group, ResctrlStats& stats) {
  const Folder data(group + "/mon_data");
  std::vector<std::string> domains = TRY(data.folders());
  std::ranges::sort(domains);
  for (const std::string& domain : domains) {
    const Folder folder = data.child(domain);
    const auto read = [&](const char* file) {
      return parse_number<uint64_t>(folder.get(file).value_or("")).value_or(0);
    };
    stats.domains.push_back({read("mbm_total_bytes"), read("mbm_local_bytes"), read("llc_occupancy")});
  }
  return {};
}

}  // namespace

Result<ResctrlGroup> find_resctrl(const IntelRdt& config, std::string_view container_id, const std::string& root) {
  TRY(check_config(config));
  ResctrlGroup group = name_groups(config, container_id, TRY(find_mount(root)));
  // Without an identity of its own the class carries the container's name, and goes with it.
  group.made = config.clos_id.empty();
  return group;
}

Result<ResctrlGroup> create_resctrl(const IntelRdt& config, std::string_view container_id, const std::string& root) {
  TRY(check_config(config));
  const std::string mount = TRY(find_mount(root));
  ResctrlGroup group = name_groups(config, container_id, mount);
  auto made = make_group(config, group, mount);
  if (!made) {
    if (!group.monitor.empty()) static_cast<void>(remove_group(group.monitor));
    if (group.made) static_cast<void>(remove_group(group.path));
    return std::unexpected(std::move(made).error());
  }
  if (!config.clos_id.empty()) group.made = false;  // a named class outlives the container
  return group;
}

Result<> assign_resctrl(const ResctrlGroup& group, pid_t pid) {
  const std::string text = cat(pid);
  TRY(Folder(group.path).set("linux.intelRdt", "tasks", text));
  if (!group.monitor.empty()) TRY(Folder(group.monitor).set("linux.intelRdt.enableMonitoring", "tasks", text));
  return {};
}

Result<> update_resctrl(const ResctrlGroup& group, std::string_view l3_cache_schema, std::string_view mem_bw_schema,
                        const std::string& root) {
  const std::string mount = TRY(find_mount(root));
  const Folder folder(group.path);
  const std::pair<const char*, std::string_view> parts[] = {{"--l3-cache-schema", l3_cache_schema},
                                                            {"--mem-bw-schema", mem_bw_schema}};
  for (const auto& [flag, schema] : parts) {
    if (schema.empty()) continue;
    auto written = folder.set(flag, "schemata", cat(schema, "\n"));
    if (!written) return std::unexpected(explain(std::move(written).error(), mount));
  }
  return {};
}

Result<> remove_resctrl(const ResctrlGroup& group) {
  if (!group.monitor.empty()) TRY(remove_group(group.monitor));
  if (group.made) TRY(remove_group(group.path));
  return {};
}

Result<ResctrlStats> resctrl_stats(const ResctrlGroup& group, const std::string& root) {
  const std::string mount = TRY(find_mount(root));
  ResctrlStats stats;
  TRY(read_info(mount, stats));
  const std::string top = TRY(Folder(mount).get("schemata"));
  const std::string own = TRY(Folder(group.path).get("schemata"));
  for (std::string_view rest = own; !rest.empty();) stats.schemata.emplace_back(cut(rest, '\n'));
  if (stats.l3_cache) {
    stats.l3_schema_root = line_of(top, "L3");
    stats.l3_schema = line_of(own, "L3");
  }
  if (stats.mem_bw) {
    stats.mem_bw_schema_root = line_of(top, "MB");
    stats.mem_bw_schema = line_of(own, "MB");
  }
  if (stats.has_bandwidth_counters || stats.has_cache_counters)
    TRY(read_counters(group.monitor.empty() ? group.path : group.monitor, stats));
  return stats;
}

}  // namespace proa::kernel
