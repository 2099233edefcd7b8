// The commands of ctl.sock, one a line (docs/shim.md, "ctl.sock").
#pragma once

#include <cstdint>
#include <string_view>

#include "shim/text.h"

namespace proa::shim {

struct Command {
  enum class Kind { hold, resize, close_stdin, reopen_logs, signal, status, timer, wait };
  Kind kind;
  uint16_t rows = 0, columns = 0;
  int signal = 0;
  uint64_t milliseconds = 0;  // timer
};
Result<Command> parse_command(std::string_view line);

}  // namespace proa::shim
