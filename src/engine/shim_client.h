// Talking to proa-shim (docs/shim.md): starting one, its sockets, its state folder.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::engine {

struct ShimRequest {
  std::string id, bundle, state, runtime_root;
  std::string exec;       // the document of one more process in a container that runs; then no bundle
  int first_client = -1;  // a connected socket that has said its line, to be served first
  std::string log, log_format = "json-file";
  uint64_t log_max_size = 0, log_max_files = 1, log_buffer = 0;
  std::string log_attrs;                 // a JSON object; empty: none
  std::vector<std::string> log_rotated;  // run for each rotated file, if there are any
  std::vector<std::string> companion;    // to run as long as the container, if there are any
  bool terminal = false, in = false, in_once = false;
  std::vector<std::string> exit_command;  // an absolute program and its arguments
  int64_t timer_ms = 0;                   // 0: none
  std::vector<std::string> timer_command;
  // Detached mounts and where they are attached, for the container alone.
  std::vector<std::pair<int, std::string>> mounts;
};
struct ShimReport {
  int64_t pid = 0, shim = 0;
  std::string warning;
};
// Returns when the container is created. The shim and all it holds live in a mount namespace of their own, so that
// what is mounted for the container ends with it.
Result<ShimReport> start_shim(const ShimRequest& request);

// The program's own errors, which begin with `exec: "PROGRAM"`, as a caller's exit status wants them told apart: ENOENT
// and EACCES. From the shim they come as text.
Error program_error(Error error);

// A copy of what is mounted at `path` in the mount namespace of process `pid`, detached.
Result<Fd> mount_of_process(pid_t pid, const char* path);

struct ExitRecord {
  int64_t pid = 0, exit_code = 0;
  bool oom_killed = false;
  std::string finished_at;
};
Result<ExitRecord> parse_exit_record(std::string_view json);

enum class ShimPhase : uint8_t {
  kNone,    // no folder, or nothing in it
  kHeld,    // a shim lives
  kEnded,   // the record is there; the shim is gone or about to go
  kKilled,  // a shim was there, and left no record
};
ShimPhase shim_phase(const std::string& state);
Result<ExitRecord> read_exit(const std::string& state);
// Removes what an ended shim left.
Result<> clear_shim(const std::string& state);
// Waits until no shim holds the folder; false after `timeout_ms`.
bool await_shim_gone(const std::string& state, int timeout_ms);

// `line` as attach.sock takes it: "attach stdin stdout stderr exit".
Result<Fd> shim_attach(const std::string& state, const std::string& line);
// Reads the answer to that line on a connection that said it.
Result<> await_greeting(int socket);
// One command on ctl.sock; its one-line answer, an error if that is one.
// A connection that brings the exit record as a line when the container has ended: to be asked for before it may have.
Result<Fd> shim_wait(const std::string& state);
// What it brought; unset: nothing, the shim was killed.
std::optional<ExitRecord> awaited_record(const Fd& connection);
Result<std::string> shim_command(const std::string& state, const std::string& line);

// Runs `arguments` with our environment for a shim, in the background, as nobody's child.
Result<> start_detached(const std::vector<std::string>& arguments);
// ... as a child of ours, which is to be waited for.
Result<pid_t> start_child(const std::vector<std::string>& arguments);

// Gives the shim descriptors to hold open until its container has ended.
Result<> shim_hold(const std::string& state, const std::vector<Fd>& descriptors);

// Programs of ours: proa itself, and proa-shim beside it or in $PATH.
Result<std::string> own_program();
Result<std::string> shim_program();

}  // namespace proa::engine
