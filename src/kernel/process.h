// Processes: clone3, namespaces, pidfds, waiting, and the one spawner.
#pragma once

#include <linux/sched.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::kernel {

struct Child {
  pid_t pid = 0;  // 0 in the child itself
  Fd pidfd;       // in the parent
};
// fork() with clone3 flags (CLONE_NEW*, CLONE_PARENT). The caller must be single-threaded.
// SIGCHLD on exit. `cgroup`: a unified cgroup's folder to be born in (Linux 5.7), which, unlike entering
// it later, takes no lock that waits for every CPU; -1: the caller's.
Result<Child> clone_process(uint64_t flags, int cgroup = -1);

Result<> unshare(uint64_t flags);
// Joins the namespace(s) behind a namespace descriptor or a pidfd.
Result<> join_namespaces(int fd, uint64_t flags);
Result<Fd> pidfd_open(pid_t pid);
Result<> send_signal(int pidfd, int signal);
// Blocks until the process is gone; true at once when it already is. timeout_ms < 0: for ever.
Result<bool> wait_gone(int pidfd, int timeout_ms);

// Exit status of a child as shells tell it: the code, or 128 + signal.
Result<int> wait_child(pid_t pid);

// Field 22 of /proc/PID/stat: with the pid it names a process for as long as the machine runs.
// ESRCH when there is none; zombies and the dead count as none.
Result<uint64_t> process_start_time(pid_t pid);

// Absolute path of a program by $PATH, and where Debian keeps what is for root; nothing when there is none.
std::optional<std::string> find_program(std::string_view name);
// All of this process's environment variables.
std::vector<std::string> own_environment();

// Runs a program on the host: argv[0] is for the program, `path` is what is executed. No descriptor
// but 0, 1 and 2 is inherited; signals are reset.
struct Command {
  std::string path;
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string_view input;         // given on stdin
  std::optional<int> timeout_ms;  // SIGKILL after it
  std::string cwd;
  size_t output_limit = 64 * 1024;  // bytes kept of stdout and stderr together
  int program_fd = -1;              // executed instead of `path`, which then is only its name in errors
  int kept_fd = -1;                 // one more descriptor to inherit, under its number
};
struct CommandResult {
  int status = 0;  // as wait_child
  bool timed_out = false;
  std::string output;
};
// An error only when the program could not be started at all.
Result<CommandResult> run_command(const Command& command);

}  // namespace proa::kernel
