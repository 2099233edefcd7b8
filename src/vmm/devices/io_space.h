// Port and MMIO space: which device answers where.
//
// Threads: devices are added before the first vCPU runs; then any vCPU thread may come in, and each device guards
// itself.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "vmm/memory/guest_memory.h"

namespace proa::vmm {

// Devices on ports are read and written by bytes, as the ISA bus does it: a wider access is one for each byte.
class PortDevice {
 public:
  virtual ~PortDevice() = default;
  virtual uint8_t in(uint16_t port) = 0;
  virtual void out(uint16_t port, uint8_t value) = 0;
};

// `offset` is from where the device begins; size is 1, 2, 4 or 8, and lies within the device.
class MmioDevice {
 public:
  virtual ~MmioDevice() = default;
  virtual uint64_t read(uint64_t offset, unsigned size) = 0;
  virtual void write(uint64_t offset, unsigned size, uint64_t value) = 0;
};

class IoSpace {
 public:
  // The device is borrowed. Errors when the range is taken.
  Result<> add_ports(uint16_t first, unsigned count, PortDevice& device);
  Result<> add_mmio(GuestAddress base, uint64_t size, MmioDevice& device);

  // All ones where nobody answers.
  uint32_t port_in(uint16_t port, unsigned size) const;
  void port_out(uint16_t port, unsigned size, uint32_t value) const;
  uint64_t mmio_read(GuestAddress address, unsigned size) const;
  void mmio_write(GuestAddress address, unsigned size, uint64_t value) const;

 private:
  template <typename Device>
  struct Range {
    uint64_t first, last;
    Device* device;
  };
  template <typename Device>
  static Result<> add(std::vector<Range<Device>>& ranges, const Range<Device>& range, const char* space);
  template <typename Device>
  static const Range<Device>* find(const std::vector<Range<Device>>& ranges, uint64_t address);

  std::vector<Range<PortDevice>> ports_;
  std::vector<Range<MmioDevice>> mmio_;
};

}  // namespace proa::vmm
