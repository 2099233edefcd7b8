#include "cli/container_flags.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/text.h"
#include "base/values.h"
#include "cli/foreign_flags.h"
#include "fabric/address.h"
#include "fabric/device.h"
#include "kernel/file.h"
#include "logs/options.h"

namespace proa::cli {
namespace {

using engine::ContainerConfig;
using engine::MountConfig;
using engine::PortConfig;
using engine::StringMap;

Result<std::string> absolute_path(const std::string& path) {
  if (path.starts_with('/')) return path;
  char* here = ::get_current_dir_name();
  if (here == nullptr) return fail_errno(errno, "the current folder");
  std::string out = clean_path(cat(here, "/", path));
  std::free(here);
  return out;
}

// NAME=VALUE; a name alone has no value.
void add_pair(const std::string& text, StringMap& to) {
  const size_t at = text.find('=');
  to[text.substr(0, at)] = at == std::string::npos ? "" : text.substr(at + 1);
}

Result<StringMap> pairs(const Invocation& in, std::string_view flag) {
  StringMap out;
  for (const std::string& text : in.texts(flag)) {
    if (text.empty() || text.front() == '=') return fail("--", flag, " '", text, "': expected NAME=VALUE");
    add_pair(text, out);
  }
  return out;
}

std::vector<std::string> both(const Invocation& in, std::string_view flag, std::string_view other) {
  std::vector<std::string> out = in.texts(flag);
  for (std::string& text : in.texts(other)) out.push_back(std::move(text));
  return out;
}

// A line each; # begins a comment.
Result<std::vector<std::string>> file_lines(const std::string& path, const char* flag) {
  const std::string text = TRY_CTX(kernel::read_file(path.c_str()), "--", flag);
  std::vector<std::string> out;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = cut(rest, '\n');
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && line.front() != '#') out.emplace_back(line);
  }
  return out;
}

// The caller's value for a name alone, and nothing when it has none.
void add_env(const std::string& entry, std::vector<std::string>& to) {
  const char* value = entry.find('=') == std::string::npos ? std::getenv(entry.c_str()) : nullptr;
  to.push_back(value != nullptr ? cat(entry, "=", value) : entry);
}

int64_t nanoseconds(const Invocation& in, std::string_view flag) {
  const auto seconds = in.seconds(flag);
  return seconds ? std::llround(*seconds * 1e9) : 0;
}

Result<engine::UlimitConfig> parse_ulimit(const std::string& text) {
  std::string_view rest = text;
  const std::string name(cut(rest, '='));
  const std::string_view soft_text = cut(rest, ':');
  const auto soft = parse_number<int64_t>(soft_text);
  const auto hard = rest.empty() ? soft : parse_number<int64_t>(rest);
  if (name.empty() || !soft || !hard) return fail("--ulimit ", text, ": expected NAME=SOFT[:HARD]");
  if (*hard != -1 && (*soft > *hard || *soft == -1))
    return fail("invalid ulimit argument: --ulimit ", text, ": soft limit must be less than or equal to hard limit");
  return engine::UlimitConfig{name, *soft, *hard};
}

Result<engine::DeviceConfig> parse_device(const std::string& text) {
  std::string_view rest = text;
  engine::DeviceConfig out;
  out.host = cut(rest, ':');
  const std::string second(cut(rest, ':'));
  const auto is_mode = [](std::string_view mode) {
    return !mode.empty() && mode.find_first_not_of("rwm") == std::string_view::npos;
  };
  out.container = second.starts_with('/') ? second : out.host;
  const std::string mode = !second.empty() && !second.starts_with('/') ? second : std::string(rest);
  if (!mode.empty()) {
    if (!is_mode(mode)) return fail("--device ", text, ": bad mode: ", mode);
    out.permissions = mode;
  }
  return out;
}

