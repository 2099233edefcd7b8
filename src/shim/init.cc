#include "shim/init.h"

#include <signal.h>
#include <sys/syscall.h>

#include "shim/process.h"
#include "shim/sys.h"

namespace proa::shim {
namespace {

long next_signal() {
  const uint64_t all = ~uint64_t{0};
  return sys::call(SYS_rt_sigtimedwait, reinterpret_cast<long>(&all), 0, 0, sizeof all);
}

}  // namespace

void run_init(const char* const* argv, const char* const* env) {
  Origin origin;
  origin.env = env;
  sys::default_action(SIGCHLD);
  origin.signal_mask = sys::block_signals();
  const long child = spawn(origin, argv, {0, 1, 2});
  if (child < 0) sys::quit(126);
  for (;;) {
    const long signal = next_signal();
    if (signal > 0 && signal != SIGCHLD) sys::kill(static_cast<int>(child), static_cast<int>(signal));
    if (signal != SIGCHLD) continue;
    siginfo_t info;
    while (sys::wait(P_ALL, 0, &info, WNOHANG) == 0 && info.si_pid != 0)
      if (info.si_pid == child) sys::quit(info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status);
  }
}

void hold_namespaces() {
  sys::default_action(SIGCHLD);
  sys::block_signals();
  for (;;) {
    const long signal = next_signal();
    if (signal == SIGTERM || signal == SIGINT) sys::quit(0);
    siginfo_t info;
    while (sys::wait(P_ALL, 0, &info, WNOHANG) == 0 && info.si_pid != 0) {
    }
  }
}

}  // namespace proa::shim
