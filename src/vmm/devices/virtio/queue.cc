#include "vmm/devices/virtio/queue.h"

#include <algorithm>
#include <bit>

namespace proa::vmm::virtio {

namespace {

constexpr uint16_t kNext = 1, kWrite = 2, kIndirect = 4;  // descriptor flags
constexpr uint16_t kNoInterrupt = 1, kNoNotify = 1;       // ring flags
constexpr size_t kIndex = 2, kRing = 4;                   // offsets in both areas
constexpr size_t kDescriptorSize = 16, kUsedSize = 8;
// Longer chains than any driver makes.
constexpr unsigned kMaxBuffers = 1024 + 2;

// The driver's memory may change at any time: one load for each half, and no second look.
uint64_t load_once(std::byte* at) {
  return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(at)).load(std::memory_order_relaxed);
}

template <typename Act>
size_t each_part(std::span<const Buffer> buffers, uint64_t at, size_t size, Act act) {
  size_t done = 0;
  for (const Buffer& buffer : buffers) {
    if (done == size) break;
    if (at >= buffer.size) {
      at -= buffer.size;
      continue;
    }
    const size_t part = std::min<size_t>(size - done, buffer.size - at);
    act(buffer.host + at, done, part);
    done += part;
    at = 0;
  }
  return done;
}

}  // namespace

size_t Chain::read(uint64_t at, void* to, size_t size) const {
  return each_part(readable, at, size, [&](const std::byte* from, size_t offset, size_t part) {
    std::memcpy(static_cast<std::byte*>(to) + offset, from, part);
  });
}

size_t Chain::write(uint64_t at, const void* from, size_t size) const {
  return each_part(writable, at, size, [&](std::byte* to, size_t offset, size_t part) {
    std::memcpy(to, static_cast<const std::byte*>(from) + offset, part);
  });
}

std::vector<iovec> slice(std::span<const Buffer> buffers, uint64_t at, uint64_t size) {
  std::vector<iovec> parts;
  parts.reserve(buffers.size());
  each_part(buffers, at, size, [&](std::byte* host, size_t, size_t part) { parts.push_back({host, part}); });
  return parts;
}

std::atomic_ref<uint16_t> Queue::driver16(size_t offset) const {
  return std::atomic_ref<uint16_t>(*reinterpret_cast<uint16_t*>(driver_ + offset));
}
std::atomic_ref<uint16_t> Queue::device16(size_t offset) const {
  return std::atomic_ref<uint16_t>(*reinterpret_cast<uint16_t*>(device_ + offset));
}

// Alignment is the specification's (2.7); it makes the atomic accesses whole.
bool Queue::map() {
  if (size_ == 0 || size_ > kMaxSize || !std::has_single_bit(size_)) return false;
  if (descriptors % 16 != 0 || driver_area % 2 != 0 || device_area % 4 != 0) return false;
  table_ = memory_->at(descriptors, kDescriptorSize * size_);
  driver_ = memory_->at(driver_area, kRing + 2ULL * size_ + 2);
  const Slot* slot = memory_->find(device_area, kRing + kUsedSize * size_ + 2);
  device_ = slot != nullptr && !slot->read_only ? slot->host + (device_area - slot->base) : nullptr;
  return table_ != nullptr && driver_ != nullptr && device_ != nullptr;
}

bool Queue::enable(bool event_index) {
  event_index_ = event_index;
  if (!map()) return false;
  ready_ = true;
  next_ = used_ = signalled_ = 0;
  ever_signalled_ = false;
  return true;
}

void Queue::reset() { *this = Queue(*memory_, max_size_); }

bool Queue::add(Chain& chain, const Descriptor& d) {
  const bool write = (d.flags & kWrite) != 0;
  if (!write && !chain.writable.empty()) return false;  // readable ones come first (2.7.4.2)
  if (d.length == 0) return true;
  const Slot* slot = memory_->find(d.address, d.length);
  if (slot == nullptr || (write && slot->read_only)) return false;
  (write ? chain.writable : chain.readable).push_back({slot->host + (d.address - slot->base), d.length, d.address});
  (write ? chain.writable_bytes : chain.readable_bytes) += d.length;
  return true;
}

