// Epochs: lets readers walk a structure without locks while one writer changes it. What the writer takes out is
// freed once nobody who could have seen it still reads.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace proa::kube::store {

class Epochs {
 public:
  Epochs() = default;
  Epochs(const Epochs&) = delete;
  Epochs& operator=(const Epochs&) = delete;
  ~Epochs();

  // A reader's stay: short, never across a wait. Any thread.
  class [[nodiscard]] Guard {
   public:
    explicit Guard(const Epochs& epochs) : counter_(epochs.enter()) {}
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() { counter_.fetch_sub(1, std::memory_order_release); }

   private:
    std::atomic<uint32_t>& counter_;
  };

  // The writer's: `free(object)` is called when no reader that is inside now is left.
  void retire(void* object, void (*free)(void*));
  // Frees what can be freed. Never waits. Not within a change: the writer may still look at what it has retired.
  void reclaim();
  size_t retired() const { return retired_.size(); }

 private:
  static constexpr size_t kSlots = 32;  // shared by threads; more of them only spreads the counting
  struct alignas(64) Slot {
    mutable std::atomic<uint32_t> readers[2];
  };
  struct Retired {
    uint64_t epoch;
    void* object;
    void (*free)(void*);
  };
  std::atomic<uint32_t>& enter() const;
  void try_advance();

  std::atomic<uint64_t> epoch_ = 2;
  std::array<Slot, kSlots> slots_{};
  std::vector<Retired> retired_;
};

}  // namespace proa::kube::store
