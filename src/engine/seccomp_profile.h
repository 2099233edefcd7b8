// The default system call filter for a set of capabilities.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace proa::engine {

// "linux.seccomp" as JSON, made from data/seccomp.txt. `capabilities`: bit n = capability n.
Result<std::string> default_seccomp(uint64_t capabilities);

}  // namespace proa::engine
