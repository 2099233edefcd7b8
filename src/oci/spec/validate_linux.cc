#include <linux/mempolicy.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "base/json.h"
#include "kernel/names.h"
#include "oci/spec/namespaces.h"
#include "oci/spec/number_list.h"
#include "oci/spec/sysctl.h"
#include "oci/spec/validate.h"

namespace proa::oci {
namespace {

constexpr size_t kMaxIdMappings = 340;        // user_namespaces(7)
constexpr int64_t kMaxMajor = (1 << 12) - 1;  // what a Linux dev_t holds
constexpr int64_t kMaxMinor = (1 << 20) - 1;
constexpr uint32_t kMaxFileMode = 0177777;  // permissions, and perhaps the type bits of st_mode
constexpr uint32_t kMaxSyscallArgument = 5;
constexpr uint32_t kNanosecondsPerSecond = 1'000'000'000;

bool is_absolute(std::string_view path) { return path.starts_with('/'); }
bool has(const Linux& config, NamespaceType type) { return config.find(type) != nullptr; }

// --- namespaces

bool overlap(uint32_t a, uint32_t b, uint32_t a_size, uint32_t b_size) {
  return uint64_t{a} < uint64_t{b} + b_size && uint64_t{b} < uint64_t{a} + a_size;
}

Result<> check_namespaces(const Linux& config) {
  std::array<bool, kNamespaceTypes> seen{};
  for (size_t i = 0; i < config.namespaces.size(); ++i) {
    const Namespace& entry = config.namespaces[i];
    bool& before = seen[static_cast<size_t>(entry.type)];
    if (before) return fail("linux.namespaces[", i, "].type: \"", info(entry.type).name, "\" is given twice");
    before = true;
    if (!entry.path.empty() && !is_absolute(entry.path))
      return fail("linux.namespaces[", i, "].path: must be an absolute path, found ", json::quote(entry.path));
  }
  return {};
}

Result<> check_mappings(const Linux& config) {
  const Namespace* user = config.find(NamespaceType::kUser);
  const bool uids = !config.uid_mappings.empty(), gids = !config.gid_mappings.empty();
  if (user == nullptr && (uids || gids))
    return fail(uids ? "linux.uidMappings" : "linux.gidMappings", ": needs a user namespace of the container")
        .hint("add {\"type\": \"user\"} to linux.namespaces");
  if (user != nullptr && user->path.empty() && !(uids && gids))
    return fail(uids ? "linux.gidMappings" : "linux.uidMappings", ": is required for a new user namespace");
  TRY(check_id_mappings("linux.uidMappings", config.uid_mappings));
  return check_id_mappings("linux.gidMappings", config.gid_mappings);
}

Result<> check_time_offsets(const Linux& config) {
  if (config.time_offsets.empty()) return {};
  const Namespace* time = config.find(NamespaceType::kTime);
  if (time == nullptr)
    return fail("linux.timeOffsets: needs a time namespace of the container")
        .hint("add {\"type\": \"time\"} to linux.namespaces");
  if (!time->path.empty()) return fail("linux.timeOffsets: cannot be set in a time namespace that is joined by path");
  for (const auto& [clock, offset] : config.time_offsets) {
    if (clock != "monotonic" && clock != "boottime")
      return fail("linux.timeOffsets[", json::quote(clock), "]: is not a clock").hint("one of monotonic, boottime");
    if (offset.nanosecs >= kNanosecondsPerSecond)
      return fail("linux.timeOffsets[\"", clock, "\"].nanosecs: must be below ", kNanosecondsPerSecond, ", found ",
                  offset.nanosecs);
  }
  return {};
}

Result<> check_parameter(const Linux& config, std::string_view key) {
  const std::string path = TRY(sysctl_path(key));
  const std::optional<NamespaceType> owner = sysctl_namespace(path);
  if (!owner) return fail("belongs to the host, not to a namespace of the container");
  if (!has(config, *owner)) return fail("needs a namespace of type ", info(*owner).name);
  if (path == "kernel/hostname") return fail("is set by the field hostname");
  return {};
}

Result<> check_sysctl(const Linux& config) {
  for (const auto& [key, value] : config.sysctl)
    TRY_CTX(check_parameter(config, key), "linux.sysctl[", json::quote(key), "]");
  return {};
}

// The kernel's dev_valid_name().
bool is_interface_name(std::string_view name) {
  return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
         name.find_first_of("/: \t\n\v\f\r") == std::string_view::npos;
}

Result<> check_net_devices(const Linux& config) {
  if (config.net_devices.empty()) return {};
  if (!has(config, NamespaceType::kNetwork))
    return fail("linux.netDevices: needs a network namespace of the container")
        .hint("add {\"type\": \"network\"} to linux.namespaces");
  std::set<std::string_view> names;
  for (const NetDevice& device : config.net_devices) {
    const auto bad = [&](std::string_view what) {
      return fail("linux.netDevices[", json::quote(device.host_name), "]", what);
    };
    if (!is_interface_name(device.host_name)) return bad(": is not a name of a network device");
    if (!is_interface_name(device.name))
      return bad(cat(".name: ", json::quote(device.name), " is not a name of a network device"));
    // "eth%d" asks the kernel for a free number, any number of times.
    if (device.name.find("%d") == std::string::npos && !names.insert(device.name).second)
      return bad(cat(".name: \"", device.name, "\" is given twice"));
  }
  return {};
}

// --- files

Result<> check_path_list(const Linux& config, std::string_view field, const std::vector<std::string>& paths) {
  if (!paths.empty() && !has(config, NamespaceType::kMount))
    return fail("linux.", field, ": needs a mount namespace of the container");
  for (size_t i = 0; i < paths.size(); ++i)
    if (!is_absolute(paths[i]))
      return fail("linux.", field, "[", i, "]: must be an absolute path, found ", json::quote(paths[i]));
  return {};
}

Result<> check_paths(const Linux& config) {
  TRY(check_path_list(config, "maskedPaths", config.masked_paths));
  return check_path_list(config, "readonlyPaths", config.readonly_paths);
}

Result<> check_device(const Device& device) {
  if (!is_absolute(device.path)) return fail("path: must be an absolute path, found ", json::quote(device.path));
  if (device.type != 'p') {
    if (device.major < 0 || device.major > kMaxMajor)
      return fail("major: must be 0 to ", kMaxMajor, ", found ", device.major);
    if (device.minor < 0 || device.minor > kMaxMinor)
      return fail("minor: must be 0 to ", kMaxMinor, ", found ", device.minor);
  }
  if (device.file_mode && *device.file_mode > kMaxFileMode)
    return fail("fileMode: must be 0 to 4095 (octal 7777), found ", *device.file_mode);
  return {};
}

Result<> check_devices(const Linux& config) {
  for (size_t i = 0; i < config.devices.size(); ++i)
    if (auto checked = check_device(config.devices[i]); !checked)
      return fail("linux.devices[", i, "].", checked.error().message());
  return {};
}

Result<> check_propagation(const Linux& config) {
  static constexpr auto kValues = std::to_array<std::string_view>(
      {"", "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"});
  if (std::ranges::find(kValues, config.rootfs_propagation) != kValues.end()) return {};
  return fail("linux.rootfsPropagation: ", json::quote(config.rootfs_propagation), " is not known")
      .hint("one of shared, slave, private, unbindable");
}

// --- the process's surroundings

Result<> check_seccomp(const Linux& config) {
  if (!config.seccomp) return {};
  const Seccomp& seccomp = *config.seccomp;
  constexpr std::string_view kNotify = "SCMP_ACT_NOTIFY";
  bool notify = seccomp.default_action == kNotify;
  for (size_t i = 0; i < seccomp.syscalls.size(); ++i) {
    const kernel::SeccompSyscall& rule = seccomp.syscalls[i];
    notify |= rule.action == kNotify;
    if (rule.names.empty()) return fail("linux.seccomp.syscalls[", i, "].names: must not be empty");
    for (size_t k = 0; k < rule.args.size(); ++k)
      if (rule.args[k].index > kMaxSyscallArgument)
        return fail("linux.seccomp.syscalls[", i, "].args[", k, "].index: must be 0 to ", kMaxSyscallArgument,
                    ", found ", rule.args[k].index);
  }
  if (notify && seccomp.listener_path.empty())
    return fail("linux.seccomp.listenerPath: is required with SCMP_ACT_NOTIFY");
  if (!seccomp.listener_metadata.empty() && seccomp.listener_path.empty())
    return fail("linux.seccomp.listenerMetadata: needs listenerPath");
  return {};
}

Result<> check_intel_rdt(const Linux& config) {
  if (!config.intel_rdt) return {};
  const IntelRdt& rdt = *config.intel_rdt;
  // A name of one folder of resctrl, or "/" for its root.
  const std::string& id = rdt.clos_id;
  if (id == "." || id == ".." || (id.size() > 1 && id.find('/') != std::string::npos) ||
      id.find('\n') != std::string::npos)
    return fail("linux.intelRdt.closID: ", json::quote(id), " is not a name of a class of service");
  if (rdt.l3_cache_schema.find('\n') != std::string::npos)
    return fail("linux.intelRdt.l3CacheSchema: contains a newline");
  if (rdt.mem_bw_schema.find('\n') != std::string::npos) return fail("linux.intelRdt.memBwSchema: contains a newline");
  if (!rdt.mem_bw_schema.empty() && !rdt.mem_bw_schema.starts_with("MB:"))
    return fail("linux.intelRdt.memBwSchema: must start with MB:, found ", json::quote(rdt.mem_bw_schema));
  for (size_t i = 0; i < rdt.schemata.size(); ++i)
    if (rdt.schemata[i].find('\n') != std::string::npos)
      return fail("linux.intelRdt.schemata[", i, "]: contains a newline");
  return {};
}

Result<uint64_t> known(kernel::NameTable table, std::string_view name) {
  if (const auto number = kernel::number_of(table, name)) return *number;
  return fail(json::quote(name), " is not known").hint(cat("one of ", kernel::joined_names(table)));
}

// set_mempolicy(2): which modes need nodes.
Result<> check_memory_policy(const Linux& config) {
  if (!config.memory_policy) return {};
  const MemoryPolicy& policy = *config.memory_policy;
  const uint64_t mode = TRY_CTX(known(kernel::memory_policy_mode_names(), policy.mode), "linux.memoryPolicy.mode");
  for (size_t i = 0; i < policy.flags.size(); ++i)
    TRY_CTX(known(kernel::memory_policy_flag_names(), policy.flags[i]), "linux.memoryPolicy.flags[", i, "]");
  const auto nodes = TRY_CTX(parse_number_list(policy.nodes, kMaxMemoryNodes), "linux.memoryPolicy.nodes");
  if ((mode == MPOL_DEFAULT || mode == MPOL_LOCAL) && !nodes.empty())
    return fail("linux.memoryPolicy.nodes: must be empty with ", policy.mode);
  if (mode != MPOL_DEFAULT && mode != MPOL_LOCAL && mode != MPOL_PREFERRED && nodes.empty())
    return fail("linux.memoryPolicy.nodes: is required with ", policy.mode);
  return {};
}

Result<> check_personality(const Linux& config) {
  if (!config.personality) return {};
  TRY_CTX(known(kernel::personality_domain_names(), config.personality->domain), "linux.personality.domain");
  for (size_t i = 0; i < config.personality->flags.size(); ++i)
    TRY_CTX(known(kernel::personality_flag_names(), config.personality->flags[i]), "linux.personality.flags[", i, "]");
  return {};
}

Result<> check_resources(const Linux& config) {
  return config.resources ? validate(*config.resources, "linux.resources") : Result<>();
}

}  // namespace

Result<> check_id_mappings(std::string_view field, const std::vector<IdMapping>& list) {
  if (list.size() > kMaxIdMappings) return fail(field, ": the kernel takes at most ", kMaxIdMappings, " entries");
  for (size_t i = 0; i < list.size(); ++i) {
    const IdMapping& m = list[i];
    if (m.size == 0) return fail(field, "[", i, "].size: must be above 0");
    for (const auto& [name, first] : {std::pair{"containerID", m.container_id}, {"hostID", m.host_id}})
      if (uint64_t{first} + m.size > UINT32_MAX)
        return fail(field, "[", i, "].", name, ": the range ends beyond the last id");
    for (size_t k = 0; k < i; ++k) {
      if (overlap(m.container_id, list[k].container_id, m.size, list[k].size))
        return fail(field, "[", i, "].containerID: overlaps entry ", k);
      if (overlap(m.host_id, list[k].host_id, m.size, list[k].size))
        return fail(field, "[", i, "].hostID: overlaps entry ", k);
    }
  }
  return {};
}

Result<> validate(const Linux& config) {
  for (const auto check : {check_namespaces, check_mappings, check_time_offsets, check_sysctl, check_net_devices,
                           check_paths, check_devices, check_propagation, check_seccomp, check_intel_rdt,
                           check_memory_policy, check_personality, check_resources})
    TRY(check(config));
  return {};
}

}  // namespace proa::oci
