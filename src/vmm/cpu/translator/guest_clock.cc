#include "vmm/cpu/translator/guest_clock.h"

#include <cpuid.h>
#include <time.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "kernel/boot_fact.h"

namespace proa::vmm::translator {

namespace {

uint64_t monotonic() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

struct Moment {
  uint64_t tsc, nanoseconds;
};

// Both clocks at once: of some readings the one with the least time between, as anything may come between.
Moment moment() {
  Moment best{};
  for (uint64_t least = ~0ULL, tries = 0; tries < 8; ++tries) {
    const uint64_t before = __rdtsc(), now = monotonic(), after = __rdtsc();
    if (after - before >= least) continue;
    least = after - before;
    best = {.tsc = before + least / 2, .nanoseconds = now};
  }
  return best;
}

uint64_t measure_khz() {
  const Moment from = moment();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const Moment to = moment();
  return (to.tsc - from.tsc) * 1'000'000 / (to.nanoseconds - from.nanoseconds);
}

// Where the processor does not tell, it is measured, once until the host boots again.
uint64_t find_khz() {
  constexpr std::string_view kFact = "tsc-khz";
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_max(0x40000000, &b) >= 0x40000010) {
    __cpuid(0x40000010, a, b, c, d);
    if (a) return a;
  }
  if (__get_cpuid_max(0, nullptr) >= 0x15) {
    __cpuid(0x15, a, b, c, d);
    if (a && b && c) return static_cast<uint64_t>(c) * b / a / 1000;
  }
  if (const auto known = parse_number<uint64_t>(kernel::recall_fact(kFact).value_or("")); known && *known != 0)
    return *known;
  const uint64_t measured = measure_khz();
  kernel::remember_fact(kFact, cat(measured));
  return measured;
}

}  // namespace

uint64_t GuestClock::host_khz() {
  static const uint64_t measured = find_khz();
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
