// The guest's physical memory: memfd-backed slots at guest-physical addresses, shared by the CPU engine (which maps
// or translates them) and the devices (which go through the checked calls below).
//
// All addresses and lengths that come from the guest go through at()/read()/write(), which refuse what is not wholly
// inside one slot. Memory changes under the reader: a value that is checked must be read once, into a local.
//
// Every page has a byte of marks. kDirty is set by each writer that is not the CPU (the engine keeps its own log of
// the CPU's writes) while tracking is on. kCode says that the translator holds code made from the page: a device that
// writes there tells `on_code_write`, so that stale translations go.
//
// Threads: slots are fixed before the first vCPU runs; everything after that may be called from any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::vmm {

using GuestAddress = uint64_t;  // guest-physical, bytes

inline constexpr uint64_t kPageSize = 4096;
inline constexpr unsigned kPageShift = 12;

// What a slot is made from.
struct SlotPlan {
  GuestAddress base = 0;  // page-aligned, as size
  uint64_t size = 0;      // bytes
  bool read_only = false;
  // A snapshot's memory file, mapped privately from `file_offset`; without one a fresh memfd, shared.
  std::optional<Fd> file;
  uint64_t file_offset = 0;
};

struct Slot {
  GuestAddress base = 0;
  uint64_t size = 0;
  std::byte* host = nullptr;
  int fd = -1;  // borrowed; the memfd or the snapshot's file
  uint64_t fd_offset = 0;
  bool read_only = false;
  bool is_private = false;  // what is written is not in the file
  bool contains(GuestAddress address, uint64_t length) const {
    return address >= base && length <= size && address - base <= size - length;
  }
};

enum PageMark : uint8_t { kDirty = 1, kCode = 2 };

class GuestMemory {
 public:
  // Slots must not overlap. Pages come from the kernel as they are first touched.
  static Result<std::unique_ptr<GuestMemory>> create(std::vector<SlotPlan> plans);
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;
  ~GuestMemory();

  std::span<const Slot> slots() const { return slots_; }  // by address
  uint64_t size() const;                                  // of all slots together

  // The slot that holds all of [address, address + length); null when there is none.
  const Slot* find(GuestAddress address, uint64_t length = 1) const;
  // Where it is in this process; null when it is not wholly in one slot. For reading: writers use write() or, after
  // having written through a pointer, note_write().
  std::byte* at(GuestAddress address, uint64_t length) const {
    const Slot* slot = find(address, length);
    return slot ? slot->host + (address - slot->base) : nullptr;
  }

  // False: not wholly in one slot (or, for write, read-only).
  bool read(GuestAddress address, void* to, uint64_t length) const;
  bool write(GuestAddress address, const void* from, uint64_t length) const;
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  std::optional<T> load(GuestAddress address) const {
    T value;
    if (!read(address, &value, sizeof value)) return std::nullopt;
    return value;
  }
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  bool store(GuestAddress address, const T& value) const {
    return write(address, &value, sizeof value);
  }
  // Memory that was written through a pointer from at(): marks it dirty and tells of code that was overwritten.
  void note_write(GuestAddress address, uint64_t length) const;

  // --- marks, one byte a page; `page` counts from the slot's base
  std::atomic<uint8_t>& mark(const Slot& slot, uint64_t page) const;
  void track_dirty(bool on);  // clears all kDirty
  bool tracks_dirty() const { return track_.load(std::memory_order_relaxed); }
  // Page addresses marked dirty since the last call, which clears them.
  std::vector<GuestAddress> take_dirty();

  // Set by the translator before the first vCPU runs: pages with kCode that a device wrote to.
  std::function<void(GuestAddress page)> on_code_write;

 private:
  GuestMemory() = default;
  std::vector<Slot> slots_;
  struct Backing;
  std::vector<Backing> backings_;
  std::atomic<bool> track_ = false;
};

}  // namespace proa::vmm
