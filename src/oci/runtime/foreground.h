// A process that the caller waits for: signals go to it, its terminal is relayed, its status comes back.
#pragma once

#include "base/error.h"
#include "base/fd.h"
#include "kernel/process.h"

namespace proa::oci::runtime {

// Before the process is made: blocks the signals that will be passed on, so none is lost, and becomes
// the reaper of what the container leaves unless told otherwise.
class Foreground {
 public:
  static Result<Foreground> prepare(bool subreaper);
  // Blocks until `child` ends; its exit status as shells tell it. `terminal` may be invalid.
  Result<int> wait(const kernel::Child& child, Fd terminal);

 private:
  Fd signals_;
};

// Gives a container's terminal the size of ours, before its program asks for it.
void adopt_window_size(int master);

// The child's side: the signal mask as the caller had it.
void restore_signal_mask();

}  // namespace proa::oci::runtime
