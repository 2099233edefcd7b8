// A process that joins what only its children can live in, then clones the wanted process as a child
// of ours (CLONE_PARENT) and is gone.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "kernel/process.h"
#include "oci/runtime/sync.h"

namespace proa::oci::runtime {

// Both are born in the unified cgroup whose folder `cgroup` is (-1: the caller's). `join_and_clone` runs in the
// intermediate process and ends with clone_process(... | CLONE_PARENT); `live` runs in the process so made and never
// returns. Neither outlives us while the other is set up.
template <typename JoinAndClone, typename Live>
Result<kernel::Child> clone_through_intermediate(int cgroup, JoinAndClone join_and_clone, Live live) {
  // Sockets of their own: on a shared one the new process could speak before its pid is known.
  auto [ours, theirs] = TRY(Sync::make_pair());
  kernel::Child middle = TRY(kernel::clone_process(0, cgroup));
  if (middle.pid == 0) {
    ours.close();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const Result<kernel::Child> made = join_and_clone();
    if (made && made->pid == 0) {
      theirs.close();
      live();
    }
    if (made)
      (void)theirs.send('P', std::to_string(made->pid));
    else
      theirs.send_error(made.error());
    ::_exit(0);
  }
  theirs.close();
  auto told = ours.expect('P');
  (void)kernel::wait_child(middle.pid);
  if (!told) return std::unexpected(std::move(told).error());
  kernel::Child child;
  child.pid = static_cast<pid_t>(std::strtol(told->body.c_str(), nullptr, 10));
  child.pidfd = TRY(kernel::pidfd_open(child.pid));
  return child;
}

}  // namespace proa::oci::runtime
