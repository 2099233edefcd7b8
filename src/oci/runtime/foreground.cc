#include "oci/runtime/foreground.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/tty.h"

namespace proa::oci::runtime {
namespace {

sigset_t caller_mask;
bool mask_changed = false;

// What arrived is passed on; SIGCHLD and SIGWINCH are ours.
void pass_signal(int signals, const kernel::Child& child, kernel::TerminalRelay* relay) {
  signalfd_siginfo info{};
  if (::read(signals, &info, sizeof info) != sizeof info) return;
  const int number = static_cast<int>(info.ssi_signo);
  if (number == SIGWINCH && relay != nullptr) return relay->resize();
  if (number == SIGCHLD || number == SIGWINCH || number == SIGURG || number == SIGPIPE) return;
  (void)kernel::send_signal(child.pidfd.get(), number);
}

}  // namespace

Result<Foreground> Foreground::prepare(bool subreaper) {
  Foreground out;
  if (subreaper) ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t all;
  ::sigfillset(&all);
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGTTIN, SIGTTOU, SIGTSTP})
    ::sigdelset(&all, number);
  if (::sigprocmask(SIG_SETMASK, &all, &caller_mask) != 0) return fail_errno(errno, "block signals");
  mask_changed = true;
  out.signals_ = Fd(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!out.signals_) return fail_errno(errno, "watch signals");
  return out;
}

Result<int> Foreground::wait(const kernel::Child& child, Fd terminal) {
  if (terminal) {
    auto relay = TRY(kernel::TerminalRelay::start(std::move(terminal)));
    const int wake[] = {signals_.get(), child.pidfd.get()};
    while (TRY(relay.copy_until(wake)) == 0) pass_signal(signals_.get(), child, &relay);
    relay.finish();
    return kernel::wait_child(child.pid);
  }
  pollfd fds[] = {{signals_.get(), POLLIN, 0}, {child.pidfd.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return fail_errno(errno, "wait for the container");
    if (fds[0].revents != 0) pass_signal(signals_.get(), child, nullptr);
    if (fds[1].revents != 0) return kernel::wait_child(child.pid);
  }
}

void adopt_window_size(int master) {
  for (const int stream : {0, 1, 2}) {
    const auto size = kernel::window_size(stream);
    if (!size || size->rows == 0 || size->columns == 0) continue;
    (void)kernel::set_window_size(master, *size);
    return;
  }
}

void restore_signal_mask() {
  if (mask_changed) ::sigprocmask(SIG_SETMASK, &caller_mask, nullptr);
}

}  // namespace proa::oci::runtime
