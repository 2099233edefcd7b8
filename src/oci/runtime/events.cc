#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "kernel/cgroup/oom_watch.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "kernel/resctrl.h"
#include "oci/runtime/runtime.h"
#include "oci/runtime/stats_json.h"
#include "oci/runtime/watched.h"

namespace proa::oci::runtime {
namespace {

int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

struct Watcher {
  Watched container;
  std::optional<kernel::ResctrlGroup> resctrl;
  std::optional<kernel::cgroup::OomWatch> oom;  // absent without a memory controller
  Fd init;
};

Result<> print(const std::string& line) { return kernel::write_all(STDOUT_FILENO, line); }

Result<Watcher> open_watcher(const Globals& globals, const std::string& id) {
  Watcher watcher{TRY(open_watched(globals, id, false)), {}, {}, {}};
  const ContainerState& state = watcher.container.state;
  // The descriptor first, then the check that it is the container's process and not a successor.
  auto init = kernel::pidfd_open(state.pid);
  if (!init || TRY(current_status(watcher.container.folder, state)) == Status::kStopped)
    return fail("container with id ", id, " is not running");
  watcher.init = std::move(*init);
  const Spec spec = TRY(watcher.container.folder.load_config());
  if (spec.linux_ && spec.linux_->intel_rdt)
    watcher.resctrl = TRY(kernel::find_resctrl(*spec.linux_->intel_rdt, state.id));
  return watcher;
}

Result<> print_stats(const Watcher& watcher) {
  const kernel::cgroup::Stats stats = TRY(watcher.container.cgroup.stats());
  std::optional<kernel::ResctrlStats> resctrl;
  if (watcher.resctrl) resctrl = TRY(kernel::resctrl_stats(*watcher.resctrl));
  return print(stats_line(watcher.container.state.id, stats, resctrl ? &*resctrl : nullptr));
}

Result<> print_ooms(Watcher& watcher) {
  const auto events = TRY(watcher.oom->take());
  for (uint64_t i = 0; i < std::min<uint64_t>(events.ooms, 1000); ++i) TRY(print(oom_line(watcher.container.state.id)));
  if (events.gone) watcher.oom.reset();
  return {};
}

bool has_ended(const Watcher& watcher) {
  pollfd init{.fd = watcher.init.get(), .events = POLLIN, .revents = 0};
  return ::poll(&init, 1, 0) > 0;
}

}  // namespace

Result<> events(const Globals& globals, const std::string& id, bool once, double interval_seconds) {
  if (!(interval_seconds > 0)) return fail("--interval: must be greater than 0");
  Watcher watcher = TRY(open_watcher(globals, id));
  if (once) return print_stats(watcher);
  if (auto oom = kernel::cgroup::OomWatch::open(watcher.container.state.cgroup)) watcher.oom.emplace(std::move(*oom));
  const int64_t interval = std::max<int64_t>(static_cast<int64_t>(std::min(interval_seconds, 1e9) * 1000), 1);
  for (int64_t next = now_ms() + interval;;) {
    pollfd waiting[2] = {{.fd = watcher.init.get(), .events = POLLIN, .revents = 0},
                         {.fd = watcher.oom ? watcher.oom->fd() : -1, .events = POLLIN, .revents = 0}};
    const int64_t left = std::clamp<int64_t>(next - now_ms(), 0, 1 << 30);
    if (::poll(waiting, 2, static_cast<int>(left)) < 0 && errno != EINTR) return fail_errno(errno, "poll");
    if (waiting[1].revents != 0) TRY(print_ooms(watcher));
    if (waiting[0].revents != 0) return {};
    if (now_ms() < next) continue;
    next += interval;
    auto printed = print_stats(watcher);
    if (!printed && has_ended(watcher)) return {};
    TRY(std::move(printed));
  }
}

}  // namespace proa::oci::runtime