Result<std::vector<engine::DeviceRate>> device_rates(const Invocation& in, std::string_view flag) {
  std::vector<engine::DeviceRate> out;
  for (const std::string& text : in.texts(flag)) {
    const size_t at = text.rfind(':');
    if (at == std::string::npos || !text.starts_with('/'))
      return fail("--", flag, " ", text, ": expected DEVICE:VALUE");
    const int64_t rate = TRY_CTX(parse_bytes(text.substr(at + 1)), "--", flag);
    if (rate < 0) return fail("--", flag, " ", text, ": must not be negative");
    out.push_back({text.substr(0, at), static_cast<uint64_t>(rate)});
  }
  return out;
}

Result<engine::HealthConfig> health(const Invocation& in) {
  engine::HealthConfig out;
  const bool any = in.is_set("health-cmd") || in.is_set("health-interval") || in.is_set("health-retries") ||
                   in.is_set("health-timeout") || in.is_set("health-start-period") ||
                   in.is_set("health-start-interval");
  if (in.on("no-healthcheck")) {
    if (any) return fail("--no-healthcheck conflicts with --health-* options");
    out.test = {"NONE"};
    return out;
  }
  if (const std::string line = in.text("health-cmd"); !line.empty()) out.test = {"CMD-SHELL", line};
  out.interval = nanoseconds(in, "health-interval");
  out.timeout = nanoseconds(in, "health-timeout");
  out.start_period = nanoseconds(in, "health-start-period");
  out.start_interval = nanoseconds(in, "health-start-interval");
  out.retries = static_cast<int64_t>(in.whole("health-retries").value_or(0));
  for (const int64_t time : {out.interval, out.timeout, out.start_period, out.start_interval})
    if (time < 0 || (time > 0 && time < 1000000))
      return fail(
          "--health-interval, --health-timeout, --health-start-period and --health-start-interval: not less than 1ms");
  return out;
}

