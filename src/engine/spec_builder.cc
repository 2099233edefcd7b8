#include "engine/spec_builder.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/data/data.h"
#include "engine/seccomp_profile.h"
#include "engine/users.h"
#include "kernel/capability.h"
#include "kernel/file.h"
#include "kernel/names.h"

namespace proa::engine {
namespace {

namespace bj = boost::json;

constexpr int64_t kShmSize = 64 << 20;
constexpr const char* kInitPath = "/sbin/docker-init";

Result<bj::object> defaults() { return TRY(json::parse(defaults_data())).as_object(); }

bj::array strings(const Strings& list) {
  bj::array out;
  for (const std::string& text : list) out.emplace_back(text);
  return out;
}

bool set_in(const Strings& env, std::string_view name) {
  return std::ranges::any_of(env, [&](const std::string& e) { return e.starts_with(cat(name, "=")); });
}

// What the container has anyway, then what it was given; of one name the last counts.
Strings environment(const Container& c, const std::string& home) {
  Strings out;
  const Strings& given = c.resolved.env;
  if (!set_in(given, "PATH")) out.push_back("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  if (!set_in(given, "HOSTNAME") && !c.config.hostname.empty()) out.push_back("HOSTNAME=" + c.config.hostname);
  if (c.config.tty && !set_in(given, "TERM")) out.push_back("TERM=xterm");
  for (const std::string& entry : given)
    if (entry.find('=') != std::string::npos) out.push_back(entry);
  if (!set_in(given, "HOME")) out.push_back("HOME=" + home);
  return out;
}

// --- process

Result<bj::array> rlimits(const ContainerConfig& config) {
  bj::array out;
  for (const UlimitConfig& limit : config.ulimits) {
    std::string name = "RLIMIT_" + limit.name;
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const auto number = kernel::number_of(kernel::rlimit_names(), name);
    if (!number) return fail("--ulimit ", limit.name, ": no such limit");
    rlimit host{};
    ::getrlimit(static_cast<__rlimit_resource>(*number), &host);
    uint64_t soft = static_cast<uint64_t>(limit.soft), hard = static_cast<uint64_t>(limit.hard);
    // A host that may not raise its own limits gives what it has.
    if (hard > host.rlim_max && (kernel::bounding_capabilities() >> 24 & 1) == 0) {
      log::warning("--ulimit ", limit.name, ": this host allows no more than ", host.rlim_max);
      hard = host.rlim_max;
      soft = std::min(soft, hard);
    }
    out.push_back({{"type", name}, {"soft", soft}, {"hard", hard}});
  }
  return out;
}

// "key=value", "key:value" or "key" of --security-opt.
std::pair<std::string, std::string> option_parts(const std::string& option) {
  const size_t at = option.find_first_of("=:");
  if (at == std::string::npos) return {option, ""};
  return {option.substr(0, at), option.substr(at + 1)};
}

struct Security {
  bool no_new_privileges = false;
  bool masks = true;
  std::string seccomp;  // "unconfined", a profile's text; empty: the default
  std::string apparmor;
  bj::object selinux;
  std::string label;
};

Result<Security> security(const ContainerConfig& config) {
  Security out;
  if (config.privileged) out.masks = false, out.seccomp = "unconfined";
  for (const std::string& option : config.security_opt) {
    const auto [key, value] = option_parts(option);
    if (key == "no-new-privileges") {
      out.no_new_privileges = value.empty() || value == "true";
    } else if (key == "seccomp") {
      if (value == "unconfined" || value == "builtin")
        out.seccomp = value == "builtin" ? "" : value;
      else
        out.seccomp = TRY_CTX(kernel::read_file(value.c_str()), "--security-opt seccomp");
    } else if (key == "apparmor") {
      if (value != "unconfined") out.apparmor = value;
    } else if (key == "label") {
      if (value != "disable" && !value.starts_with("disable")) out.label = value;
    } else if (key == "systempaths" && value == "unconfined") {
      out.masks = false;
    } else if (key != "writable-cgroups" && key != "unmask" && key != "mask") {
      return fail("--security-opt ", option, ": expected no-new-privileges, seccomp, apparmor, label or systempaths");
    }
  }
  return out;
}

// A profile in Docker's form has conditions; one in OCI's form is taken as it is.
Result<bj::value> seccomp(const std::string& profile, uint64_t capabilities) {
  if (profile.empty()) return json::parse(TRY(default_seccomp(capabilities)));
  bj::value document = TRY_CTX(json::parse(profile), "seccomp profile");
  bj::object* object = document.if_object();
  if (object == nullptr) return fail("seccomp profile: not an object");
  if (object->if_contains("archMap") != nullptr) object->erase("archMap");
  const auto met = [&](const bj::value& rule, const char* key, bool otherwise) {
    const auto* conditions = rule.is_object() ? rule.get_object().if_contains(key) : nullptr;
    const auto* object_of = conditions != nullptr ? conditions->if_object() : nullptr;
    if (object_of == nullptr || object_of->empty()) return otherwise;
    if (const auto* caps = object_of->if_contains("caps"); caps != nullptr && caps->is_array())
      for (const bj::value& cap : caps->get_array()) {
        const auto number =
            cap.is_string() ? kernel::capability_number(std::string_view(cap.get_string())) : std::nullopt;
        const bool have = number && (capabilities >> *number & 1) != 0;
        if (otherwise && !have) return false;  // includes: every one
        if (!otherwise && have) return true;   // excludes: any one
      }
    if (const auto* arches = object_of->if_contains("arches"); arches != nullptr && arches->is_array()) {
      bool here = false;
      for (const bj::value& arch : arches->get_array())
        here |= arch.is_string() && (arch.get_string() == "amd64" || arch.get_string() == "x86_64");
      return here;
    }
    return otherwise;
  };
  if (auto* calls = object->if_contains("syscalls"); calls != nullptr && calls->is_array()) {
    bj::array kept;
    for (bj::value& rule : calls->get_array()) {
      if (!met(rule, "includes", true) || met(rule, "excludes", false)) continue;
      if (auto* fields = rule.if_object())
        fields->erase("includes"), fields->erase("excludes"), fields->erase("comment");
      kept.push_back(rule);
    }
    *calls = std::move(kept);
  }
  return document;
}

Result<bj::object> process(const SpecInput& in, uint64_t capabilities, const Security& secure) {
  const Container& c = in.container;
  const ResolvedUser user = TRY(resolve_user(in.root, c.resolved.user, c.config.group_add));
  bj::object out;
  if (c.config.tty) out["terminal"] = true;
  bj::array groups;
  for (const uint32_t gid : user.groups) groups.push_back(gid);
  out["user"] = {{"uid", user.uid}, {"gid", user.gid}, {"additionalGids", std::move(groups)}};
  Strings args = c.resolved.args;
  if (c.config.init) args.insert(args.begin(), {kInitPath, "--"});
  out["args"] = strings(args);
  out["env"] = strings(environment(c, user.home));
  out["cwd"] = c.resolved.working_dir.empty() ? "/" : c.resolved.working_dir;
  const bj::array names = strings(kernel::capability_names_of(capabilities));
  out["capabilities"] = {{"bounding", names}, {"effective", names}, {"permitted", names}};
  if (bj::array limits = TRY(rlimits(c.config)); !limits.empty()) out["rlimits"] = std::move(limits);
  if (secure.no_new_privileges) out["noNewPrivileges"] = true;
  if (!secure.apparmor.empty()) out["apparmorProfile"] = secure.apparmor;
  if (!secure.label.empty()) out["selinuxLabel"] = secure.label;
  if (c.config.oom_score_adj) out["oomScoreAdj"] = *c.config.oom_score_adj;
  return out;
}

// --- mounts

Strings mount_options(const MountConfig& mount) {
  if (mount.type == "tmpfs") {
    Strings out;
    for (const std::string_view option : split(mount.options, ',')) out.emplace_back(option);
    const auto has = [&](std::string_view name) { return std::ranges::find(out, name) != out.end(); };
    for (const auto& [name, opposite] :
         {std::pair<std::string, std::string>("noexec", "exec"), {"nosuid", "suid"}, {"nodev", "dev"}})
      if (!has(opposite) && !has(name)) out.push_back(name);
    if (mount.read_only) out.push_back("ro");
    return out;
  }
  Strings out = {mount.non_recursive ? "bind" : "rbind",
                 mount.propagation.empty() ? std::string("rprivate") : mount.propagation};
  if (mount.read_only) out.push_back("ro");
  return out;
}

size_t depth(const bj::value& mount) {
  const auto& destination = mount.at("destination").as_string();
  return static_cast<size_t>(std::ranges::count(destination, '/')) + (destination == "/" ? 0 : 1);
}

bj::object bind_file(const std::string& source, const char* destination, bool read_only = false) {
  bj::array options = {"rbind", "rprivate"};
  if (read_only) options.emplace_back("ro");
  return {{"destination", destination}, {"type", "bind"}, {"source", source}, {"options", std::move(options)}};
}

void take_out(bj::array& options, std::string_view word) {
  bj::array kept;
  for (const bj::value& option : options)
    if (option.as_string() != word) kept.push_back(option);
  options = std::move(kept);
}

Result<bj::array> mounts(const SpecInput& in, bj::array standard) {
  const Container& c = in.container;
  bj::array out = std::move(standard);
  if (c.config.privileged)
    for (bj::value& mount : out)
      if (mount.at("destination").as_string().starts_with("/sys"))
        take_out(mount.as_object()["options"].as_array(), "ro");
  if (in.ipc.host) {
    out.push_back(bind_file("/dev/shm", "/dev/shm"));
    out.push_back(bind_file("/dev/mqueue", "/dev/mqueue"));
  } else if (in.ipc.join_pid != 0) {
    out.push_back(bind_file(in.shared_memory, "/dev/shm"));
  } else {
    const int64_t size = c.config.shm_size != 0 ? c.config.shm_size : kShmSize;
    out.push_back({{"destination", "/dev/shm"},
                   {"type", "tmpfs"},
                   {"source", "shm"},
                   {"options", {"nosuid", "noexec", "nodev", "mode=1777", cat("size=", size)}}});
  }
  if (!in.folder.empty())
    for (const char* name : {"hosts", "hostname", "resolv.conf"})
      out.push_back(bind_file(cat(in.folder, "/", name), cat("/etc/", name).c_str(), false));
  if (c.config.init) out.push_back(bind_file(in.init, kInitPath, true));
  if (!c.config.shared.empty()) out.push_back(bind_file(in.init, "/pause", true));
  for (size_t i = 0; i < c.resolved.mounts.size(); ++i) {
    const MountConfig& mount = c.resolved.mounts[i];
    out.push_back({{"destination", mount.target},
                   {"type", mount.type == "tmpfs" ? "tmpfs" : "bind"},
                   {"source", mount.type == "tmpfs" ? std::string("tmpfs") : in.mount_sources.at(i)},
                   {"options", strings(mount_options(mount))}});
  }
  // The user's mount takes the place of ours.
  std::vector<std::pair<size_t, size_t>> order;  // depth, place
  for (size_t i = 0; i < out.size(); ++i) {
    const bool hidden = std::any_of(out.begin() + static_cast<long>(i) + 1, out.end(), [&](const bj::value& later) {
      return later.at("destination") == out[i].at("destination");
    });
    if (!hidden) order.emplace_back(depth(out[i]), i);
  }
  std::ranges::sort(order);
  bj::array sorted;
  for (const auto& [deep, place] : order) sorted.push_back(std::move(out[place]));
  return sorted;
}

// --- devices

struct DeviceLists {
  bj::array devices, rules;
};

Result<> add_device(const std::string& host, const std::string& inside, const std::string& access, DeviceLists& to) {
  struct stat info{};
  if (::stat(host.c_str(), &info) != 0)
    return fail("error gathering device information while adding custom device \"", host,
                "\": ", errno == ENOENT ? "no such file or directory" : errno_text(errno));
  if (S_ISDIR(info.st_mode)) {
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator(host, code)) {
      const auto type = entry.symlink_status(code).type();
      if (type == std::filesystem::file_type::character || type == std::filesystem::file_type::block ||
          type == std::filesystem::file_type::directory)
        TRY(add_device(entry.path(), inside + "/" + entry.path().filename().string(), access, to));
    }
    return {};
  }
  if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) return fail("--device ", host, ": not a device node");
  const char* type = S_ISCHR(info.st_mode) ? "c" : "b";
  const int64_t major_number = ::major(info.st_rdev), minor_number = ::minor(info.st_rdev);
  to.devices.push_back({{"path", inside},
                        {"type", type},
                        {"major", major_number},
                        {"minor", minor_number},
                        {"fileMode", info.st_mode & 07777},
                        {"uid", info.st_uid},
                        {"gid", info.st_gid}});
  to.rules.push_back(
      {{"allow", true}, {"type", type}, {"major", major_number}, {"minor", minor_number}, {"access", access}});
  return {};
}

// Every device of the host but the terminals and what the container has of its own.
void add_host_devices(const std::string& folder, DeviceLists& to) {
  std::error_code code;
  for (const auto& entry : std::filesystem::directory_iterator(folder, code)) {
    const std::string path = entry.path();
    const std::string name = entry.path().filename();
    const auto type = entry.symlink_status(code).type();
    if (type == std::filesystem::file_type::directory) {
      if (name != "pts" && name != "shm" && name != "fd" && name != "mqueue" && name != ".lxc" && name != ".udev")
        add_host_devices(path, to);
    } else if (type == std::filesystem::file_type::character || type == std::filesystem::file_type::block) {
      static constexpr std::string_view kOwn[] = {"console", "null",    "zero", "full",
                                                  "random",  "urandom", "tty",  "ptmx"};
      if (std::ranges::find(kOwn, name) == std::end(kOwn)) (void)add_device(path, path, "rwm", to);
    }
  }
}

// "c 189:* rwm"
Result<bj::object> cgroup_rule(const std::string& text) {
  const auto words = split(text, ' ');
  if (words.size() != 3 || words[0].size() != 1)
    return fail("--device-cgroup-rule ", text, ": expected TYPE MAJOR:MINOR ACCESS");
  bj::object out = {{"allow", true}, {"type", words[0]}, {"access", words[2]}};
  std::string_view rest = words[1];
  for (const auto& [name, word] : {std::pair("major", cut(rest, ':')), std::pair("minor", rest)}) {
    if (word == "*") continue;
    const auto number = parse_number<int64_t>(word);
    if (!number) return fail("--device-cgroup-rule ", text, ": '", word, "' is not a number");
    out[name] = *number;
  }
  return out;
}

Result<DeviceLists> devices(const ContainerConfig& config, bj::array rules) {
  DeviceLists out{.devices = {}, .rules = std::move(rules)};
  for (const DeviceConfig& device : config.devices)
    TRY(add_device(device.host, device.container, device.permissions, out));
  if (config.privileged) {
    add_host_devices("/dev", out);
    out.rules = {bj::object{{"allow", true}, {"access", "rwm"}}};
  }
  for (const std::string& rule : config.device_cgroup_rules) out.rules.emplace_back(TRY(cgroup_rule(rule)));
  return out;
}

// --- resources

Result<bj::array> rates(const std::vector<DeviceRate>& list, const char* flag, const char* field) {
  bj::array out;
  for (const DeviceRate& rate : list) {
    struct stat info{};
    if (::stat(rate.path.c_str(), &info) != 0 || !S_ISBLK(info.st_mode))
      return fail(flag, " ", rate.path, ": not a block device");
    out.push_back({{"major", ::major(info.st_rdev)}, {"minor", ::minor(info.st_rdev)}, {field, rate.rate}});
  }
  return out;
}

Result<bj::object> resources(const ContainerConfig& config) {
  const ResourceConfig& r = config.resources;
  bj::object out, cpu, memory, block_io;
  if (r.nano_cpus > 0) cpu["period"] = 100000, cpu["quota"] = r.nano_cpus / 10000;
  if (r.cpu_period > 0) cpu["period"] = r.cpu_period;
  if (r.cpu_quota != 0) cpu["quota"] = r.cpu_quota;
  if (r.cpu_shares > 0) cpu["shares"] = r.cpu_shares;
  if (r.cpu_rt_period > 0) cpu["realtimePeriod"] = r.cpu_rt_period;
  if (r.cpu_rt_runtime > 0) cpu["realtimeRuntime"] = r.cpu_rt_runtime;
  if (!r.cpuset_cpus.empty()) cpu["cpus"] = r.cpuset_cpus;
  if (!r.cpuset_mems.empty()) cpu["mems"] = r.cpuset_mems;
  if (r.memory > 0) {
    memory["limit"] = r.memory;
    memory["swap"] = r.memory_swap != 0 ? r.memory_swap : 2 * r.memory;  // as much swap again
  } else if (r.memory_swap > 0) {
    return fail("You should always set the Memory limit when using Memoryswap limit");
  }
  if (r.memory > 0 && r.memory_swap > 0 && r.memory_swap < r.memory)
    return fail("Minimum memoryswap limit should be larger than memory limit");
  if (r.memory_reservation > 0) memory["reservation"] = r.memory_reservation;
  if (r.memory_swappiness && *r.memory_swappiness >= 0) memory["swappiness"] = *r.memory_swappiness;
  if (r.oom_kill_disable) memory["disableOOMKiller"] = true;
  if (r.blkio_weight > 0) block_io["weight"] = r.blkio_weight;
  if (auto list = TRY(rates(r.blkio_weight_device, "--blkio-weight-device", "weight")); !list.empty())
    block_io["weightDevice"] = std::move(list);
  for (const auto& [list, flag, name] :
       {std::tuple(&r.device_read_bps, "--device-read-bps", "throttleReadBpsDevice"),
        std::tuple(&r.device_write_bps, "--device-write-bps", "throttleWriteBpsDevice"),
        std::tuple(&r.device_read_iops, "--device-read-iops", "throttleReadIOPSDevice"),
        std::tuple(&r.device_write_iops, "--device-write-iops", "throttleWriteIOPSDevice")})
    if (auto values = TRY(rates(*list, flag, "rate")); !values.empty()) block_io[name] = std::move(values);
  if (!cpu.empty()) out["cpu"] = std::move(cpu);
  if (!memory.empty()) out["memory"] = std::move(memory);
  if (!block_io.empty()) out["blockIO"] = std::move(block_io);
  if (r.pids_limit != 0) out["pids"] = {{"limit", r.pids_limit}};
  return out;
}

// --- linux

void add_namespace(const char* type, const char* file, const NamespaceChoice& choice, bj::array& to) {
  if (choice.host) return;
  bj::object entry = {{"type", type}};
  if (choice.join_pid != 0) entry["path"] = cat("/proc/", choice.join_pid, "/ns/", file);
  to.emplace_back(std::move(entry));
}

Result<bj::object> linux_part(const SpecInput& in, bj::object& standard, const Security& secure,
                              uint64_t capabilities) {
  const ContainerConfig& config = in.container.config;
  bj::object out;
  DeviceLists lists = TRY(devices(config, std::move(standard["devices"].as_array())));
  bj::object limits = TRY(resources(config));
  limits["devices"] = std::move(lists.rules);
  out["resources"] = std::move(limits);
  if (!lists.devices.empty()) out["devices"] = std::move(lists.devices);
  out["cgroupsPath"] = cat(config.cgroup_parent.empty() ? "/proa" : config.cgroup_parent, "/", in.container.id);
  bj::array namespaces = {bj::object{{"type", "mount"}}};
  add_namespace("pid", "pid", in.pid, namespaces);
  add_namespace("network", "net", in.network, namespaces);
  add_namespace("ipc", "ipc", in.ipc, namespaces);
  add_namespace("uts", "uts", in.uts, namespaces);
  add_namespace("cgroup", "cgroup", in.cgroup, namespaces);
  out["namespaces"] = std::move(namespaces);
  bj::object sysctl;
  if (!in.network.host && in.network.join_pid == 0) {
    sysctl["net.ipv4.ip_unprivileged_port_start"] = "0";
    sysctl["net.ipv4.ping_group_range"] = "0 2147483647";
  }
  for (const auto& [name, value] : config.sysctls) sysctl[name] = value;
  if (!sysctl.empty()) out["sysctl"] = std::move(sysctl);
  if (secure.masks) {
    out["maskedPaths"] = std::move(standard["maskedPaths"]);
    out["readonlyPaths"] = std::move(standard["readonlyPaths"]);
  }
  if (secure.seccomp != "unconfined") out["seccomp"] = TRY(seccomp(secure.seccomp, capabilities));
  // Mounts of the host that are to go in later must be able to.
  const bool slave = std::ranges::any_of(in.container.resolved.mounts, [](const MountConfig& m) {
    return m.propagation == "rslave" || m.propagation == "slave";
  });
  const bool shared = std::ranges::any_of(in.container.resolved.mounts, [](const MountConfig& m) {
    return m.propagation == "rshared" || m.propagation == "shared";
  });
  if (shared)
    out["rootfsPropagation"] = "shared";
  else if (slave)
    out["rootfsPropagation"] = "slave";
  return out;
}

}  // namespace

