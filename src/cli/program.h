// The program after main(): chooses its role by its name, parses, runs, reports.
#pragma once

#include <span>

namespace proa::cli {

// The program's exit status.
int run_program(std::span<char*> words);

}  // namespace proa::cli
