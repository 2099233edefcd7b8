#include "cli/runtime_commands.h"

#include <regex.h>
#include <unistd.h>

#include <cstdlib>

#include "base/log.h"
#include "base/text.h"
#include "base/values.h"
#include "cli/print.h"
#include "cli/tables.h"
#include "oci/runtime/runtime.h"

namespace proa::cli {
namespace {

namespace runtime = oci::runtime;

std::string global(const Invocation& in, std::string_view flag, std::string_view otherwise = "") {
  const std::string* given = in.last_of(kRuntimeRoot, flag);
  return given != nullptr ? *given : std::string(otherwise);
}
bool global_on(const Invocation& in, std::string_view flag) {
  const std::string* given = in.last_of(kRuntimeRoot, flag);
  return given != nullptr && parse_bool(*given).value_or(false);
}

// Relative paths are taken from where the user stands, not from the bundle.
std::string absolute(const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  char* here = ::get_current_dir_name();
  const std::string out = here == nullptr ? path : cat(here, "/", path);
  std::free(here);
  return out;
}

Result<std::string> state_root(const Invocation& in) {
  const std::string* given = in.last_of(kRuntimeRoot, "root");
  if (given == nullptr) return std::string();
  std::string root = clean_path(absolute(given->empty() ? "." : *given));
  if (root.empty()) return fail("flag --root: must not be /");
  return root;
}

Result<runtime::Globals> globals(const Invocation& in) {
  runtime::Globals g;
  g.root = TRY(state_root(in));
  g.systemd_cgroup = global_on(in, "systemd-cgroup");
  const std::string manager = global(in, "cgroup-manager");
  if (!manager.empty()) g.systemd_cgroup = manager == "systemd";
  g.no_cgroup = manager == "disabled";
  const std::string rootless = global(in, "rootless");
  if (rootless.empty() || rootless == "auto" || rootless == "Auto" || rootless == "AUTO") return g;
  g.rootless = TRY_CTX(parse_bool(rootless), "flag --rootless") ? runtime::Rootless::kYes : runtime::Rootless::kNo;
  return g;
}

Result<int> descriptor_count(const Invocation& in) {
  const uint64_t count = in.whole("preserve-fds").value_or(0);
  if (count > 1u << 20) return fail("flag --preserve-fds: ", count, " is more descriptors than a process can have");
  return static_cast<int>(count);
}

Result<runtime::CreateOptions> create_options(const Invocation& in) {
  runtime::CreateOptions o;
  if (std::string bundle = in.text("bundle"); !bundle.empty()) o.bundle = std::move(bundle);
  o.config = in.text("config");
  o.console_socket = absolute(in.text("console-socket"));
  o.pidfd_socket = absolute(in.text("pidfd-socket"));
  o.pid_file = absolute(in.text("pid-file"));
  o.no_pivot = in.on("no-pivot");
  o.no_new_keyring = in.on("no-new-keyring");
  o.preserve_fds = TRY(descriptor_count(in));
  return o;
}

Result<int> done(Result<> result) {
  TRY(std::move(result));
  return 0;
}

Result<int> print(Result<std::string> text) {
  if (!text) return std::unexpected(std::move(text).error());
  return done(print_text(*text));
}

class Regex {
 public:
  static Result<Regex> compile(const std::string& pattern) {
    Regex made;
    const int error = ::regcomp(&made.compiled_, pattern.c_str(), REG_EXTENDED | REG_NOSUB);
    if (error != 0) {
      char text[128];
      ::regerror(error, &made.compiled_, text, sizeof text);
      return fail("'", pattern, "' is not a regular expression: ", static_cast<const char*>(text));
    }
    made.owned_ = true;
    return made;
  }
  Regex(Regex&& other) noexcept : compiled_(other.compiled_), owned_(std::exchange(other.owned_, false)) {}
  Regex& operator=(Regex&&) = delete;
  ~Regex() {
    if (owned_) ::regfree(&compiled_);
  }
  bool matches(const std::string& text) const { return ::regexec(&compiled_, text.c_str(), 0, nullptr, 0) == 0; }

