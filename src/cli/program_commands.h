// The commands about the program itself.
#pragma once

#include <span>

#include "base/error.h"
#include "cli/command.h"
#include "cli/invocation.h"

namespace proa::cli {

Result<int> program_completion(const Invocation&);
Result<int> program_doctor(const Invocation&);
Result<int> program_help(const Invocation&);
Result<int> program_version(const Invocation&);

// `help` of any group of commands.
inline constexpr Argument kHelpArguments[] = {{"COMMAND", "the command to explain", false, true, Offer::kCommand}};
constexpr Command help_command(std::span<const Example> examples, std::span<const Flag> flags = {}) {
  return {.name = "help",
          .summary = "Explain a command",
          .description = "Without COMMAND lists all commands.",
          .flags = flags,
          .arguments = kHelpArguments,
          .examples = examples,
          .handler = program_help};
}

}  // namespace proa::cli
