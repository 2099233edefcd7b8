// Starting the runtime and the exit command, with what the caller's process had and the shim changed
// for itself: signal mask, working folder, out-of-memory score.
#pragma once

#include <cstdint>

#include "shim/text.h"

namespace proa::shim {

// The caller's process as the shim found it.
struct Origin {
  const char* const* env = nullptr;
  uint64_t signal_mask = 0;
  int folder = -1;            // where relative paths of the command line start
  Text<16> oom_score;         // empty if it was not changed
  unsigned preserve_fds = 0;  // descriptors from 3 on that the container is to have
};

// Makes the kernel spare the shim when memory is short, where that is allowed.
void protect_from_oom(Origin* origin);

struct Stdio {
  int in = -1, out = -1, err = -1;
};
// Forks and executes argv[0], searched in $PATH if it has no slash. If that fails the child says so on
// `stdio.err` and exits with 127. Answers the process id or a negative errno. `child`: has the id before the child
// runs, so that another thread which waits for children knows it.
long spawn(const Origin& origin, const char* const* argv, const Stdio& stdio, int* child = nullptr);
// Executes argv[0], searched in the $PATH of `env` if it has no slash. Comes back only with a negative errno.
long execute(const char* const* argv, const char* const* env);
// Becomes argv[0], without standard streams. Comes back only if that fails.
void become(const Origin& origin, const char* const* argv);

// Kills all child processes and waits for them: orphans of a runtime that failed.
void kill_children();

}  // namespace proa::shim
