#include "kernel/cgroup/freezer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>

#include "kernel/file.h"
#include "kernel/sys.h"

namespace proa::kernel::cgroup {
namespace {

constexpr int kAttempts = 1000;
constexpr int kFreezeTimeoutMs = 10'000;

void sleep_us(long us) {
  const timespec time{.tv_sec = 0, .tv_nsec = us * 1000};
  ::nanosleep(&time, nullptr);
}

Result<> write_state(const Folder& folder, const char* state) { return folder.set("freezer", "freezer.state", state); }

// FREEZING can last: a fork may put a running child into the cgroup after the sweep. Writing FROZEN
// again sweeps again; a thaw now and then lets a stuck fork finish.
Result<> freeze_retrying(const Folder& folder) {
  for (int i = 0; i < kAttempts; ++i) {
    if (i % 50 == 49) {
      TRY(write_state(folder, "THAWED"));
      sleep_us(10'000);
    }
    TRY(write_state(folder, "FROZEN"));
    if (i > 0) sleep_us(std::min(10 << std::min(i, 7), 200));
    const std::string state = TRY(folder.get("freezer.state"));
    if (state == "FROZEN") return {};
    if (state != "FREEZING") return fail(folder.path(), "/freezer.state: unexpected \"", state, "\"");
  }
  return fail_errno(ETIMEDOUT, "freeze ", folder.path(), ": processes keep appearing");
}

}  // namespace

Result<> freeze_v1(const Folder& folder) {
  auto done = freeze_retrying(folder);
  if (!done) (void)thaw_v1(folder);  // half frozen is worse than not frozen
  return done;
}

Result<> thaw_v1(const Folder& folder) { return write_state(folder, "THAWED"); }

Result<bool> frozen_v1(const Folder& folder) {
  for (int i = 0; i < kAttempts; ++i) {
    const auto state = folder.get("freezer.state");
    if (!state) {
      if (state.error().code() == ENOENT || state.error().code() == ENODEV) return false;
      return std::unexpected(state.error());
    }
    if (*state == "THAWED") return false;
    // Frozen by itself, not through a parent.
    if (*state == "FROZEN") return folder.number("freezer.self_freezing").value_or(1) != 0;
    sleep_us(1000);
  }
  return fail_errno(ETIMEDOUT, folder.path(), "/freezer.state: stays in FREEZING");
}

Result<> thaw_v2(const Folder& folder) { return folder.set("freezer", "cgroup.freeze", "0"); }

Result<> freeze_v2(const Folder& folder) {
  TRY(folder.set("freezer", "cgroup.freeze", "1"));
  const Fd events = TRY(open(cat(folder.path(), "/cgroup.events").c_str(), O_RDONLY));
  timespec start{};
  ::clock_gettime(CLOCK_MONOTONIC, &start);
  for (;;) {
    if (TRY(folder.keyed("cgroup.events", "frozen")) == 1) return {};
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    if ((now.tv_sec - start.tv_sec) * 1000 > kFreezeTimeoutMs) break;
    // The kernel signals a change of cgroup.events as POLLPRI once the file was read; the short timeout
    // covers a change between the read above and the poll.
    char buffer[256];
    (void)!::pread(events.get(), buffer, sizeof buffer, 0);
    pollfd waiting{.fd = events.get(), .events = POLLPRI, .revents = 0};
    ::poll(&waiting, 1, 2);
  }
  (void)thaw_v2(folder);
  return fail_errno(ETIMEDOUT, "freeze ", folder.path());
}

Result<bool> frozen_v2(const Folder& folder) {
  const auto asked = folder.number("cgroup.freeze");
  if (asked) return *asked == 1;
  if (asked.error().code() == ENOENT || asked.error().code() == ENODEV) return false;
  return std::unexpected(asked.error());
}

}  // namespace proa::kernel::cgroup
