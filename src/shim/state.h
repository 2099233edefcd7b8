// The shim's state folder: how a caller finds a shim, and what it leaves when it ends.
//
//   shim.pid     "PID START\n" (START: field 22 of /proc/PID/stat), locked with flock(2) while it lives
//   pid          the container's process id, from a successful create on
//   attach.sock, ctl.sock    while it lives
//   exit         the exit record, from the container's end on; written durably
#pragma once

#include "shim/text.h"

namespace proa::shim {

inline constexpr const char* kAttachSocket = "attach.sock";
inline constexpr const char* kControlSocket = "ctl.sock";
inline constexpr const char* kConsoleSocket = "console.sock";
inline constexpr const char* kPidName = "pid";
inline constexpr const char* kShimPidName = "shim.pid";
inline constexpr const char* kExitName = "exit";

class StateDir {
 public:
  // Makes the folder if it is missing, takes the lock and makes the folder the current one.
  // Fails if a shim holds it, or one that has ended left anything in it.
  Result<> prepare(const char* path);
  // Writes this process's id and start time, for callers to find.
  Result<> write_shim_pid();
  // Takes away the sockets and the lock, and unless the container's end went unrecorded shim.pid.
  void retire(bool recorded);
  // Takes away everything, the folder too if prepare() made it.
  void discard();

  int fd() const { return dir_; }
  const Path& path() const { return path_; }  // absolute

 private:
  Path path_;
  int dir_ = -1, lock_ = -1;
  bool made_ = false;
};

// --cleanup: removes what a shim that has ended left. Fails if one still holds the folder.
Result<> clean_up(const char* state, const char* log);

// Replaces `name` in the folder `dir` so that readers find the old or the new text; `durable`: also
// after a crash of the machine.
Result<> write_file(int dir, const char* name, std::string_view text, bool durable);
// At most `size` - 1 bytes of a file, NUL-terminated; its size or a negative errno.
long read_file(int dir, const char* name, char* to, size_t size);

// `path` as seen from the current folder, made absolute.
Result<> make_absolute(const char* path, Path* to);
// Field 22 of /proc/PID/stat: clock ticks from boot to the process's start; 0 if it cannot be read.
uint64_t start_time(int pid);

}  // namespace proa::shim
