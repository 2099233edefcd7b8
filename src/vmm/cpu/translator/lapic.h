// A local APIC (SDM 3A, chapter 10): xAPIC registers in memory, x2APIC registers as MSRs, timer, interprocessor
// interrupts. Runs on its vCPU's thread; accept() and kin may be called from any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>

#include "vmm/cpu/state.h"
#include "vmm/cpu/translator/fault.h"

namespace proa::vmm::translator {

enum class Delivery : uint8_t { kFixed, kLowest, kSmi, kReserved, kNmi, kInit, kStartup, kExtInt };

// An interrupt on its way to local APICs.
struct Message {
  uint32_t destination = 0;
  bool logical = false, level = false, assert_level = true;
  Delivery delivery = Delivery::kFixed;
  uint8_t vector = 0;
  uint8_t shorthand = 0;  // 0 none, 1 self, 2 all, 3 all but self
};

class Lapic {
 public:
  struct Outside {
    std::function<void(const Message&)> send;
    std::function<void(uint8_t vector)> end_of_interrupt;  // of a level-triggered one
    std::function<void(uint8_t)> wake;                     // something may be deliverable; a non-zero value: NMI
    std::function<uint64_t()> tsc;
    std::function<void(uint64_t)> arm;  // look at the timer again at this TSC; 0: never
  };
  Lapic(unsigned id, uint64_t tsc_khz, Outside outside);

  uint32_t read(uint32_t offset);  // xAPIC
  void write(uint32_t offset, uint32_t value);
  Guest<uint64_t> read_msr(uint32_t number);
  Guest<> write_msr(uint32_t number, uint64_t value);
  uint64_t base() const { return base_ & ~0xfffULL; }
  bool memory_mapped() const { return (base_ & 0xc00) == 0x800; }

  // From any thread.
  void accept(uint8_t vector, bool level);
  bool matches(const Message& message) const;
  unsigned id() const { return id_; }
  uint8_t priority() const { return static_cast<uint8_t>(processor_priority()); }
  bool enabled() const { return spurious_.load(std::memory_order_relaxed) & 0x100; }
  bool accepts_extint() const;

  // The interrupt to deliver now, which becomes in service; none when nothing is above the priority.
  std::optional<uint8_t> acknowledge();
  bool deliverable() const { return pending_vector() >= 0; }
  bool any_request() const;
  // Raises the timer's interrupt when it is due.
  void tick();
  uint8_t cr8() const { return static_cast<uint8_t>(tpr_ >> 4); }
  void set_cr8(uint8_t value) { tpr_ = static_cast<uint32_t>(value) << 4, outside_.wake(0); }

  void reset(bool keep_base);
  void save(CpuState& state);
  void restore(const CpuState& state);

 private:
  enum TimerMode : uint8_t { kOneShot, kPeriodic, kDeadline };
  int pending_vector() const;
  int highest(const std::array<std::atomic<uint32_t>, 8>& bits) const;
  uint32_t processor_priority() const;
  void end_of_interrupt();
  void command(uint64_t value);
  uint32_t ldr() const;
  TimerMode timer_mode() const { return static_cast<TimerMode>(lvt_timer_ >> 17 & 3); }
  uint64_t timer_ticks_to_tsc(uint64_t ticks) const;
  uint64_t current_count() const;
  void start_timer();

  unsigned id_;
  uint64_t tsc_khz_;
  Outside outside_;
  uint64_t base_ = 0;
  std::array<std::atomic<uint32_t>, 8> irr_{}, tmr_{}, isr_{};
  uint32_t tpr_ = 0, dfr_ = 0xffffffff, esr_ = 0;
  std::atomic<uint32_t> ldr_ = 0, spurious_ = 0xff;
  std::atomic<bool> x2_ = false;
  uint64_t icr_ = 0;
  uint32_t lvt_timer_ = 0x10000, initial_count_ = 0, divide_ = 0;
  std::atomic<uint32_t> lvt_lint0_ = 0x10000;
  std::array<uint32_t, 5> lvt_other_{};  // thermal, performance, LINT1, error, CMCI
  uint64_t deadline_ = 0;                // in TSC; 0: not armed
};

}  // namespace proa::vmm::translator
