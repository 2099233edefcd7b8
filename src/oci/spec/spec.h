// The OCI runtime-spec 1.3 configuration (config.json) as plain structs, Linux part whole.
// Absent is distinct from zero only where the specification gives them different meanings
// (std::optional). Field names and nesting follow the specification.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernel/cgroup/resources.h"
#include "kernel/resctrl.h"
#include "kernel/seccomp.h"

namespace proa::oci {

using StringMap = std::map<std::string, std::string, std::less<>>;

struct IdMapping {
  uint32_t container_id = 0, host_id = 0, size = 0;
};

struct ConsoleSize {
  uint16_t height = 0, width = 0;
};

struct User {
  uint32_t uid = 0, gid = 0;
  std::optional<uint32_t> umask;
  std::vector<uint32_t> additional_gids;
};

// Capability sets as bit masks, bit n = capability n of linux/capability.h.
struct Capabilities {
  uint64_t bounding = 0, effective = 0, inheritable = 0, permitted = 0, ambient = 0;
  std::vector<std::string> unknown;  // names without a number
};

struct Rlimit {
  int resource = 0;  // RLIMIT_*
  uint64_t soft = 0, hard = 0;
};

struct Scheduler {
  uint32_t policy = 0;  // SCHED_*
  int32_t nice = 0, priority = 0;
  uint64_t flags = 0;  // SCHED_FLAG_*
  uint64_t runtime = 0, deadline = 0, period = 0;
};

struct IoPriority {
  int io_class = 0;  // IOPRIO_CLASS_*
  int priority = 0;
};

struct CpuAffinity {
  std::string initial, final;  // cpuset lists, e.g. "0-3,7"
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  User user;
  std::vector<std::string> args, env;
  std::string cwd;
  std::optional<Capabilities> capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile;
  std::optional<int> oom_score_adj;
  std::optional<Scheduler> scheduler;
  std::string selinux_label;
  std::optional<IoPriority> io_priority;
  std::optional<CpuAffinity> exec_cpu_affinity;
};

struct Root {
  std::string path;
  bool readonly = false;
};

struct Mount {
  std::string destination, type, source;
  std::vector<std::string> options;
  std::vector<IdMapping> uid_mappings, gid_mappings;
};

struct Hook {
  std::string path;
  std::vector<std::string> args, env;
  std::optional<int> timeout;  // seconds
};

struct Hooks {
  std::vector<Hook> prestart, create_runtime, create_container, start_container, poststart, poststop;
};

enum class NamespaceType : uint8_t { kPid, kNetwork, kMount, kIpc, kUts, kUser, kCgroup, kTime };
inline constexpr int kNamespaceTypes = 8;

struct Namespace {
  NamespaceType type{};
  std::string path;  // empty: a new one
};

struct Device {
  std::string path;
  char type = 'c';  // c, b, p (u is read as c)
  int64_t major = 0, minor = 0;
  std::optional<uint32_t> file_mode, uid, gid;
};

using kernel::IntelRdt;
using kernel::Seccomp;
using kernel::cgroup::DeviceRule;
using kernel::cgroup::Resources;

struct MemoryPolicy {
  std::string mode;  // MPOL_*
  std::string nodes;
  std::vector<std::string> flags;  // MPOL_F_*
};

struct Personality {
  std::string domain;  // LINUX, LINUX32
  std::vector<std::string> flags;
};

struct TimeOffset {
  int64_t secs = 0;
  uint32_t nanosecs = 0;
};

struct NetDevice {
  std::string host_name, name;  // name: inside the container; equals host_name when not given
};

struct Linux {
  std::vector<IdMapping> uid_mappings, gid_mappings;
  StringMap sysctl;
  std::optional<Resources> resources;
  std::string cgroups_path;
  std::vector<Namespace> namespaces;
  std::vector<Device> devices;
  std::vector<NetDevice> net_devices;
  std::optional<Seccomp> seccomp;
  std::string rootfs_propagation;
  std::vector<std::string> masked_paths, readonly_paths;
  std::string mount_label;
  std::optional<IntelRdt> intel_rdt;
  std::optional<MemoryPolicy> memory_policy;
  std::optional<Personality> personality;
  std::map<std::string, TimeOffset, std::less<>> time_offsets;  // "monotonic", "boottime"

  // The entry for a namespace type, or nullptr when the container shares the runtime's.
  const Namespace* find(NamespaceType type) const;
};

struct Spec {
  std::string oci_version;
  std::optional<Process> process;
  std::optional<Root> root;
  std::string hostname, domainname;
  std::vector<Mount> mounts;
  Hooks hooks;
  StringMap annotations;
  std::optional<Linux> linux_;  // "linux"; the bare word is a predefined macro in some modes
};

// Reads config.json text. A wrong type or value is an error that names the field by its path
// ("process.rlimits[2].type: ..."). Unknown fields are ignored (specification, "Extensibility").
// The value rules that need no kernel are checked here too: validate() is part of it.
Result<Spec> parse_spec(std::string_view json);
// The same for one "process" object (exec --process) and one "resources" object (update -r).
Result<Process> parse_process(std::string_view json);
Result<Resources> parse_resources(std::string_view json);

}  // namespace proa::oci
