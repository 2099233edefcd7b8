// Health checks: a program run in the container now and then, by the shim's timer.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"
#include "base/utf8.h"
#include "engine/codec.h"
#include "engine/engine.h"
#include "engine/shim_client.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "oci/runtime/runtime.h"

namespace proa::engine {
namespace {

namespace runtime = oci::runtime;

constexpr int64_t kSecond = 1000000000;
constexpr size_t kProbeOutput = 4096, kProbesKept = 5;

std::string joined(const Strings& words) {
  std::string out;
  for (const std::string& word : words) out += cat(out.empty() ? "" : " ", word);
  return out;
}

// A file that only descriptors name.
Result<std::pair<Fd, std::string>> memory_file(std::string_view text) {
  Fd file(::memfd_create("proa-exec", MFD_CLOEXEC));
  if (!file) return fail_errno(errno, "memfd");
  TRY(kernel::write_all(file.get(), text));
  std::string path = cat("/proc/self/fd/", file.get());
  return std::pair(std::move(file), std::move(path));
}

}  // namespace

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
    if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(writer.get(), 1) < 0 || ::dup2(writer.get(), 2) < 0) ::_exit(125);
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
  ExecConfig request;
  if (config.test[0] == "CMD-SHELL")
    request.args = {"/bin/sh", "-c", config.test[1]};
  else
    request.args.assign(config.test.begin() + 1, config.test.end());
  const WallTime start = Clock::system().wall();
  tell(container, "exec_create: " + joined(request.args));
  const std::string document = TRY(exec_document(container, request));
  const auto [file, path] = TRY(memory_file(document));
  const runtime::ExecOptions options{.process_file = path};
  const auto run = [&] { return runtime::exec({.root = folders_.runtime()}, id, options); };
  const Probe result = TRY(probe(run, config.timeout > 0 ? config.timeout : 30 * kSecond));

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