Result<engine::ResourceConfig> resources(const Invocation& in) {
  engine::ResourceConfig r;
  if (const std::string cpus = in.text("cpus"); !cpus.empty()) r.nano_cpus = TRY(parse_nano_cpus(cpus));
  r.cpu_shares = in.integer("cpu-shares").value_or(0);
  r.cpu_quota = in.integer("cpu-quota").value_or(0);
  r.cpu_period = in.integer("cpu-period").value_or(0);
  r.cpu_rt_period = in.integer("cpu-rt-period").value_or(0);
  r.cpu_rt_runtime = in.integer("cpu-rt-runtime").value_or(0);
  if (r.nano_cpus != 0 && (r.cpu_quota != 0 || r.cpu_period != 0))
    return fail("Conflicting options: Nano CPUs and CPU Period or Quota cannot both be set.");
  const auto online = ::sysconf(_SC_NPROCESSORS_ONLN);
  if (r.nano_cpus > online * 1'000'000'000)
    return fail("range of CPUs is from 0.01 to ", online, ".00, as there are only ", online, " CPUs available");
  r.cpuset_cpus = in.text("cpuset-cpus");
  for (const auto& [flag, list] :
       {std::pair("cpuset-cpus", in.text("cpuset-cpus")), {"cpuset-mems", in.text("cpuset-mems")}})
    if (list.find_first_not_of("0123456789,-") != std::string::npos)
      return fail("--", flag, ": Invalid value ", list).hint("a list such as 0-3,7");
  r.cpuset_mems = in.text("cpuset-mems");
  r.memory = in.bytes("memory").value_or(0);
  r.memory_swap = in.bytes("memory-swap").value_or(0);
  r.memory_reservation = in.bytes("memory-reservation").value_or(0);
  if (const auto percent = in.integer("memory-swappiness"); percent && *percent != -1) {
    if (*percent < 0 || *percent > 100)
      return fail("invalid value: ", *percent, ", valid memory swappiness range is 0-100");
    r.memory_swappiness = percent;
  }
  r.oom_kill_disable = in.on("oom-kill-disable");
  r.pids_limit = in.integer("pids-limit").value_or(0);
  r.blkio_weight = static_cast<int64_t>(in.whole("blkio-weight").value_or(0));
  if (r.blkio_weight != 0 && (r.blkio_weight < 10 || r.blkio_weight > 1000))
    return fail("Range of blkio weight is from 10 to 1000");
  r.blkio_weight_device = TRY(device_rates(in, "blkio-weight-device"));
  r.device_read_bps = TRY(device_rates(in, "device-read-bps"));
  r.device_write_bps = TRY(device_rates(in, "device-write-bps"));
  r.device_read_iops = TRY(device_rates(in, "device-read-iops"));
  r.device_write_iops = TRY(device_rates(in, "device-write-iops"));
  return r;
}

// 80, 80/udp, 3000-3005/tcp
Result<> expose(const std::string& text, std::vector<std::string>& to) {
  std::string_view protocol = text;
  std::string_view last = cut(protocol, '/');
  if (protocol.empty()) protocol = "tcp";
  const auto first = parse_number<uint16_t>(cut(last, '-'));
  const auto end = last.empty() ? first : parse_number<uint16_t>(last);
  if (!first || !end || *first == 0 || *end < *first || (protocol != "tcp" && protocol != "udp" && protocol != "sctp"))
    return fail("invalid range format for --expose: ", text).hint("PORT, PORT/udp or PORT-PORT");
  for (int port = *first; port <= *end; ++port) to.push_back(cat(port, "/", protocol));
  return {};
}

Result<> check_addresses(const ContainerConfig& config) {
  for (const std::string& server : config.dns)
    if (!fabric::Ip::parse(server)) return fail("--dns: IP address is not correctly formatted: ", server);
  for (const std::string& host : config.extra_hosts) {
    const size_t at = host.find_first_of(":=");
    if (at == std::string::npos || at == 0) return fail("bad format for add-host: \"", host, "\"").hint("HOST:IP");
    std::string ip = host.substr(at + 1);
    if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
    if (ip != "host-gateway" && !fabric::Ip::parse(ip)) return fail("invalid IP address in add-host: \"", ip, "\"");
  }
  const std::string& name = config.hostname;
  if (name.size() > 64 || name.find_first_of(" \t\n/") != std::string::npos)
    return fail("invalid hostname format: ", name).hint("at most 64 letters, digits, '-' and '.'");
  for (const std::string* mac : {&config.mac_address})
    if (!mac->empty() && !fabric::parse_mac(*mac)) return fail(*mac, " is not a valid mac address");
  for (const engine::NetworkConfig& network : config.networks) {
    if (!network.mac.empty() && !fabric::parse_mac(network.mac))
      return fail(network.mac, " is not a valid mac address");
    for (const std::string* ip : {&network.ip, &network.ip6})
      if (!ip->empty() && !fabric::Ip::parse(*ip)) return fail("invalid IP address: ", *ip);
    for (const std::string& text : network.link_local)
      if (const auto ip = fabric::Ip::parse(text); !ip || !fabric::is_link_local(*ip))
        return fail("invalid link local IP address: ", text).hint("169.254.x.x or fe80::x");
  }
  return {};
}

Result<> networks(const Invocation& in, ContainerConfig& to) {
  const std::vector<std::string> names = both(in, "network", "net");
  const std::vector<std::string> aliases = both(in, "network-alias", "net-alias");
  to.mac_address = in.text("mac-address");
  for (const std::string& given : names) {
    engine::NetworkConfig network;
    if (given.find('=') != std::string::npos) {
      // name=NET,alias=A,ip=...
      for (const std::string_view part : split(given, ',')) {
        std::string_view value = part;
        const std::string_view key = cut(value, '=');
        if (key == "name")
          network.name = value;
        else if (key == "alias")
          network.aliases.emplace_back(value);
        else if (key == "ip")
          network.ip = value;
        else if (key == "ip6")
          network.ip6 = value;
        else if (key == "mac-address")
          network.mac = value;
        else if (key == "gw-priority") {
          const auto priority = parse_number<int>(value);
          if (!priority) return fail("--network ", given, ": gw-priority '", value, "' is not a number");
          network.gateway_priority = *priority;
        } else if (key == "link-local-ip") {
          network.link_local.emplace_back(value);
        } else if (key == "driver-opt") {
          TRY_CTX(add_driver_option(std::string(value), network), "--network ", given);
        } else {
          return fail("--network ", given, ": invalid field key ", key)
              .hint("name, alias, driver-opt, gw-priority, ip, ip6, link-local-ip or mac-address");
        }
      }
    } else {
      network.name = given;
    }
    if (network.name == "default") network.name = "bridge";
    to.networks.push_back(std::move(network));
  }
  const std::vector<std::string> link_local = in.texts("link-local-ip");
  if (to.networks.empty() && (!aliases.empty() || !link_local.empty() || in.is_set("ip") || in.is_set("ip6")))
    to.networks.push_back({.name = "bridge"});
  if (!to.networks.empty()) {
    engine::NetworkConfig& first = to.networks.front();
    for (const std::string& alias : aliases) first.aliases.push_back(alias);
    first.link_local.insert(first.link_local.end(), link_local.begin(), link_local.end());
    if (in.is_set("ip")) first.ip = in.text("ip");
    if (in.is_set("ip6")) first.ip6 = in.text("ip6");
    to.network_mode = first.name;
    if (first.name == "none" || first.name == "host" || first.name.starts_with("container:")) {
      if (to.networks.size() > 1)
        return fail("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
      if (!first.aliases.empty() || !first.ip.empty() || !first.link_local.empty())
        return fail("network-scoped aliases and addresses are only supported for user-defined networks");
      to.networks.clear();
    }
  }
  for (const std::string& text : in.texts("publish"))
    for (PortConfig& port : TRY(parse_publish(text))) to.ports.push_back(std::move(port));
  to.publish_all = in.on("publish-all");
  for (const std::string& text : in.texts("expose")) TRY(expose(text, to.exposed_ports));
  to.dns = in.texts("dns");
  to.dns_search = in.texts("dns-search");
  to.dns_options = both(in, "dns-option", "dns-opt");
  to.extra_hosts = in.texts("add-host");
  to.links = in.texts("link");
  return {};
}

Result<> storage(const Invocation& in, ContainerConfig& to) {
  for (const std::string& text : in.texts("volume")) to.mounts.push_back(TRY(parse_volume(text)));
  for (const std::string& text : in.texts("mount")) to.mounts.push_back(TRY(parse_mount(text)));
  for (const std::string& text : in.texts("tmpfs")) {
    const size_t at = text.find(':');
    to.mounts.push_back(
        {.type = "tmpfs", .target = text.substr(0, at), .options = at == std::string::npos ? "" : text.substr(at + 1)});
  }
  to.volumes_from = in.texts("volumes-from");
  to.volume_driver = in.text("volume-driver");
  to.read_only = in.on("read-only");
  to.shm_size = in.bytes("shm-size").value_or(0);
  return {};
}

Result<> namespaces(const Invocation& in, ContainerConfig& to) {
  to.pid_mode = in.text("pid");
  to.ipc_mode = in.text("ipc");
  to.uts_mode = in.text("uts");
  for (const auto& [flag, mode] : {std::pair("pid", &to.pid_mode), std::pair("ipc", &to.ipc_mode)})
    if (!mode->empty() && *mode != "host" && *mode != "private" && *mode != "shareable" && *mode != "none" &&
        !mode->starts_with("container:"))
      return fail("--", flag, ": invalid ", flag, " mode: ", *mode);
  if (!to.uts_mode.empty() && to.uts_mode != "host") return fail("--uts: invalid UTS mode");
  return {};
}

Result<> security(const Invocation& in, ContainerConfig& to) {
  to.privileged = in.on("privileged");
  to.cap_add = in.texts("cap-add");
  to.cap_drop = in.texts("cap-drop");
  to.security_opt = in.texts("security-opt");
  for (std::string& option : to.security_opt)
    if (const size_t at = option.find_first_of("=:"); at != std::string::npos && option.substr(0, at) == "seccomp")
      if (const std::string file = option.substr(at + 1); file != "unconfined" && file != "builtin")
        option = "seccomp=" + TRY(absolute_path(file));
  to.group_add = in.texts("group-add");
  for (const std::string& text : in.texts("device")) to.devices.push_back(TRY(parse_device(text)));
  to.device_cgroup_rules = in.texts("device-cgroup-rule");
  for (const std::string& text : in.texts("ulimit")) to.ulimits.push_back(TRY(parse_ulimit(text)));
  to.sysctls = TRY(pairs(in, "sysctl"));
  TRY(namespaces(in, to));
  to.userns_mode = in.text("userns");
  to.cgroupns_mode = in.text("cgroupns");
  if (!to.userns_mode.empty() && to.userns_mode != "host" && to.userns_mode != "auto" && to.userns_mode != "remap")
    return fail("--userns: invalid USER mode: ", to.userns_mode).hint("auto, host or remap");
  if (!to.cgroupns_mode.empty() && to.cgroupns_mode != "host" && to.cgroupns_mode != "private")
    return fail("--cgroupns: invalid CGROUP mode");
  to.cgroup_parent = in.text("cgroup-parent");
  to.oom_score_adj = in.integer("oom-score-adj");
  if (to.oom_score_adj && (*to.oom_score_adj < -1000 || *to.oom_score_adj > 1000))
    return fail("Invalid value ", *to.oom_score_adj, ", range for oom score adj is [-1000, 1000]");
  return {};
}

}  // namespace

Result<> add_driver_option(const std::string& text, engine::NetworkConfig& to) {
  const size_t at = text.find('=');
  if (at == 0 || at == std::string::npos) return fail("driver-opt: \"", text, "\" is not NAME=VALUE");
  to.driver_options[text.substr(0, at)] = text.substr(at + 1);
  return {};
}

Result<engine::RestartPolicy> parse_restart(const std::string& text) {
  std::string_view rest = text;
  engine::RestartPolicy out;
  out.name = cut(rest, ':');
  if (out.name.empty()) out.name = "no";
  if (out.name != "no" && out.name != "always" && out.name != "unless-stopped" && out.name != "on-failure")
    return fail("invalid restart policy: unknown policy '", out.name,
                "'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'");
  if (rest.empty()) return out;
  const auto count = parse_number<int64_t>(rest);
  if (!count || *count < 0) return fail("invalid restart policy format: maximum retry count must be an integer");
  if (out.name != "on-failure")
    return fail("invalid restart policy: maximum retry count can only be used with 'on-failure'");
  out.max_retries = *count;
  return out;
}

Result<int64_t> parse_nano_cpus(const std::string& text) {
  double number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc() || end != text.data() + text.size() || !(number >= 0) || number > 1e6)
    return fail("--cpus '", text, "': not a number of CPUs");
  return std::llround(number * 1e9);
}

