// The commands about the program itself.
#pragma once

#include "base/error.h"
#include "cli/invocation.h"

namespace proa::cli {

Result<int> program_completion(const Invocation&);
Result<int> program_doctor(const Invocation&);
Result<int> program_help(const Invocation&);
Result<int> program_version(const Invocation&);

}  // namespace proa::cli
