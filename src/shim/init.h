// What the program is as first process of a container: the small init of `--init`, in place of a program that was not
// made for that, or the holder of a sandbox.
#pragma once

namespace proa::shim {

// Runs argv[0], passes signals on to it, reaps what is orphaned, and ends with its status.
[[noreturn]] void run_init(const char* const* argv, const char* const* env);

// Holds the namespaces of a sandbox: sleeps, reaps what is orphaned to it, and ends when asked to.
[[noreturn]] void hold_namespaces();

}  // namespace proa::shim
