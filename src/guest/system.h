// The guest made ready for its workload: file systems, modules, network; and its end.
#pragma once

#include "shim/text.h"

namespace proa::guest {

using shim::Error;
using shim::Path;
using shim::Result;

// /proc, /sys, /dev and what belongs there. What cannot be mounted is left out.
void mount_kernel_files();
// Loads those that /proa/LIST names, in its order; failures go to the console.
void load_modules(const char* list);
// The clock and the random numbers' seed of the fields of kGo.
void renew(std::string_view fields);
// Everything that the fields of kGo ask for, in order: root, mounts, names, network.
Result<> set_up(std::string_view fields);
void make_folders(const char* path);  // mkdir -p, of those above it too
// Says it on the console.
void say(std::string_view text);
// Ends every process, writes out and unmounts file systems, and switches the machine off.
[[noreturn]] void power_off();
void disable_ctrl_alt_del();

}  // namespace proa::guest
