// After a boot: containers whose restart policy says so come up again.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "engine/engine.h"
#include "kernel/boot_fact.h"
#include "kernel/file.h"

namespace proa::engine {
namespace {

// Docker's: `always` comes even if it was stopped, what was never started does not, and neither does on-failure.
bool comes_up(const Container& container) {
  const State& state = container.state;
  const Status status = status_of(state);
  if (state.started_at.empty() || status == Status::kRemoving) return false;
  if (status == Status::kRunning || status == Status::kPaused) return false;
  const std::string& policy = container.config.restart.name;
  return policy == "always" || (policy == "unless-stopped" && !state.stopped_by_user);
}

// Those first whose namespaces others join.
std::vector<std::string> joined_by(const Container& container) {
  std::vector<std::string> out;
  const ContainerConfig& config = container.config;
  for (const std::string* mode : {&config.network_mode, &config.pid_mode, &config.ipc_mode, &config.uts_mode})
    if (mode->starts_with("container:")) out.push_back(mode->substr(10));
  return out;
}

bool joins(const Container& container, const Container& other) {
  return std::ranges::any_of(joined_by(container), [&](const std::string& reference) {
    return other.id.starts_with(reference) || other.name == reference;
  });
}

std::vector<Container> in_order(std::vector<Container> all) {
  std::vector<Container> out;
  const auto waits = [&](const Container& c) {
    return std::ranges::any_of(all, [&](const Container& other) { return other.id != c.id && joins(c, other); });
  };
  while (!all.empty()) {
    auto next = std::ranges::find_if_not(all, waits);
    if (next == all.end()) next = all.begin();  // a ring: its start will say what is wrong
    out.push_back(std::move(*next));
    all.erase(next);
  }
  return out;
}

// The id of the boot after which all was started that is to run.
std::string boot_record(const Folders& folders) { return folders.data + "/boot"; }

// For one who starts or stops everything.
Result<Fd> lock_boot(const Folders& folders) {
  TRY(kernel::make_dirs(folders.data, 0711));
  const std::string path = boot_record(folders) + ".lock";
  Fd lock = TRY(kernel::open(path.c_str(), O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX) != 0) return fail_errno(errno, "lock ", path);
  return lock;
}

}  // namespace

std::string boot_id() { return kernel::boot_id(); }

Result<Booted> Engine::boot() {
  const std::string record = boot_record(folders_), this_boot = boot_id();
  const Fd lock = TRY(lock_boot(folders_));
  Booted out;
  if (kernel::read_file(record.c_str()).value_or("") == this_boot) return out;
  out.fresh = true;
  TRY(clean_up());
  std::vector<Container> due = TRY(list_all());
  for (const Container& container : due) {
    if (!is_running(container.state)) go_on_forwarding(container);
    // It runs on, as who was to stop it with the host was killed: it is to come back after its end again.
    if (!is_running(container.state) || !container.state.stopped_by_host) continue;
    auto [locked, now] = TRY(hold(container.id));
    now.state.stopped_by_host = false;
    TRY(locked.save_state(now.state));
  }
  std::erase_if(due, [](const Container& c) { return !comes_up(c); });
  for (const Container& container : in_order(std::move(due))) {
    if (auto started = start(container.id); !started)
      out.failed.emplace_back(container.name, std::move(started).error());
    else
      out.started.push_back(container.name);
  }
  // A boot whose work was killed is taken up by the next call: what runs by then is left alone.
  TRY(kernel::replace_file(record, this_boot, 0600));
  return out;
}

// All are asked to end before the first is waited for; who has ended meanwhile, or has less time, keeps none waiting.
void Engine::stop_together(const std::vector<Container>& containers, std::optional<int64_t> timeout, ShutDown& to) {
  using Steady = std::chrono::steady_clock;
  const auto begin = Steady::now();
  std::vector<Stopping> stopping;
  for (const Container& container : containers) {
    if (!is_running(container.state)) continue;
    StopOptions options;
    const int64_t own = stop_timeout(container);
    if (timeout) options.timeout = own < 0 ? *timeout : std::min(own, *timeout);
    auto begun = begin_stop(container.id, options, true);
    if (!begun)
      to.failed.emplace_back(container.name, std::move(begun).error());
    else if (*begun)
      stopping.push_back(std::move(**begun));
    else
      to.stopped.push_back(container.name);
  }
  // Who is to be killed first is waited for first.
  const auto patience = [](const Stopping& s) { return s.timeout_ms < 0 ? INT64_MAX : s.timeout_ms; };
  std::ranges::sort(stopping, {}, patience);
  for (Stopping& each : stopping) {
    const int64_t passed = std::chrono::duration_cast<std::chrono::milliseconds>(Steady::now() - begin).count();
    if (each.timeout_ms > 0) each.timeout_ms = std::max<int64_t>(each.timeout_ms - passed, 0);
    if (auto ended = end_stop(each); !ended && ended.error().code() != ENOENT)
      to.failed.emplace_back(each.container.name, std::move(ended).error());
    else
      to.stopped.push_back(each.container.name);
  }
}

Result<ShutDown> Engine::shut_down(std::optional<int64_t> timeout) {
  const Fd lock = TRY(lock_boot(folders_));
  // From here on the next boot() has something to do, even if it is of the same boot.
  if (::unlink(boot_record(folders_).c_str()) != 0 && errno != ENOENT) return fail_errno(errno, boot_record(folders_));
  std::vector<Container> containers = TRY(list_all());
  ShutDown out;
  // What shares the namespaces of others goes before them.
  while (!containers.empty()) {
    std::vector<Container> now, later;
    for (const Container& container : containers) {
      const bool joined = std::ranges::any_of(containers, [&](const Container& other) {
        return other.id != container.id && is_running(other.state) && joins(other, container);
      });
      (joined ? later : now).push_back(container);
    }
    if (now.empty()) now.swap(later);  // a ring
    stop_together(now, timeout, out);
    containers = std::move(later);
  }
  return out;
}

}  // namespace proa::engine
