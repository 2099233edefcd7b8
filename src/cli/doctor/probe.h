// What the checks share.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/doctor/doctor.h"

namespace proa::cli::doctor {

// Runs `attempt` in a child process, so that whatever it changes ends with it. Answers what it
// answers: 0 or an errno; ECHILD when a signal ended it.
int in_child(int (*attempt)());
// ... when we are not root, as root of a user namespace of its own.
int in_child_as_root(int (*attempt)());

// Small files of /proc and /sys, without the last newline; nothing when unreadable.
std::optional<std::string> read_small(const std::string& path);

// Appends a check by its errno: 0 is kOk with `good`; else `bad` and the errno's text, and as the fix
// `fix`, or `allow` when the errno says that this process may not.
struct Words {
  std::string_view good, bad, fix;
  std::string_view allow = "run as root, with all capabilities";
};
void add(std::vector<Check>& out, std::string_view area, std::string_view name, int error, bool needed,
         const Words& words);

bool is_root();

}  // namespace proa::cli::doctor