Result<MountConfig> parse_volume(const std::string& text) {
  std::vector<std::string> parts;
  for (std::string_view rest = text; parts.size() < 2 && !rest.empty();) {
    parts.emplace_back(cut(rest, ':'));
    if (parts.size() == 2 && !rest.empty()) parts.emplace_back(rest);
  }
  if (parts.empty() || text.find("::") != std::string::npos || text.ends_with(':') || text.starts_with(':'))
    return fail("invalid spec: ", text, ": empty section between colons");
  MountConfig out;
  std::string options;
  if (parts.size() == 1) {
    out.target = parts[0];
    out.anonymous = true;
    return out;
  }
  out.source = parts[0], out.target = parts[1];
  if (parts.size() > 2) options = parts[2];
  if (!out.target.starts_with('/'))
    return fail("invalid volume specification: '", text,
                "': invalid mount config for type \"volume\": invalid mount path: '", out.target,
                "' mount path must be absolute");
  if (out.source.starts_with('/') || out.source.starts_with('.') || out.source.starts_with('~')) {
    out.type = "bind";
    out.source = TRY(absolute_path(out.source));
    out.make_source = true;
  }
  for (const std::string_view option : split(options, ',')) {
    static constexpr std::string_view kPropagations[] = {"shared", "rshared", "slave", "rslave", "private", "rprivate"};
    if (option == "ro" || option == "readonly")
      out.read_only = true;
    else if (option == "rw" || option == "z" || option == "Z" || option == "cached" || option == "delegated" ||
             option == "consistent")
      continue;
    else if (option == "nocopy")
      out.no_copy = true;
    else if (option == "idmap")
      out.id_mapped = true;
    else if (std::ranges::find(kPropagations, option) != std::end(kPropagations))
      out.propagation = option;
    else
      return fail("invalid mode: ", option);
  }
  return out;
}

