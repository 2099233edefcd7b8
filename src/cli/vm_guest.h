// What `proa vm` does inside a guest that has our init.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "cli/invocation.h"
#include "vmm/api/microvm.h"
#include "vmm/host/guest_session.h"

namespace proa::cli {

// A signalfd of those that are passed on to a program in a guest; they are blocked, in threads started later too.
Result<Fd> take_signals();

// arg, --env, --workdir, --user, --tty, --interactive; `skip`: arguments before the program.
vmm::GuestProgram guest_program(const Invocation& in, size_t skip);

// The fields of the guest's kGo: root, mounts, names, network; from --disk, --net, --hostname.
Result<std::string> guest_fields(const Invocation& in, const vmm::VmConfig& config, const std::string& machine);

// A machine's workload on this terminal: started when the guest is up, ended by signals before that.
class Foreground {
 public:
  // Before any thread starts.
  static Result<std::unique_ptr<Foreground>> create(vmm::GuestProgram program, std::string vsock);
  ~Foreground() { stop(); }
  void start(vmm::MicroVm& vm);
  void guest_up();
  // Before the machine goes.
  void stop();
  // After stop(): whether the guest was up, and why the workload could not run in it ("": it could).
  bool was_up() const { return was_up_; }
  const std::string& failure() const { return failure_; }

 private:
  Foreground() = default;
  void work(vmm::MicroVm& vm);

  vmm::GuestProgram program_;
  std::string vsock_, failure_;
  bool was_up_ = false;
  Fd signals_, up_, done_;
  std::thread thread_;
};

}  // namespace proa::cli
