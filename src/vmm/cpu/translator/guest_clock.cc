#include "vmm/cpu/translator/guest_clock.h"

#include <cpuid.h>
#include <time.h>

namespace proa::vmm::translator {

namespace {

uint64_t monotonic() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t measure_khz() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_max(0x40000000, &b) >= 0x40000010) {
    __cpuid(0x40000010, a, b, c, d);
    if (a) return a;
  }
  if (__get_cpuid_max(0, nullptr) >= 0x15) {
    __cpuid(0x15, a, b, c, d);
    if (a && b && c) return static_cast<uint64_t>(c) * b / a / 1000;
  }
  const uint64_t from = monotonic(), tsc = __rdtsc();
  uint64_t now = from;
  while (now - from < 10'000'000) now = monotonic();
  return (__rdtsc() - tsc) * 1'000'000 / (now - from);
}

}  // namespace

uint64_t GuestClock::host_khz() {
  static const uint64_t measured = measure_khz();
  return measured;
}

GuestClock::GuestClock(uint64_t tsc_khz) : khz_(tsc_khz ? tsc_khz : host_khz()), host_khz_(host_khz()) {
  offset_ = -scaled();
  base_tsc_ = tsc();
}

uint64_t GuestClock::set_tsc(uint64_t value) {
  const uint64_t now = tsc(), apart = value > now ? value - now : now - value;
  if (!set_.exchange(true)) {
    const uint64_t nanoseconds_now = nanoseconds();
    offset_ += value - now;
    base_tsc_ = value, base_nanoseconds_ = nanoseconds_now;
    return 0;
  }
  return apart < khz_ * 1000 ? 0 : value - now;
}

void GuestClock::set_nanoseconds(uint64_t now) {
  base_tsc_ = tsc();
  base_nanoseconds_ = now;
}

GuestClock::TimeInfo GuestClock::time_info() const {
  TimeInfo info;
  info.version = 2;
  info.tsc_timestamp = tsc();
  info.system_time = base_nanoseconds_ + to_nanoseconds(info.tsc_timestamp - base_tsc_);
  // nanoseconds = (ticks << shift) * mul >> 32, with mul in the upper half of its range.
  unsigned __int128 frequency = static_cast<unsigned __int128>(khz_) * 1000;
  int shift = 0;
  while (frequency > 2'000'000'000) frequency >>= 1, --shift;
  while (frequency <= 1'000'000'000) frequency <<= 1, ++shift;
  info.tsc_shift = static_cast<int8_t>(shift);
  info.tsc_to_system_mul = static_cast<uint32_t>((static_cast<unsigned __int128>(1'000'000'000) << 32) / frequency);
  info.flags = 1;
  return info;
}

}  // namespace proa::vmm::translator
