// Pulling for commands that need an image: run and create.
#pragma once

#include <string>

#include "base/error.h"

namespace proa::cli {

// Docker's lines go to stderr, none when `quiet`. No thread is left when it returns.
Result<> pull_for_run(const std::string& image, const std::string& platform, const std::string& store, bool quiet);

}  // namespace proa::cli
