#include "kube/store/epoch.h"

#include <algorithm>

namespace proa::kube::store {

namespace {

size_t thread_number() {
  static std::atomic<size_t> next = 0;
  thread_local const size_t number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

}  // namespace

Epochs::~Epochs() {
  for (const Retired& entry : retired_) entry.free(entry.object);
}

// A reader counts in its epoch's half of a slot. The epoch moves on only when nobody is left of the one before, so
// that readers are of this epoch or the last.
std::atomic<uint32_t>& Epochs::enter() const {
  const Slot& slot = slots_[thread_number() % kSlots];
  for (;;) {
    const uint64_t epoch = epoch_.load(std::memory_order_seq_cst);
    std::atomic<uint32_t>& counter = slot.readers[epoch & 1];
    counter.fetch_add(1, std::memory_order_seq_cst);
    if (epoch_.load(std::memory_order_seq_cst) == epoch) return counter;
    counter.fetch_sub(1, std::memory_order_release);
  }
}

void Epochs::retire(void* object, void (*free)(void*)) {
  retired_.push_back({epoch_.load(std::memory_order_relaxed), object, free});
}

void Epochs::try_advance() {
  const uint64_t epoch = epoch_.load(std::memory_order_relaxed);
  for (const Slot& slot : slots_)
    if (slot.readers[(epoch + 1) & 1].load(std::memory_order_seq_cst) != 0) return;
  epoch_.store(epoch + 1, std::memory_order_seq_cst);
}

void Epochs::reclaim() {
  if (retired_.empty()) return;
  try_advance();
  try_advance();
  const uint64_t epoch = epoch_.load(std::memory_order_relaxed);
  const auto kept = std::ranges::find_if(retired_, [&](const Retired& entry) { return entry.epoch + 2 > epoch; });
  for (auto entry = retired_.begin(); entry != kept; ++entry) entry->free(entry->object);
  retired_.erase(retired_.begin(), kept);
}

}  // namespace proa::kube::store
