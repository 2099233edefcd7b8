// What a machine must have in common with another that has booted up to our init, to go on from there.
#pragma once

#include <string>

#include "vmm/api/microvm.h"

namespace proa::vmm {

// Lines of text: the program, the processor, the engine, kernel, initial RAM disk, modules and command line, the board,
// and the number of devices of each type. What the disks and interfaces are is not part of it, nor what the guest is
// told when it is up.
Result<std::string> template_kind(const VmConfig& config, const MicroVm::Options& options, const std::string& modules);

}  // namespace proa::vmm
