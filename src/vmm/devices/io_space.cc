#include "vmm/devices/io_space.h"

#include <algorithm>

namespace proa::vmm {

template <typename Device>
Result<> IoSpace::add(std::vector<Range<Device>>& ranges, const Range<Device>& range, const char* space) {
  const auto after = std::ranges::lower_bound(ranges, range.first, {}, &Range<Device>::last);
  if (after != ranges.end() && after->first <= range.last)
    return fail(space, " ", range.first, " to ", range.last, " are taken");
  ranges.insert(after, range);
  return {};
}

template <typename Device>
const IoSpace::Range<Device>* IoSpace::find(const std::vector<Range<Device>>& ranges, uint64_t address) {
  const auto at = std::ranges::lower_bound(ranges, address, {}, &Range<Device>::last);
  return at != ranges.end() && at->first <= address ? &*at : nullptr;
}

Result<> IoSpace::add_ports(uint16_t first, unsigned count, PortDevice& device) {
  if (count == 0 || first + count > 0x10000) return fail("ports: ", count, " from ", first, " do not exist");
  return add(ports_, {first, first + count - 1ULL, &device}, "ports");
}

Result<> IoSpace::add_mmio(GuestAddress base, uint64_t size, MmioDevice& device) {
  if (size == 0 || base + size < base) return fail("MMIO: ", size, " bytes from ", base, " do not exist");
  return add(mmio_, {base, base + size - 1, &device}, "addresses");
}

uint32_t IoSpace::port_in(uint16_t port, unsigned size) const {
  uint32_t value = 0;
  for (unsigned i = 0; i < size; ++i) {
    const auto at = static_cast<uint16_t>(port + i);
    const auto* range = find(ports_, at);
    value |= static_cast<uint32_t>(range != nullptr ? range->device->in(at) : 0xff) << (8 * i);
  }
  return value;
}

void IoSpace::port_out(uint16_t port, unsigned size, uint32_t value) const {
  for (unsigned i = 0; i < size; ++i) {
    const auto at = static_cast<uint16_t>(port + i);
    if (const auto* range = find(ports_, at); range != nullptr)
      range->device->out(at, static_cast<uint8_t>(value >> (8 * i)));
  }
}

uint64_t IoSpace::mmio_read(GuestAddress address, unsigned size) const {
  const auto* range = find(mmio_, address);
  if (range == nullptr || size - 1 > range->last - address) return ~0ULL >> (64 - 8 * size);
  return range->device->read(address - range->first, size);
}

void IoSpace::mmio_write(GuestAddress address, unsigned size, uint64_t value) const {
  const auto* range = find(mmio_, address);
  if (range != nullptr && size - 1 <= range->last - address) range->device->write(address - range->first, size, value);
}

}  // namespace proa::vmm
