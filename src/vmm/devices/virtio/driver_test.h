// Plays the guest's driver directly on the transport and on guest memory: device tests and fuzz targets need no CPU.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "vmm/devices/virtio/device.h"

namespace proa::vmm::virtio {

class NoInterrupts : public InterruptSink {
 public:
  void deliver(const Msi&) override { ++delivered; }
  void set_extint(bool) override {}
  void routed(unsigned, const Msi*) override {}
  unsigned delivered = 0;
};

// Memory of 1 MiB; each queue has 64 KiB of its own from 64 KiB on, data has the upper half.
class TestDriver {
 public:
  static constexpr uint64_t kMemory = 1 << 20;
  static constexpr GuestAddress kQueues = 0x10000, kQueueStride = 0x10000, kData = 0x80000;
  static constexpr uint16_t kSize = 16;
  static constexpr uint16_t kWrite = 2, kNext = 1, kIndirect = 4;

  struct Part {
    GuestAddress address;
    uint32_t size;
    bool write;
  };

  explicit TestDriver(Device& device) : memory(make_memory()), reactor(Reactor::create().value()) {
    for (unsigned line = 0; line < kLines; ++line) {  // every line unmasked
      board.write(0, 4, 0x10 + 2 * line);
      board.write(0x10, 4, 0x20 + line);
    }
    transport = std::make_unique<Transport>(device, *memory, *reactor, Line{&board, 5});
    set_up();
  }

  void set_up(uint64_t features = ~0ULL) {
    write(0x70, 0);
    write(0x70, 1);
    write(0x70, 3);
    write(0x14, 0);
    uint64_t offered = read(0x10);
    write(0x14, 1);
    offered |= read(0x10) << 32;
    features &= offered;
    for (const unsigned half : {0u, 1u}) {
      write(0x24, half);
      write(0x20, static_cast<uint32_t>(features >> (32 * half)));
    }
    write(0x70, 11);
    used.assign(transport->queue_count(), 0);
    available.assign(transport->queue_count(), 0);
    for (unsigned i = 0; i < transport->queue_count(); ++i) {
      const GuestAddress base = kQueues + i * kQueueStride;
      std::memset(memory->at(base, kQueueStride), 0, kQueueStride);
      write(0x30, i);
      write(0x38, kSize);
      write(0x80, static_cast<uint32_t>(base));
      write(0x90, static_cast<uint32_t>(base + 0x1000));
      write(0xa0, static_cast<uint32_t>(base + 0x2000));
      write(0x44, 1);
    }
    write(0x70, 15);
  }

  uint64_t read(uint64_t offset) { return transport->read(offset, 4); }
  void write(uint64_t offset, uint32_t value) { transport->write(offset, 4, value); }
  bool needs_reset() { return (read(0x70) & 64) != 0; }

  void descriptor(unsigned queue, uint16_t index, GuestAddress address, uint32_t size, uint16_t flags, uint16_t next) {
    const GuestAddress at = kQueues + queue * kQueueStride + 16ULL * index;
    memory->store(at, address);
    memory->store(at + 8, size);
    memory->store(at + 12, flags);
    memory->store(at + 14, next);
  }
  // Puts a chain at descriptor `first` on, and makes it available.
  void offer(unsigned queue, const std::vector<Part>& parts, uint16_t first = 0) {
    for (size_t i = 0; i < parts.size(); ++i) {
      const bool last = i + 1 == parts.size();
      descriptor(queue, static_cast<uint16_t>(first + i), parts[i].address, parts[i].size,
                 static_cast<uint16_t>((parts[i].write ? kWrite : 0) | (last ? 0 : kNext)),
                 static_cast<uint16_t>(first + i + 1));
    }
    make_available(queue, first);
  }
  void make_available(unsigned queue, uint16_t head) {
    const GuestAddress ring = kQueues + queue * kQueueStride + 0x1000;
    memory->store(ring + 4 + 2ULL * (available[queue] % kSize), head);
    memory->store(ring + 2, ++available[queue]);
  }
  void notify(unsigned queue) { write(0x50, queue); }
  // The next request the device gave back: how much it wrote; -1: none.
  int64_t completed(unsigned queue) {
    const GuestAddress ring = kQueues + queue * kQueueStride + 0x2000;
    if (*memory->load<uint16_t>(ring + 2) == used[queue]) return -1;
    return *memory->load<uint32_t>(ring + 4 + 8ULL * (used[queue]++ % kSize) + 4);
  }
  // Waits for it.
  int64_t wait_completed(unsigned queue, int turns = 200) {
    for (int i = 0; i < turns; ++i) {
      if (const int64_t written = completed(queue); written >= 0) return written;
      reactor->turn(100);
    }
    return -1;
  }
  void put(GuestAddress at, std::string_view text) const { memory->write(at, text.data(), text.size()); }
  std::string get(GuestAddress at, size_t size) const {
    return {reinterpret_cast<const char*>(memory->at(at, size)), size};
  }

  std::unique_ptr<GuestMemory> memory;
  std::unique_ptr<Reactor> reactor;
  NoInterrupts sink;
  Interrupts board{sink};
  std::unique_ptr<Transport> transport;
  std::vector<uint16_t> used, available;

 private:
  static std::unique_ptr<GuestMemory> make_memory() {
    std::vector<SlotPlan> plans(1);
    plans[0].size = kMemory;
    return GuestMemory::create(std::move(plans)).value();
  }
};

}  // namespace proa::vmm::virtio