Result<MountConfig> parse_mount(const std::string& text) {
  MountConfig out;
  std::string tmpfs;
  for (const std::string_view part : split(text, ',')) {
    std::string_view value = part;
    const std::string_view key = cut(value, '=');
    const bool valued = part.find('=') != std::string_view::npos;
    const bool on = !valued || parse_bool(value).value_or(false);
    const auto bad = [&](std::string_view why) {
      return Failure(Error(cat("invalid argument \"", text, "\" for \"--mount\" flag: ", why)));
    };
    static constexpr std::string_view kSwitches[] = {"readonly", "ro", "bind-nonrecursive", "volume-nocopy"};
    if (valued && std::ranges::find(kSwitches, key) != std::end(kSwitches) && !parse_bool(value))
      return bad(cat("invalid value for '", key, "': ", value));
    if (key == "type")
      out.type = value;
    else if (key == "source" || key == "src")
      out.source = value;
    else if (key == "target" || key == "dst" || key == "destination")
      out.target = value;
    else if (key == "readonly" || key == "ro")
      out.read_only = on;
    else if (key == "bind-propagation")
      out.propagation = value;
    else if (key == "bind-nonrecursive")
      out.non_recursive = on;
    else if (key == "bind-recursive") {
      if (value != "enabled" && value != "disabled" && value != "writable" && value != "readonly")
        return bad(cat("invalid value for bind-recursive: ", value,
                       " (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"));
      out.non_recursive = value == "disabled";
      out.read_only_below = value == "readonly";
    } else if (key == "idmap")
      out.id_mapped = on;
    else if (key == "volume-subpath")
      out.subpath = value;
    else if (key == "volume-label")
      add_pair(std::string(value), out.labels);
    else if (key == "volume-nocopy")
      out.no_copy = on;
    else if (key == "volume-driver")
      out.driver = value;
    else if (key == "volume-opt")
      add_pair(std::string(value), out.driver_options);
    else if (key == "tmpfs-size")
      tmpfs += cat(",size=", TRY_CTX(parse_bytes(value), "--mount tmpfs-size"));
    else if (key == "tmpfs-mode") {
      if (value.empty() || value.size() > 5 || value.find_first_not_of("01234567") != std::string_view::npos)
        return bad(cat("invalid value for tmpfs-mode: ", value));
      tmpfs += cat(",mode=", value);
    } else if (key != "consistency")
      return fail("invalid argument \"", text, "\" for \"--mount\" flag: unknown option '", key, "'");
  }
  if (out.type != "bind" && out.type != "volume" && out.type != "tmpfs")
    return fail("invalid argument \"", text, "\" for \"--mount\" flag: unknown mount type '", out.type, "'");
  if (out.target.empty()) return fail("invalid argument \"", text, "\" for \"--mount\" flag: target is required");
  if (out.type == "bind") {
    if (out.source.empty()) return fail("invalid argument \"", text, "\" for \"--mount\" flag: source is required");
    out.source = TRY(absolute_path(out.source));
  }
  if (out.type == "tmpfs" && !out.source.empty())
    return fail("invalid mount config for type \"tmpfs\": field Source must not be specified");
  const auto only_for = [&](const char* type, bool given, const char* options) -> Result<> {
    if (!given || out.type == type) return {};
    return fail("invalid argument \"", text, "\" for \"--mount\" flag: cannot mix '", options,
                "' options with mount type '", out.type, "'");
  };
  const bool of_volume =
      out.no_copy || !out.driver.empty() || !out.driver_options.empty() || !out.labels.empty() || !out.subpath.empty();
  TRY(only_for("volume", of_volume, "volume-*"));
  TRY(only_for("bind", out.non_recursive || out.read_only_below || !out.propagation.empty(), "bind-*"));
  TRY(only_for("tmpfs", !tmpfs.empty(), "tmpfs-*"));
  if (out.read_only_below && !out.read_only)
    return fail("invalid argument \"", text,
                "\" for \"--mount\" flag: option 'bind-recursive=readonly' requires 'readonly'");
  if (out.type == "volume" && out.source.empty()) out.anonymous = true;
  if (!tmpfs.empty()) out.options = tmpfs.substr(1);
  return out;
}

