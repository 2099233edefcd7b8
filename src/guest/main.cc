// The guest's first process: makes the system ready, runs the workload, serves the host's sessions, and switches the
// machine off. It lives in the initial RAM disk that the monitor makes (vmm/host/guest_disk.h).
#include <errno.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#include "guest/program.h"
#include "guest/session.h"
#include "guest/system.h"
#include "guest/wire.h"
#include "shim/sys.h"

namespace proa::guest {
namespace {

namespace sys = shim::sys;

int vsock() { return static_cast<int>(sys::call(SYS_socket, AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

sockaddr_vm address(unsigned cid, unsigned port) {
  sockaddr_vm at = {};
  at.svm_family = AF_VSOCK;
  at.svm_cid = cid;
  at.svm_port = port;
  return at;
}

class Init {
 public:
  int run() {
    sys::block_signals();
    disable_ctrl_alt_del();
    mount_kernel_files();
    load_modules("/proa/early");
    if (!listen() || !call_host()) {
      say("cannot reach the host: the kernel has no virtio sockets, or its modules are missing");
      power_off();
    }
    signals_ = sys::signal_fd(SIGCHLD);
    // Ctrl-Alt-Del comes as SIGINT, a shutdown asked for as SIGPWR or SIGTERM.
    const uint64_t wanted = bit(SIGCHLD) | bit(SIGINT) | bit(SIGTERM) | bit(SIGPWR);
    sys::call(SYS_signalfd4, signals_, reinterpret_cast<long>(&wanted), sizeof wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    sys::pipe(finished_);
    for (;;) turn();
  }

 private:
  static uint64_t bit(int signal) { return uint64_t{1} << (signal - 1); }

  bool listen() {
    listener_ = vsock();
    const sockaddr_vm at = address(VMADDR_CID_ANY, kSessionPort);
    return listener_ >= 0 && sys::call(SYS_bind, listener_, reinterpret_cast<long>(&at), sizeof at) == 0 &&
           sys::call(SYS_listen, listener_, 64) == 0;
  }

  // After a snapshot's restoration the connection is gone, and there may be another host.
  bool call_host() {
    const sockaddr_vm at = address(VMADDR_CID_HOST, kControlPort);
    for (int tries = 0; tries < 100; ++tries) {
      control_ = vsock();
      if (control_ < 0) return false;
      if (sys::call(SYS_connect, control_, reinterpret_cast<long>(&at), sizeof at) == 0)
        return send_frame(control_, ready_ ? Kind::kUp : Kind::kReady) >= 0;
      sys::close(control_);
      control_ = -1;
      sys::poll(nullptr, 0, 50);
    }
    return false;
  }

  void turn() {
    pollfd events[] = {
        {signals_, POLLIN, 0}, {control_, POLLIN, 0}, {ready_ ? listener_ : -1, POLLIN, 0}, {finished_[0], POLLIN, 0}};
    if (sys::poll(events, 4, -1) < 0) return;
    uint32_t status = 0;
    if (events[3].revents != 0 && sys::read(finished_[0], &status, sizeof status) == sizeof status) finish(status);
    if (events[1].revents != 0) hear_host();
    if (events[2].revents != 0) accept();
    if (events[0].revents != 0) take_signals();
  }

  void hear_host() {
    if (!frames_.receive(control_)) {
      sys::close(control_);
      control_ = -1;
      if (!call_host()) say("the host does not answer");
      return;
    }
    if (frames_.kind() != Kind::kGo) return;
    if (ready_) return renew(frames_.payload());
    if (auto done = go(frames_.payload()); !done) {
      say(done.error().text.view());
      send_frame(control_, Kind::kFail, done.error().text.view());
      finish(126);
    }
    ready_ = true;
    send_frame(control_, Kind::kUp);
  }

  Result<> go(std::string_view fields) {
    if (auto done = set_up(fields); !done) return done;
    if (const std::string_view init = field(fields, "init"); !init.empty()) return hand_over(init.data());
    if (field(fields, "arg").empty()) return {};
    const int console = sys::open(AT_FDCWD, "/dev/console", O_RDWR | O_NOCTTY);
    const auto pid = start_program(fields, {.in = console, .out = console, .err = console, .terminal = true});
    sys::close(console);
    if (!pid) return std::unexpected(pid.error());
    workload_ = *pid;
    return {};
  }

  // The image's own init becomes the first process; this goes on as another.
  Result<> hand_over(const char* init) {
    if (const long error = sys::call(SYS_access, reinterpret_cast<long>(init), 1); error < 0)
      return shim::fail_with(error, init);
    const long child = sys::fork();
    if (child < 0) return shim::fail_with(child, "fork");
    if (child == 0) {
      sys::new_session();
      first_ = false;
      return {};
    }
    sys::set_signal_mask(0);
    const char* const argv[] = {init, nullptr};
    const char* const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "TERM=linux", nullptr};
    sys::exec(init, argv, env);
    say("the image's init cannot be executed");
    power_off();
  }

  void accept() {
    const int connection = sys::accept(listener_, 0);
    if (connection < 0) return;
    const long pid = sys::fork();
    if (pid == 0) {
      for (const int fd : {listener_, control_, signals_}) sys::close(fd);
      serve(connection, finished_[1]);
      sys::quit(0);
    }
    sys::close(connection);
  }

  void take_signals() {
    signalfd_siginfo info;
    while (sys::read(signals_, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGCHLD) continue;
      if (!first_) sys::quit(0);  // the image's own init switches off
      finish(128 + SIGTERM);
    }
    siginfo_t child;
    while (sys::wait(P_ALL, 0, &child, WNOHANG) == 0 && child.si_pid != 0)
      if (child.si_pid == workload_) finish(exit_status(child.si_code, child.si_status));
  }

  [[noreturn]] void finish(uint32_t status) {
    // Until the host has it, for a while.
    send_number(control_, Kind::kEnd, status);
    pollfd answer = {control_, POLLIN, 0};
    sys::poll(&answer, control_ >= 0 ? 1 : 0, control_ >= 0 ? 2000 : 0);
    power_off();
  }

  int listener_ = -1, control_ = -1, signals_ = -1;
  int finished_[2] = {-1, -1};  // a workload's status, from its session
  bool ready_ = false, first_ = true;
  long workload_ = -1;
  Receiver frames_{kMostFields};
};

}  // namespace
}  // namespace proa::guest

int main(int, char**, char**) {
  using namespace proa;
  if (shim::sys::process_id() != 1) {
    constexpr std::string_view kText =
        "proa-guest: is the first process of a virtual machine, and of no use elsewhere\n";
    shim::sys::write(2, kText.data(), kText.size());
    return 1;
  }
  static guest::Init init;
  return init.run();
}
