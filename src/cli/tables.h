// The roots of the command table.
#pragma once

#include "cli/command.h"

namespace proa::cli {

// `proa`: everything.
extern const Command kProaRoot;
// `proa runtime`, and all there is when the program's name is proa-runtime: runc's command line.
extern const Command kRuntimeRoot;

// `proa network`.
extern const Command kNetworkRoot;

}  // namespace proa::cli