Result<std::vector<PortConfig>> parse_publish(const std::string& text) {
  std::string body = text, protocol = "tcp";
  if (const size_t slash = body.rfind('/'); slash != std::string::npos) {
    protocol = body.substr(slash + 1);
    body.resize(slash);
  }
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") return fail("invalid proto: ", protocol);
  std::string ip, host, container;
  const size_t last = body.rfind(':');
  container = last == std::string::npos ? body : body.substr(last + 1);
  if (last != std::string::npos) {
    const std::string before = body.substr(0, last);
    const size_t second = before.rfind(':');
    host = second == std::string::npos ? before : before.substr(second + 1);
    if (second != std::string::npos) ip = before.substr(0, second);
    if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  }
  const auto range = [&](const std::string& ports) -> Result<std::pair<int, int>> {
    if (ports.empty()) return std::pair(0, 0);
    std::string_view rest = ports;
    const auto first = parse_number<uint16_t>(cut(rest, '-'));
    const auto end = rest.empty() ? first : parse_number<uint16_t>(rest);
    if (!first || !end || *first == 0 || *end < *first) return fail("invalid port in --publish ", text, ": ", ports);
    return std::pair(int{*first}, int{*end});
  };
  const auto [from, to] = TRY(range(container));
  const auto [host_from, host_to] = TRY(range(host));
  if (from == 0) return fail("No port specified: ", text, "<empty>");
  if (host_from != 0 && host_to - host_from != to - from)
    return fail("invalid ranges specified for container and host Ports: ", container, " and ", host);
  std::vector<PortConfig> out;
  for (int port = from; port <= to; ++port)
    out.push_back({.host_ip = ip,
                   .host_port = static_cast<uint16_t>(host_from == 0 ? 0 : host_from + port - from),
                   .container_port = static_cast<uint16_t>(port),
                   .protocol = protocol});
  return out;
}

