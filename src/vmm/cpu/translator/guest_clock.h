// Time as the guest sees it: its time-stamp counter and the nanoseconds of KVM's paravirtual clock.
#pragma once

#include <x86intrin.h>

#include <atomic>
#include <cstdint>

namespace proa::vmm::translator {

class GuestClock {
 public:
  explicit GuestClock(uint64_t tsc_khz);  // 0: the host's

  uint64_t khz() const { return khz_; }
  static uint64_t host_khz();
  uint64_t tsc() const { return scaled() + offset_.load(std::memory_order_relaxed); }
  // All vCPUs share one counter: the first setting stands, later ones within a second of it are the same moment.
  // Returns what to add to tsc() for this vCPU.
  uint64_t set_tsc(uint64_t value);
  bool plain() const { return khz_ == host_khz_; }
  uint64_t offset() const { return offset_.load(std::memory_order_relaxed); }

  uint64_t nanoseconds() const { return base_nanoseconds_ + to_nanoseconds(tsc() - base_tsc_); }
  void set_nanoseconds(uint64_t now);
  uint64_t to_nanoseconds(uint64_t ticks) const {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(ticks) * 1'000'000 / khz_);
  }

  // The page that KVM's clock shows (Linux's pvclock ABI).
  struct [[gnu::packed]] TimeInfo {
    uint32_t version = 0, pad0 = 0;
    uint64_t tsc_timestamp = 0, system_time = 0;
    uint32_t tsc_to_system_mul = 0;
    int8_t tsc_shift = 0;
    uint8_t flags = 0, pad[2] = {};
  };
  TimeInfo time_info() const;

 private:
  uint64_t scaled() const {
    const uint64_t host = __rdtsc();
    return plain() ? host : static_cast<uint64_t>(static_cast<unsigned __int128>(host) * khz_ / host_khz_);
  }
  uint64_t khz_, host_khz_;
  std::atomic<uint64_t> offset_ = 0;
  std::atomic<bool> set_ = false;
  uint64_t base_tsc_ = 0, base_nanoseconds_ = 0;
};

}  // namespace proa::vmm::translator
