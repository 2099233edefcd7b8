// proa-shim's command line.
#pragma once

#include <cstdint>
#include <string_view>

#include "shim/record.h"
#include "shim/text.h"

namespace proa::shim {

inline constexpr unsigned kMaxRuntimeArgs = 64, kMaxCommandArgs = 15;

// A command, word by word; ends with a null pointer.
struct CommandArgs {
  const char* words[kMaxCommandArgs + 1] = {};
  unsigned count = 0;
};

// All pointers go into argv.
struct Options {
  enum class Action { monitor, cleanup, help, version };

  Action action = Action::monitor;
  const char* runtime = nullptr;
  const char* root = nullptr;
  const char* bundle = nullptr;
  const char* exec = nullptr;  // the process for a container that is there; null: make one
  const char* id = nullptr;
  const char* state = nullptr;
  const char* pid_file = nullptr;
  const char* log = nullptr;
  LogFormat log_format = LogFormat::json_file;
  uint64_t log_max_size = 0;
  unsigned log_max_files = 1;
  uint64_t log_buffer = 0;  // bytes; 0: the container waits for the log's disk
  bool terminal = false, first_client = false, in = false, in_once = false, systemd_cgroup = false;
  int sync_fd = -1;
  unsigned preserve_fds = 0;
  const char* runtime_args[kMaxRuntimeArgs];
  unsigned runtime_arg_count = 0;
  const char* log_attrs = nullptr;  // a JSON object that goes into each record; null: none
  CommandArgs log_rotated;          // gets the rotated file's name as one more word
  uint64_t timer = 0;               // milliseconds; 0: none
  CommandArgs timer_args, companion;
  const char* const* exit_command = nullptr;  // ends with a null pointer
};

// Fills `to`; a failure names the flag. `argv` ends with a null pointer, as main's does.
// `to` is filled as far as it was read, so that a failure can be told on the sync descriptor.
Result<> parse_options(const char* const* argv, Options* to);

// "10m": a number of bytes with an optional k, m or g (powers of 1024).
bool parse_size(std::string_view text, uint64_t* to);

std::string_view help_text();

}  // namespace proa::shim