Result<std::vector<std::string>> read_env(const Invocation& in) {
  std::vector<std::string> out;
  for (const std::string& file : in.texts("env-file"))
    for (const std::string& line : TRY(file_lines(file, "env-file"))) {
      if (line.front() == '=') return fail("--env-file ", file, ": no variable name on line '", line, "'");
      add_env(line, out);
    }
  for (const std::string& entry : in.texts("env")) {
    if (entry.empty() || entry.front() == '=') return fail("invalid environment variable: ", entry);
    add_env(entry, out);
  }
  return out;
}

Result<WallTime> parse_when(const std::string& text) {
  if (const auto time = parse_rfc3339(text)) return *time;
  if (const auto seconds = parse_number<int64_t>(text)) return WallTime(std::chrono::seconds(*seconds));
  std::string_view rest = text;
  const std::string_view whole = cut(rest, '.');
  if (const auto seconds = parse_number<int64_t>(whole), part = parse_number<int64_t>(rest);
      seconds && part && rest.size() <= 9) {
    int64_t nanoseconds = *part;
    for (size_t i = rest.size(); i < 9; ++i) nanoseconds *= 10;
    return WallTime(std::chrono::seconds(*seconds) + std::chrono::nanoseconds(nanoseconds));
  }
  if (const auto ago = parse_duration(text))
    return Clock::system().wall() - std::chrono::nanoseconds(std::llround(*ago * 1e9));
  for (const char* suffix : {"Z", ":00Z", "T00:00:00Z"})
    if (const auto time = parse_rfc3339(text + suffix)) return *time;
  return fail("'", text, "' is no time").hint("2026-01-02T15:04:05Z, seconds since 1970, or 10m for ten minutes ago");
}

