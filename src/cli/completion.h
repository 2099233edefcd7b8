// Shell completion scripts, made from the command table. Each completes `proa` and `proa-runtime`.
#pragma once

#include <string>
#include <string_view>

namespace proa::cli {

// `shell` is bash, zsh or fish.
std::string completion_script(std::string_view shell);

}  // namespace proa::cli
