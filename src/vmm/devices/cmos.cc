// The MC146818 clock and its memory, as a PC's firmware leaves it.
#include "vmm/devices/board.h"

namespace proa::vmm {

namespace {

constexpr uint16_t kIndexPort = 0x70;
constexpr uint8_t kRegisterA = 10, kRegisterB = 11, kRegisterC = 12, kRegisterD = 13, kCentury = 0x32;
constexpr uint8_t kSet = 0x80, kBinary = 4, k24Hours = 2;

using Seconds = std::chrono::sys_seconds;

void store16(std::array<uint8_t, 128>& memory, size_t at, uint64_t value) {
  const auto kept = static_cast<uint16_t>(std::min<uint64_t>(value, 0xffff));
  memory[at] = static_cast<uint8_t>(kept);
  memory[at + 1] = static_cast<uint8_t>(kept >> 8);
}

}  // namespace

Cmos::Cmos(const Clock& clock, uint64_t memory_below_4g, uint64_t memory_above_4g) : clock_(clock) {
  memory_[kRegisterA] = 0x26;
  memory_[kRegisterB] = k24Hours;
  store16(memory_, 0x15, 640);
  const uint64_t extended = memory_below_4g > 1 << 20 ? memory_below_4g - (1 << 20) : 0;
  store16(memory_, 0x17, extended >> 10);
  store16(memory_, 0x30, extended >> 10);
  store16(memory_, 0x34, memory_below_4g > 16 << 20 ? (memory_below_4g - (16 << 20)) >> 16 : 0);
  store16(memory_, 0x5b, memory_above_4g >> 16);
  memory_[0x5d] = static_cast<uint8_t>(memory_above_4g >> 32);
}

Result<> Cmos::attach(IoSpace& space) { return space.add_ports(kIndexPort, 2, *this); }

uint8_t Cmos::encode(unsigned value) const {
  if ((memory_[kRegisterB] & kBinary) != 0) return static_cast<uint8_t>(value);
  return static_cast<uint8_t>(value / 10 << 4 | value % 10);
}
unsigned Cmos::decode(uint8_t value) const {
  return (memory_[kRegisterB] & kBinary) != 0 ? value : (value >> 4) * 10u + (value & 15u);
}

uint8_t Cmos::time_field(uint8_t index) const {
  const auto now = std::chrono::floor<std::chrono::seconds>(clock_.wall()) + std::chrono::seconds(offset_);
  const auto day = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(now - day);
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  switch (index) {
    case 0: return encode(static_cast<unsigned>(time.seconds().count()));
    case 2: return encode(static_cast<unsigned>(time.minutes().count()));
    case 4: {
      const auto hour = static_cast<unsigned>(time.hours().count());
      if ((memory_[kRegisterB] & k24Hours) != 0) return encode(hour);
      return static_cast<uint8_t>(encode((hour + 11) % 12 + 1) | (hour >= 12 ? 0x80 : 0));
    }
    case 6: return encode(std::chrono::weekday(day).c_encoding() + 1);
    case 7: return encode(static_cast<unsigned>(date.day()));
    case 8: return encode(static_cast<unsigned>(date.month()));
    case 9: return encode(year % 100);
    default: return encode(year / 100);
  }
}

namespace {
constexpr bool is_time(uint8_t index) {
  return index == 0 || index == 2 || index == 4 || (index >= 6 && index <= 9) || index == kCentury;
}
}  // namespace

// While SET stands, the fields are memory.
void Cmos::keep_time() {
  for (uint8_t index = 0; index <= kCentury; ++index)
    if (is_time(index)) memory_[index] = time_field(index);
}

void Cmos::set_time() {
  unsigned hour = decode(memory_[4] & 0x7f);
  if ((memory_[kRegisterB] & k24Hours) == 0) hour = hour % 12 + ((memory_[4] & 0x80) != 0 ? 12 : 0);
  const std::chrono::year_month_day date(
      std::chrono::year(static_cast<int>(decode(memory_[kCentury]) * 100 + decode(memory_[9]))),
      std::chrono::month(decode(memory_[8])), std::chrono::day(decode(memory_[7])));
  if (!date.ok() || hour > 23) return;
  const Seconds wanted = std::chrono::sys_days(date) + std::chrono::hours(hour) +
                         std::chrono::minutes(decode(memory_[2])) + std::chrono::seconds(decode(memory_[0]));
  offset_ = (wanted - std::chrono::floor<std::chrono::seconds>(clock_.wall())).count();
}

uint8_t Cmos::in(uint16_t port) {
  const std::lock_guard lock(mutex_);
  if (port == kIndexPort) return 0xff;
  if (is_time(index_) && (memory_[kRegisterB] & kSet) == 0) return time_field(index_);
  if (index_ == kRegisterC) return 0;
  return index_ == kRegisterD ? 0x80 : memory_[index_];
}

void Cmos::out(uint16_t port, uint8_t value) {
  const std::lock_guard lock(mutex_);
  if (port == kIndexPort) {
    index_ = value & 0x7f;
    return;
  }
  if (index_ == kRegisterB) {
    const bool was = (memory_[kRegisterB] & kSet) != 0;
    const bool is = (value & kSet) != 0;
    if (is && !was) keep_time();
    memory_[kRegisterB] = value;
    if (was && !is) set_time();
  } else if (is_time(index_)) {
    if ((memory_[kRegisterB] & kSet) == 0) keep_time();
    memory_[index_] = value;
    if ((memory_[kRegisterB] & kSet) == 0) set_time();
  } else if (index_ != kRegisterC && index_ != kRegisterD) {
    memory_[index_] = index_ == kRegisterA ? value & 0x7f : value;
  }
}

void Cmos::transfer(StateStream& s) {
  const std::lock_guard lock(mutex_);
  s.section("cmos", 1);
  s.value(memory_);
  s.value(index_);
  s.value(offset_);
  s.check(index_ < 128, "index");
  s.check(offset_ > -(1LL << 40) && offset_ < 1LL << 40, "offset");
  if (!s.failed()) return;
  index_ = 0;
  offset_ = 0;
}

}  // namespace proa::vmm
