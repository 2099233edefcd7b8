#include "cli/container_flags.h"

#include <cmath>
#include <cstdlib>

#include "base/text.h"
#include "base/values.h"
#include "cli/container_flag_parts.h"
#include "cli/foreign_flags.h"
#include "kernel/file.h"
#include "logs/options.h"

namespace proa::cli {
namespace {

using engine::ContainerConfig;

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
  TRY(read_networks(in, out));
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
  out.resources = TRY(read_resources(in));
  TRY(read_networks(in, out));
  TRY(read_storage(in, out));
  TRY(security(in, out));
  TRY(check_addresses(out));
  return out;
}

}  // namespace proa::cli
