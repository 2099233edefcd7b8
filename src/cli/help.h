// Help, made from the command table.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/invocation.h"

namespace proa::cli {

// For a terminal, at most 100 columns wide. `path` leads from the program's root to the command.
std::string help_text(std::string_view program, const std::vector<const Command*>& path);
// Every command, as one Markdown document.
std::string help_markdown(std::string_view program, const Command& root);
// Follows command names from `root`; an error names the first that is not one.
Result<std::vector<const Command*>> find_command(std::string_view program, const Command& root,
                                                 const std::vector<std::string>& names);

}  // namespace proa::cli