Result<ContainerConfig> read_sandbox_config(const Invocation& in) {
  ContainerConfig out;
  for (const std::string_view name : split(in.text("share"), ',')) out.shared.emplace_back(name);
  if (out.shared.empty()) return fail("--share: name at least one of net, ipc, uts and pid");
  out.labels = TRY(pairs(in, "label"));
  out.annotations = TRY(pairs(in, "annotation"));
  out.hostname = in.text("hostname");
  out.domainname = in.text("domainname");
  out.cgroup_parent = in.text("cgroup-parent");
  out.sysctls = TRY(pairs(in, "sysctl"));
  out.shm_size = in.bytes("shm-size").value_or(0);
  out.restart = TRY(parse_restart(in.text("restart")));
  TRY(namespaces(in, out));
  TRY(networks(in, out));
  TRY(check_addresses(out));
  return out;
}

Result<ContainerConfig> read_config(const Invocation& in) {
  ContainerConfig out;
  TRY(refuse_foreign(in));
  std::vector<std::string> words = in.arguments();
  out.rootfs = in.text("rootfs");
  if (out.rootfs.empty()) {
    if (words.empty())
      return fail("an image is needed")
          .hint(cat("`", in.command_line(), " [FLAGS] IMAGE [COMMAND...]`, or --rootfs DIR"));
    out.image = words.front();
    words.erase(words.begin());
  } else {
    out.rootfs = TRY(absolute_path(out.rootfs));
  }
  out.cmd = std::move(words);
  if (in.is_set("entrypoint")) out.entrypoint = std::vector<std::string>{in.text("entrypoint")};
  out.platform = in.text("platform");
  out.env = TRY(read_env(in));
  for (const std::string& file : in.texts("label-file"))
    for (const std::string& line : TRY(file_lines(file, "label-file"))) add_pair(line, out.labels);
  for (const auto& [name, value] : TRY(pairs(in, "label"))) out.labels[name] = value;
  out.annotations = TRY(pairs(in, "annotation"));
  out.working_dir = in.text("workdir");
  out.user = in.text("user");
  out.hostname = in.text("hostname");
  out.domainname = in.text("domainname");
  out.tty = in.on("tty");
  out.open_stdin = in.on("interactive");
  out.stop_signal = in.text("stop-signal");
  out.stop_timeout = in.integer("stop-timeout");
  out.health = TRY(health(in));
  out.restart = TRY(parse_restart(in.text("restart")));
  out.auto_remove = in.on("rm");
  out.log.driver = in.text("log-driver");
  out.log.options = TRY(pairs(in, "log-opt"));
  TRY(logs::check_options(out.log.driver, out.log.options));
  out.init = in.on("init");
  out.sandbox = in.text("sandbox");
  out.resources = TRY(resources(in));
  TRY(networks(in, out));
  TRY(storage(in, out));
  TRY(security(in, out));
  TRY(check_addresses(out));
  return out;
}

}  // namespace proa::cli
