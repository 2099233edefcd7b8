// A split virtqueue (virtio 1.2, 2.7), the device's side. The ring is in the guest's hands: every index, address and
// length is read once, into a local, and checked; whatever breaks the rules breaks the queue, never the monitor.
//
// Threads: under the device's lock.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/devices/state_stream.h"
#include "vmm/memory/guest_memory.h"

namespace proa::vmm::virtio {

struct Buffer {
  std::byte* host = nullptr;  // in guest memory, all of it
  uint32_t size = 0;
  GuestAddress address = 0;
};

// One request: what the driver lets the device read, then what it lets it write. Reused from request to request.
class Chain {
 public:
  uint16_t head = 0;
  std::vector<Buffer> readable, writable;
  uint64_t readable_bytes = 0, writable_bytes = 0;

  void clear() {
    readable.clear();
    writable.clear();
    readable_bytes = writable_bytes = 0;
  }
  // Copies from the readable part, from byte `at` on; how much there was.
  size_t read(uint64_t at, void* to, size_t size) const;
  // Copies to the writable part, from byte `at` on; how much fitted.
  size_t write(uint64_t at, const void* from, size_t size) const;
};

// Part [at, at + size) of buffers, as iovecs; fewer bytes if there are fewer.
std::vector<iovec> slice(std::span<const Buffer> buffers, uint64_t at, uint64_t size);

class Queue {
 public:
  static constexpr uint16_t kMaxSize = 1024;
  enum class Pop : uint8_t { kEmpty, kChain, kBroken };

  Queue(const GuestMemory& memory, uint16_t max_size) : memory_(&memory), max_size_(max_size), size_(max_size) {}

  // --- what the transport sets before ready
  uint16_t max_size() const { return max_size_; }
  void set_size(uint32_t size) { size_ = size <= max_size_ ? static_cast<uint16_t>(size) : 0; }
  uint16_t size() const { return size_; }
  GuestAddress descriptors = 0, driver_area = 0, device_area = 0;
  // False: sizes or addresses are impossible.
  bool enable(bool event_index);
  bool ready() const { return ready_; }
  bool broken() const { return broken_; }
  void reset();

  // The next request of the driver.
  Pop pop(Chain& chain);
  // Puts back what the last `count` pops took, which have not been pushed.
  void undo(uint16_t count = 1) { next_ = static_cast<uint16_t>(next_ - count); }
  // Gives a request back, of whose writable part `written` bytes are filled.
  void push(const Chain& chain, uint32_t written);
  // Some at once, seen by the driver together (mergeable network buffers).
  void push_all(std::span<const Chain> chains, std::span<const uint32_t> written);
  // Whether the driver wants to be interrupted for what was pushed since the last call.
  bool wants_interrupt();
  // Asks the driver for a notification of the next request, and looks once more: true when there is one already.
  bool rearm();
  // Asks for one when the driver offers more than it has so far; how far that is.
  uint16_t rearm_at_end();
  uint16_t driver_index() const { return ready_ && !broken_ ? load_driver_index() : 0; }
  // No notifications until rearm().
  void suppress();

  void transfer(StateStream& s, bool event_index);

 private:
  struct Descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
  };
  bool map();
  uint16_t load_driver_index() const;
  void ask(uint16_t index);
  bool add(Chain& chain, const Descriptor& descriptor);
  bool walk(Chain& chain, const std::byte* table, uint32_t table_size, uint16_t first, unsigned& budget, bool nested);
  void write_used(uint16_t slot, const Chain& chain, uint32_t written);
  Pop fail() {
    broken_ = true;
    return Pop::kBroken;
  }
  std::atomic_ref<uint16_t> driver16(size_t offset) const;
  std::atomic_ref<uint16_t> device16(size_t offset) const;

  const GuestMemory* memory_;
  uint16_t max_size_, size_;
  bool ready_ = false, broken_ = false, event_index_ = false;
  std::byte* table_ = nullptr;
  std::byte* driver_ = nullptr;
  std::byte* device_ = nullptr;
  uint16_t next_ = 0;       // of the driver's ring
  uint16_t used_ = 0;       // of ours
  uint16_t signalled_ = 0;  // used_ when the driver was last told
  bool ever_signalled_ = false;
};

}  // namespace proa::vmm::virtio