bool Queue::walk(Chain& chain, const std::byte* table, uint32_t table_size, uint16_t first, unsigned& budget,
                 bool nested) {
  for (uint32_t at = first;;) {
    if (at >= table_size || budget-- == 0) return false;
    auto* place = const_cast<std::byte*>(table) + at * kDescriptorSize;
    const uint64_t rest = load_once(place + 8);
    const Descriptor d{load_once(place), static_cast<uint32_t>(rest), static_cast<uint16_t>(rest >> 32),
                       static_cast<uint16_t>(rest >> 48)};
    if ((d.flags & kIndirect) != 0) {
      // No table within a table, and none with a next (2.7.5.3.1).
      if (nested || (d.flags & kNext) != 0 || d.length % kDescriptorSize != 0 || d.length == 0) return false;
      const std::byte* inner = memory_->at(d.address, d.length);
      if (inner == nullptr || d.address % 8 != 0) return false;
      return walk(chain, inner, d.length / kDescriptorSize, 0, budget, true);
    }
    if (!add(chain, d)) return false;
    if ((d.flags & kNext) == 0) return true;
    at = d.next;
  }
}

Queue::Pop Queue::pop(Chain& chain) {
  if (!ready_ || broken_) return Pop::kBroken;
  const uint16_t filled = driver16(kIndex).load(std::memory_order_acquire);
  if (filled == next_) return Pop::kEmpty;
  if (static_cast<uint16_t>(filled - next_) > size_) return fail();
  chain.clear();
  chain.head = driver16(kRing + 2 * (next_ % size_)).load(std::memory_order_relaxed);
  unsigned budget = kMaxBuffers;
  if (!walk(chain, table_, size_, chain.head, budget, false)) return fail();
  ++next_;
  return Pop::kChain;
}

void Queue::write_used(uint16_t slot, const Chain& chain, uint32_t written) {
  const uint64_t entry = chain.head | static_cast<uint64_t>(written) << 32;
  const size_t at = kRing + kUsedSize * (slot % size_);
  std::memcpy(device_ + at, &entry, sizeof entry);
  memory_->note_write(device_area + at, sizeof entry);
  uint64_t left = written;
  for (const Buffer& buffer : chain.writable) {
    if (left == 0) break;
    const uint64_t part = std::min<uint64_t>(left, buffer.size);
    memory_->note_write(buffer.address, part);
    left -= part;
  }
}

void Queue::push(const Chain& chain, uint32_t written) { push_all({&chain, 1}, {&written, 1}); }

void Queue::push_all(std::span<const Chain> chains, std::span<const uint32_t> written) {
  if (!ready_ || broken_) return;
  for (size_t i = 0; i < chains.size(); ++i) write_used(static_cast<uint16_t>(used_ + i), chains[i], written[i]);
  used_ = static_cast<uint16_t>(used_ + chains.size());
  device16(kIndex).store(used_, std::memory_order_release);
  memory_->note_write(device_area, kRing);
}

bool Queue::wants_interrupt() {
  if (!ready_ || broken_) return false;
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the index before the driver's wish
  if (!event_index_) return (driver16(0).load(std::memory_order_relaxed) & kNoInterrupt) == 0;
  const uint16_t event = driver16(kRing + 2 * size_).load(std::memory_order_relaxed);
  const uint16_t before = std::exchange(signalled_, used_);
  const bool first = !std::exchange(ever_signalled_, true);
  // Whether the event lies in what was pushed since (2.7.7.2).
  return first || static_cast<uint16_t>(used_ - event - 1) < static_cast<uint16_t>(used_ - before);
}

bool Queue::rearm() {
  if (!ready_ || broken_) return false;
  ask(next_);
  return load_driver_index() != next_;
}

uint16_t Queue::rearm_at_end() {
  if (!ready_ || broken_) return 0;
  const uint16_t index = load_driver_index();
  ask(index);
  return index;
}

uint16_t Queue::load_driver_index() const { return driver16(kIndex).load(std::memory_order_acquire); }

// For a notification once the driver's index passes `index`.
void Queue::ask(uint16_t index) {
  if (event_index_) {
    const size_t at = kRing + kUsedSize * size_;
    device16(at).store(index, std::memory_order_relaxed);
    memory_->note_write(device_area + at, 2);
  } else {
    device16(0).store(0, std::memory_order_relaxed);
    memory_->note_write(device_area, 2);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Queue::suppress() {
  if (!ready_ || broken_ || event_index_) return;
  device16(0).store(kNoNotify, std::memory_order_relaxed);
  memory_->note_write(device_area, 2);
}

void Queue::transfer(StateStream& s, bool event_index) {
  s.value(size_);
  s.value(descriptors);
  s.value(driver_area);
  s.value(device_area);
  for (bool* flag : {&ready_, &broken_, &ever_signalled_}) s.value(*flag);
  for (uint16_t* index : {&next_, &used_, &signalled_}) s.value(*index);
  event_index_ = event_index;
  s.check(size_ <= max_size_, "queue.size");
  if (!s.saving() && ready_ && !s.failed()) s.check(map(), "queue.addresses");
  if (s.failed()) ready_ = false;
}

}  // namespace proa::vmm::virtio
