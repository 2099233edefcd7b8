// Sending a container's log to where its driver says: what the process `proa __logs ID` does.
//
// The shim writes the log as ever; this reads it, sends it, and remembers how far (position.h). Each line arrives at
// least once, however often it is killed: who comes after it goes on where it was. It ends once the run it was
// started for has ended and all is sent, or some tries later; and when the container is removed.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "logs/forward/sender.h"

namespace proa::logs {

struct ForwardJob {
  std::string folder, path;  // the log's folder, and the log
  std::string driver;
  StringMap options;
  Subject subject;
  std::string shim;   // its folder, where the first process's number is
  bool last = false;  // as if SIGTERM had come already
  // A connection that ends with the run; asked for once it is this process's turn. None: the run has ended.
  std::function<Fd()> run;
};

// SIGTERM: one more try. One process at a time sends a log; others wait for it.
Result<> forward(const ForwardJob& job);

// Whether the receiver can be reached, for drivers that want to know before the container starts.
Result<> check_receiver(const std::string& driver, const StringMap& options);

// Has what was not sent yet sent, for a container that is to be removed. `begin` starts one more process for it, where
// there is none, and returns its id; a process that needs longer than `patience_ms` is killed.
void finish(const std::string& path, int patience_ms, const std::function<Result<pid_t>()>& begin);

}  // namespace proa::logs
