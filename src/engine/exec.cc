// One more program in a running container, health checks among them.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/ids.h"
#include "base/json.h"
#include "base/text.h"
#include "base/utf8.h"
#include "engine/codec.h"
#include "engine/engine.h"
#include "engine/shim_client.h"
#include "engine/spec_builder.h"
#include "engine/users.h"
#include "kernel/capability.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "oci/runtime/runtime.h"

namespace proa::engine {
namespace {

namespace runtime = oci::runtime;
namespace bj = boost::json;

constexpr int64_t kSecond = 1000000000;
constexpr size_t kProbeOutput = 4096, kProbesKept = 5;

std::string joined(const Strings& words) {
  std::string out;
  for (const std::string& word : words) out += cat(out.empty() ? "" : " ", word);
  return out;
}

// The "process" object for one exec.
Result<std::string> process_document(const Container& c, const ExecRequest& request, int root) {
  const ResolvedUser user =
      TRY(resolve_user(root, request.user.empty() ? c.resolved.user : request.user, c.config.group_add));
  ContainerConfig config = c.config;
  if (request.privileged) config.privileged = true;
  bj::array caps, args, env, groups;
  for (const std::string& name : kernel::capability_names_of(TRY(capabilities_of(config)))) caps.emplace_back(name);
  for (const std::string& word : request.args) args.emplace_back(word);
  Strings all = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=" + c.config.hostname};
  if (request.tty) all.emplace_back("TERM=xterm");
  all.insert(all.end(), c.resolved.env.begin(), c.resolved.env.end());
  all.insert(all.end(), request.env.begin(), request.env.end());
  bool home = false;
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string name = all[i].substr(0, all[i].find('='));
    const bool later = std::any_of(all.begin() + static_cast<long>(i) + 1, all.end(),
                                   [&](const std::string& e) { return e.substr(0, e.find('=')) == name; });
    home |= name == "HOME";
    if (!later && all[i].find('=') != std::string::npos) env.emplace_back(all[i]);
  }
  if (!home) env.emplace_back("HOME=" + user.home);
  for (const uint32_t gid : user.groups) groups.push_back(gid);
  std::string cwd = request.working_dir.empty() ? c.resolved.working_dir : request.working_dir;
  if (cwd.empty()) cwd = "/";
  bj::object out = {{"terminal", request.tty},
                    {"user", {{"uid", user.uid}, {"gid", user.gid}, {"additionalGids", std::move(groups)}}},
                    {"args", std::move(args)},
                    {"env", std::move(env)},
                    {"cwd", cwd},
                    {"capabilities", {{"bounding", caps}, {"effective", caps}, {"permitted", caps}}}};
  for (const std::string& option : c.config.security_opt)
    if (option.starts_with("no-new-privileges")) out["noNewPrivileges"] = !option.ends_with("false");
  return json::to_line(out);
}

// A file that only descriptors name.
Result<std::pair<Fd, std::string>> memory_file(std::string_view text) {
  Fd file(::memfd_create("proa-exec", MFD_CLOEXEC));
  if (!file) return fail_errno(errno, "memfd");
  TRY(kernel::write_all(file.get(), text));
  std::string path = cat("/proc/self/fd/", file.get());
  return std::pair(std::move(file), std::move(path));
}

Error exec_error(const Strings& args, Error error) {
  const std::string& text = error.message();
  if (error.code() == ENOENT || text.find("No such file") != std::string::npos) {
    if (text.find("cwd") == std::string::npos)
      return Error(cat("exec failed: exec: \"", args.front(), "\": executable file not found in $PATH"), ENOENT);
  }
  if (error.code() == EACCES || text.find("ermission denied") != std::string::npos)
    return Error(cat("exec failed: exec: \"", args.front(), "\": permission denied"), EACCES);
  return error;
}

}  // namespace

Result<Fd> Engine::open_root(const Container& container) {
  const Status status = status_of(container.state);
  if ((status == Status::kRunning || status == Status::kPaused) && container.state.pid != 0)
    if (auto root = kernel::open(cat("/proc/", container.state.pid, "/root").c_str(), O_PATH | O_DIRECTORY))
      return root;
  if (container.resolved.snapshot.empty()) return kernel::open(container.config.rootfs.c_str(), O_RDONLY | O_DIRECTORY);
  return images_.mount(container.resolved.snapshot);
}

