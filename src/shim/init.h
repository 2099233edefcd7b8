// The small init of `--init`: first process of a container, in place of a program that was not made for that.
#pragma once

namespace proa::shim {

// Runs argv[0], passes signals on to it, reaps what is orphaned, and ends with its status.
[[noreturn]] void run_init(const char* const* argv, const char* const* env);

}  // namespace proa::shim