Result<uint64_t> capabilities_of(const ContainerConfig& config) {
  const uint64_t possible = kernel::bounding_capabilities() & kernel::all_capabilities();
  if (config.privileged) return possible;
  const auto one = [](const std::string& name) -> Result<uint64_t> {
    if (name == "ALL" || name == "all" || name == "CAP_ALL") return kernel::all_capabilities();
    const auto number = kernel::capability_number(name);
    if (!number) return fail("invalid CapAdd/CapDrop: unknown capability: \"", name, "\"");
    return uint64_t{1} << *number;
  };
  const bj::object standard = TRY(defaults());
  uint64_t mask = 0, added = 0, dropped = 0;
  for (const bj::value& name : standard.at("capabilities").as_array())
    mask |= TRY(one(std::string(std::string_view(name.as_string()))));
  for (const std::string& name : config.cap_add) added |= TRY(one(name));
  for (const std::string& name : config.cap_drop) dropped |= TRY(one(name));
  // What is named alone counts more than ALL.
  const bool drop_all = dropped == kernel::all_capabilities();
  mask = drop_all ? added : (mask | added) & ~dropped;
  if (drop_all && added == kernel::all_capabilities()) mask = added;
  return mask & possible;
}

Result<std::string> build_resources(const ContainerConfig& config) {
  return json::to_line(bj::value(TRY(resources(config))));
}

Result<std::string> build_spec(const SpecInput& in) {
  const ContainerConfig& config = in.container.config;
  bj::object standard = TRY(defaults());
  const uint64_t capabilities = TRY(capabilities_of(config));
  const Security secure = TRY(security(config));
  bj::object spec;
  spec["ociVersion"] = "1.2.0";
  spec["process"] = TRY(process(in, capabilities, secure));
  spec["root"] = bj::object{{"path", in.root_path}, {"readonly", config.read_only}};
  if (!in.uts.host && in.uts.join_pid == 0) {
    spec["hostname"] = config.hostname;
    if (!config.domainname.empty()) spec["domainname"] = config.domainname;
  }
  spec["mounts"] = TRY(mounts(in, std::move(standard["mounts"].as_array())));
  if (!config.annotations.empty()) {
    bj::object annotations;
    for (const auto& [name, value] : config.annotations) annotations[name] = value;
    spec["annotations"] = std::move(annotations);
  }
  spec["linux"] = TRY(linux_part(in, standard, secure, capabilities));
  return json::to_line(spec);
}

}  // namespace proa::engine