 private:
  Regex() = default;
  regex_t compiled_{};
  bool owned_ = false;
};

// The containers a command is about: the one named, or with --regex every one whose id matches.
Result<std::vector<std::string>> chosen(const Invocation& in, const runtime::Globals& g) {
  if (!in.on("regex")) return std::vector<std::string>{in.argument(0)};
  const Regex pattern = TRY(Regex::compile(in.argument(0)));
  const std::string listed = TRY(runtime::list(g, {.quiet = true}));
  std::vector<std::string> ids;
  for (size_t at = 0; at < listed.size();) {
    const size_t end = std::min(listed.find('\n', at), listed.size());
    std::string id = listed.substr(at, end - at);
    if (!id.empty() && pattern.matches(id)) ids.push_back(std::move(id));
    at = end + 1;
  }
  return ids;
}

// Does `action` to each id; all are tried, the first failure is the answer.
template <typename Action>
Result<int> for_each(const std::vector<std::string>& ids, Action action) {
  Result<> first;
  for (const std::string& id : ids) {
    auto result = action(id);
    if (result || ids.size() == 1) {
      if (!result) return std::unexpected(std::move(result).error());
      continue;
    }
    if (first)
      first = std::unexpected(std::move(result).error().with_context(id));
    else
      log::error(id, ": ", result.error().message());
  }
  return done(std::move(first));
}

Result<runtime::CheckpointOptions> criu_options(const Invocation& in) {
  runtime::CheckpointOptions o;
  if (std::string path = in.text("image-path"); !path.empty()) o.image_path = std::move(path);
  o.image_path = absolute(o.image_path);
  o.work_path = absolute(in.text("work-path"));
  if (std::string mode = in.text("manage-cgroups-mode"); !mode.empty()) o.manage_cgroups_mode = std::move(mode);
  if (std::string criu = global(in, "criu"); !criu.empty()) o.criu = std::move(criu);
  o.tcp_established = in.on("tcp-established");
  o.ext_unix_sk = in.on("ext-unix-sk");
  o.shell_job = in.on("shell-job");
  o.lazy_pages = in.on("lazy-pages");
  o.file_locks = in.on("file-locks");
  o.auto_dedup = in.on("auto-dedup");
  o.empty_ns = in.texts("empty-ns");
  return o;
}

// HOST:PORT with both parts there.
Result<> check_page_server(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (text.empty() || (colon != std::string::npos && colon > 0 && colon + 1 < text.size())) return {};
  return fail("flag --page-server: '", text, "' is not ADDRESS:PORT");
}

std::optional<std::string> text_if_given(const Invocation& in, std::string_view flag) {
  std::string value = in.text(flag);
  return value.empty() ? std::nullopt : std::optional(std::move(value));
}

}  // namespace

Result<> configure_runtime_log(const Invocation& in) {
  log::Config config;
  config.file = global(in, "log");
  // crun's way to write it; its journald: and syslog: need a service this program does not speak to.
  if (config.file.starts_with("file:")) config.file.erase(0, 5);
  if (config.file.starts_with("journald:") || config.file.starts_with("syslog:"))
    return fail("flag --log: only files are supported, not '", config.file, "'");
  config.file = absolute(config.file);
  if (global(in, "log-format") == "json") config.format = log::Format::kJson;
  const std::string level = global(in, "log-level");
  if (level == "error") config.level = log::Level::kError;
  if (level == "warning") config.level = log::Level::kWarning;
  if (level == "debug" || global_on(in, "debug")) config.level = log::Level::kDebug;
  return log::configure(config);
}

Result<int> runtime_create(const Invocation& in) {
  return done(runtime::create(TRY(globals(in)), in.argument(0), TRY(create_options(in))));
}

Result<int> runtime_run(const Invocation& in) {
  runtime::CreateOptions options = TRY(create_options(in));
  options.detach = in.on("detach");
  options.keep = in.on("keep");
  options.no_subreaper = in.on("no-subreaper");
  return runtime::run(TRY(globals(in)), in.argument(0), options);
}

Result<int> runtime_start(const Invocation& in) { return done(runtime::start(TRY(globals(in)), in.argument(0))); }

Result<int> runtime_state(const Invocation& in) { return print(runtime::state(TRY(globals(in)), in.argument(0))); }

Result<int> runtime_exec(const Invocation& in) {
  runtime::ExecOptions o;
  o.process_file = in.text("process");
  o.args.assign(in.arguments().begin() + 1, in.arguments().end());
  if (o.process_file.empty() && o.args.empty())
    return fail("missing argument COMMAND for '", in.command_line(), "'").hint("or give --process FILE");
  o.cwd = text_if_given(in, "cwd");
  o.user = text_if_given(in, "user");
  o.env = in.texts("env");
  o.capabilities = in.texts("cap");
  o.additional_gids = in.texts("additional-gids");
  o.tty = in.on("tty");
  o.detach = in.on("detach");
  if (in.is_set("no-new-privs")) o.no_new_privileges = in.on("no-new-privs");
  o.console_socket = absolute(in.text("console-socket"));
  o.pidfd_socket = absolute(in.text("pidfd-socket"));
  o.pid_file = absolute(in.text("pid-file"));
  o.apparmor = in.text("apparmor");
  o.selinux_label = in.text("process-label");
  o.cgroups = in.texts("cgroup");
  o.ignore_paused = in.on("ignore-paused");
  o.preserve_fds = TRY(descriptor_count(in));
  return runtime::exec(TRY(globals(in)), in.argument(0), o);
}

Result<int> runtime_kill(const Invocation& in) {
  const runtime::Globals g = TRY(globals(in));
  const std::string signal = in.argument(1).empty() ? "SIGTERM" : in.argument(1);
  return for_each(TRY(chosen(in, g)),
                  [&](const std::string& id) { return runtime::kill(g, id, signal, in.on("all")); });
}

Result<int> runtime_delete(const Invocation& in) {
  const runtime::Globals g = TRY(globals(in));
  return for_each(TRY(chosen(in, g)), [&](const std::string& id) { return runtime::remove(g, id, in.on("force")); });
}

Result<int> runtime_pause(const Invocation& in) { return done(runtime::pause(TRY(globals(in)), in.argument(0))); }

Result<int> runtime_resume(const Invocation& in) { return done(runtime::resume(TRY(globals(in)), in.argument(0))); }

Result<int> runtime_update(const Invocation& in) {
  runtime::UpdateOptions o;
  o.resources_file = in.text("resources");
  o.blkio_weight = in.whole("blkio-weight");
  o.cpu_period = in.whole("cpu-period");
  o.cpu_share = in.whole("cpu-share");
  o.cpu_burst = in.whole("cpu-burst");
  o.cpu_rt_period = in.whole("cpu-rt-period");
  o.cpu_quota = in.integer("cpu-quota");
  o.cpu_rt_runtime = in.integer("cpu-rt-runtime");
  o.cpu_idle = in.integer("cpu-idle");
  o.cpuset_cpus = text_if_given(in, "cpuset-cpus");
  o.cpuset_mems = text_if_given(in, "cpuset-mems");
  o.memory = in.bytes("memory");
  o.memory_reservation = in.bytes("memory-reservation");
  o.memory_swap = in.bytes("memory-swap");
  o.pids_limit = in.integer("pids-limit");
  o.kernel_memory = in.bytes("kernel-memory");
  o.kernel_memory_tcp = in.bytes("kernel-memory-tcp");
  o.l3_cache_schema = in.text("l3-cache-schema");
  o.mem_bw_schema = in.text("mem-bw-schema");
  return done(runtime::update(TRY(globals(in)), in.argument(0), o));
}

Result<int> runtime_events(const Invocation& in) {
  const double interval = in.seconds("interval").value_or(5);
  if (interval <= 0) return fail("flag --interval: must be more than 0");
  return done(runtime::events(TRY(globals(in)), in.argument(0), in.on("stats"), interval));
}

Result<int> runtime_ps(const Invocation& in) {
  const std::vector<std::string> options(in.arguments().begin() + 1, in.arguments().end());
  return print(runtime::ps(TRY(globals(in)), in.argument(0), in.text("format") == "json", options));
}

Result<int> runtime_list(const Invocation& in) {
  return print(runtime::list(TRY(globals(in)), {.quiet = in.on("quiet"), .json = in.text("format") == "json"}));
}

Result<int> runtime_spec(const Invocation& in) {
  const std::string bundle = in.text("bundle");
  return done(runtime::write_template(bundle.empty() ? "." : bundle, in.on("rootless")));
}

Result<int> runtime_features(const Invocation&) { return print(runtime::features()); }

Result<int> runtime_checkpoint(const Invocation& in) {
  runtime::CheckpointOptions o = TRY(criu_options(in));
  o.parent_path = in.text("parent-path");
  if (o.parent_path.starts_with('/')) return fail("flag --parent-path: must be relative to --image-path");
  o.status_fd = in.text("status-fd");
  o.page_server = in.text("page-server");
  TRY(check_page_server(o.page_server));
  o.leave_running = in.on("leave-running");
  o.tcp_skip_in_flight = in.on("tcp-skip-in-flight");
  o.link_remap = in.on("link-remap");
  o.pre_dump = in.on("pre-dump");
  return done(runtime::checkpoint(TRY(globals(in)), in.argument(0), o));
}

Result<int> runtime_restore(const Invocation& in) {
  runtime::CheckpointOptions criu = TRY(criu_options(in));
  criu.lsm_profile = in.text("lsm-profile");
  criu.lsm_mount_context = in.text("lsm-mount-context");
  runtime::CreateOptions options;
  if (std::string bundle = in.text("bundle"); !bundle.empty()) options.bundle = std::move(bundle);
  options.config = in.text("config");
  options.console_socket = absolute(in.text("console-socket"));
  options.pid_file = absolute(in.text("pid-file"));
  options.no_pivot = in.on("no-pivot");
  options.no_subreaper = in.on("no-subreaper");
  options.detach = in.on("detach");
  return runtime::restore(TRY(globals(in)), in.argument(0), options, criu);
}

}  // namespace proa::cli
