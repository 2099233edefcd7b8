// ACPI 6.4 tables, built in code: RSDP, XSDT, FADT (hardware-reduced), MADT and a DSDT with what cannot be found by
// looking: virtio devices, serial port, keyboard controller, the generation id.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "vmm/boot/layout.h"

namespace proa::vmm {

struct AcpiVirtio {
  GuestAddress base = 0;
  uint32_t size = 0;
  unsigned line = 0;
};

struct AcpiPlan {
  unsigned vcpus = 1;
  std::vector<AcpiVirtio> virtio;
  bool serial = true;  // at 3f8h, line 4
  // The 16 bytes of the VM's generation id, and the line whose interrupt says that they changed; 0: none.
  GuestAddress generation = 0;
  unsigned event_line = 0;
};

// One table, complete with its checksum. `signature` of 4 characters.
struct AcpiTable {
  std::string signature, bytes;
};
// FADT, MADT and DSDT as they are for this plan; `dsdt` is where the last will be.
std::vector<AcpiTable> make_acpi(const AcpiPlan& plan, GuestAddress dsdt);

// Writes all between kAcpi and kAcpiEnd; where the RSDP is.
Result<GuestAddress> write_acpi(const AcpiPlan& plan, GuestMemory& memory);

}  // namespace proa::vmm