Result<int> Engine::exec(const std::string& reference, const ExecRequest& request) {
  const Container container = TRY(inspect(reference));
  const std::string& id = container.id;
  if (status_of(container.state) == Status::kPaused)
    return fail("Container ", id, " is paused, unpause the container before exec");
  if (status_of(container.state) != Status::kRunning) return fail("container ", id, " is not running");
  Fd root = TRY(open_root(container));
  const std::string document = TRY(process_document(container, request, root.get()));
  const auto [file, path] = TRY(memory_file(document));
  runtime::ExecOptions options{.process_file = path, .tty = request.tty, .detach = request.detach};
  const std::string words = joined(request.args);
  tell(container, "exec_start: " + words);
  auto status = runtime::exec({.root = folders_.runtime()}, id, options);
  if (!status) return std::unexpected(exec_error(request.args, status.error()));
  if (!request.detach) tell(container, "exec_die", {{"exitCode", std::to_string(*status)}});
  return status;
}

Health Engine::health(const Container& container) const {
  const auto text = kernel::read_file((folders_.bundle(container.id) + "/health.json").c_str());
  if (!text) return {};
  return parse_health(*text).value_or(Health{});
}

namespace {

struct Probe {
  int code = 0;
  std::string output;
};

// Runs the check in a child whose output and time are bounded.
Result<Probe> probe(const std::function<Result<int>()>& run, int64_t timeout_ns) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  Fd reader(ends[0]), writer(ends[1]);
  kernel::Child child = TRY(kernel::clone_process(0));
  if (child.pid == 0) {
    ::setpgid(0, 0);
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, 0);
    ::dup2(writer.get(), 1);
    ::dup2(writer.get(), 2);
    const auto status = run();
    if (!status) (void)kernel::write_all(2, status.error().message());
    ::_exit(status ? *status : 125);
  }
  writer.reset();
  ::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  Probe out;
  const auto drain = [&] {
    char bytes[4096];
    for (ssize_t got; (got = ::read(reader.get(), bytes, sizeof bytes)) > 0;)
      if (out.output.size() < kProbeOutput) out.output.append(bytes, static_cast<size_t>(got));
  };
  const auto end = Clock::system().monotonic() + std::chrono::nanoseconds(timeout_ns);
  bool gone = false;
  while (!gone && Clock::system().monotonic() < end) {
    gone = TRY(kernel::wait_gone(child.pidfd.get(), 20));
    drain();
  }
  if (!gone) {
    // The runtime's part passes no SIGKILL on: the program is told by the terminal signal first.
    (void)::kill(child.pid, SIGTERM);
    if (!TRY(kernel::wait_gone(child.pidfd.get(), 200))) (void)kernel::send_signal(child.pidfd.get(), SIGKILL);
    out.output = cat("Health check exceeded timeout (", timeout_ns / 1000000, "ms)");
    out.code = -1;
  }
  const int status = TRY(kernel::wait_child(child.pid));
  drain();
  if (gone) out.code = status;
  if (out.output.size() > kProbeOutput) out.output.resize(kProbeOutput);
  out.output = utf8::mended(out.output);
  return out;
}

}  // namespace

Result<> Engine::check_health(const std::string& id) {
  const Container container = TRY(records_.load(id));
  if (status_of(container.state) != Status::kRunning) return {};
  const HealthConfig& config = container.resolved.health;
  if (config.test.size() < 2) return {};
  ExecRequest request;
  if (config.test[0] == "CMD-SHELL")
    request.args = {"/bin/sh", "-c", config.test[1]};
  else
    request.args.assign(config.test.begin() + 1, config.test.end());
  const WallTime start = Clock::system().wall();
  tell(container, "exec_create: " + joined(request.args));
  const Probe result =
      TRY(probe([&] { return exec(id, request); }, config.timeout > 0 ? config.timeout : 30 * kSecond));

  Health health = this->health(container);
  health.log.push_back({.start = format_rfc3339(start, TimePrecision::kNanoseconds),
                        .end = format_rfc3339(Clock::system().wall(), TimePrecision::kNanoseconds),
                        .output = result.output,
                        .exit_code = result.code});
  if (health.log.size() > kProbesKept) health.log.erase(health.log.begin());
  const std::string before = health.status;
  const auto started = parse_rfc3339(container.state.started_at);
  const bool starting = before == "starting" && started && config.start_period > 0 &&
                        start - *started < std::chrono::nanoseconds(config.start_period);
  if (result.code == 0) {
    health.failing_streak = 0;
    health.status = "healthy";
  } else if (!starting) {
    if (++health.failing_streak >= (config.retries > 0 ? config.retries : 3)) health.status = "unhealthy";
  }
  TRY(kernel::replace_file(folders_.bundle(id) + "/health.json", emit_health(health), 0600));
  if (health.status != before) {
    tell(container, "health_status: " + health.status);
    // From the quick checks of the start to the usual ones.
    const int64_t interval = config.interval > 0 ? config.interval : 30 * kSecond;
    (void)shim_command(folders_.shim(id), cat("timer ", interval / 1000000));
  }
  return {};
}

}  // namespace proa::engine
