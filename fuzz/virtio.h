// A hostile driver: the input is what it writes into the rings' memory and into the device's registers.
#pragma once

#include <cstring>

#include "fuzz.h"
#include "vmm/devices/virtio/driver_test.h"

// Reads numbers off the input; zeros after its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  template <typename T>
  T take() {
    T value{};
    const size_t part = std::min(size_, sizeof value);
    std::memcpy(&value, data_, part);
    data_ += part;
    size_ -= part;
    return value;
  }
  bool empty() const { return size_ == 0; }

 private:
  const uint8_t* data_;
  size_t size_;
};

// Plays the input on a device; afterwards a well-behaved driver must be able to set it up again.
inline void play(proa::vmm::virtio::TestDriver& driver, Input input) {
  using proa::vmm::virtio::TestDriver;
  for (int steps = 0; !input.empty() && steps < 200; ++steps) {
    const auto operation = input.take<uint8_t>();
    const unsigned queue = operation >> 5;
    switch (operation & 7) {
      case 0:  // a descriptor
      case 1: {
        const auto index = static_cast<uint16_t>(input.take<uint8_t>() % TestDriver::kSize);
        const auto address = input.take<uint8_t>() % 8 == 0 ? input.take<uint64_t>()
                                                            : TestDriver::kData + (input.take<uint16_t>() & 0xfff8);
        const auto size = input.take<uint16_t>();
        const auto flags = static_cast<uint16_t>(input.take<uint8_t>() & 7);
        const auto next = static_cast<uint16_t>(input.take<uint8_t>() & 31);
        driver.descriptor(queue % driver.transport->queue_count(), index, address, size, flags, next);
        break;
      }
      case 2:  // some data
      case 3: {
        const auto at = TestDriver::kData + input.take<uint16_t>() % 0x8000;
        for (unsigned i = 0; i < 6; ++i) driver.memory->store(at + 8 * i, input.take<uint64_t>());
        break;
      }
      case 4: driver.make_available(queue % driver.transport->queue_count(), input.take<uint8_t>() & 31); break;
      case 5: driver.notify(queue); break;
      case 6:  // any register
        driver.transport->write(input.take<uint8_t>() * 4ULL, 4, input.take<uint32_t>());
        break;
      default:
        static_cast<void>(driver.transport->read(input.take<uint16_t>() & 0x1ff, 1u << (queue & 3)));
        driver.reactor->turn(0);
    }
  }
  driver.set_up();
  FUZZ_CHECK(driver.read(0x70) == 15);
}
