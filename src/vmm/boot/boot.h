// From a kernel, a command line and an initial RAM disk to a machine whose first vCPU can start.
#pragma once

#include <string>
#include <vector>

#include "vmm/boot/acpi.h"
#include "vmm/boot/kernel.h"
#include "vmm/boot/layout.h"
#include "vmm/cpu/state.h"

namespace proa::vmm {

struct BootPlan {
  std::string kernel;        // path
  std::string initrd;        // path; "": none
  std::string initrd_extra;  // a cpio archive after it
  std::string command_line;
  KernelOptions options;
};

struct Booted {
  BootProtocol protocol = BootProtocol::kLinux64;
  CpuState state;  // of vCPU 0
};

// Puts everything into memory: the kernel, the RAM disk, ACPI's tables, what the protocol wants. Errors name the file.
Result<Booted> boot(const BootPlan& plan, const AcpiPlan& acpi, GuestMemory& memory);

}  // namespace proa::vmm
