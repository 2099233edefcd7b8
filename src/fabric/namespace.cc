#include "fabric/namespace.h"

#include <fcntl.h>
#include <sched.h>

#include <cstdlib>

#include "kernel/file.h"
#include "kernel/process.h"

namespace proa::fabric {

Result<Visit> Visit::enter(int netns_fd) {
  Fd home = TRY(kernel::open("/proc/thread-self/ns/net", O_RDONLY));
  TRY_CTX(kernel::join_namespaces(netns_fd, CLONE_NEWNET), "enter the network namespace");
  return Visit(std::move(home));
}

Visit::~Visit() {
  if (home_ && !kernel::join_namespaces(home_.get(), CLONE_NEWNET)) std::abort();
}

}  // namespace proa::fabric
