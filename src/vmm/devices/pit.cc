#include "vmm/devices/pit.h"

namespace proa::vmm {

namespace {

constexpr uint16_t kFirstPort = 0x40, kCommandPort = 0x43, kSpeakerPort = 0x61;
using Ticks128 = unsigned __int128;

uint32_t from_bcd(uint32_t value) {
  return (value >> 12 & 15) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 + (value & 15);
}
uint16_t to_bcd(uint32_t value) {
  return static_cast<uint16_t>((value / 1000 % 10) << 12 | (value / 100 % 10) << 8 | (value / 10 % 10) << 4 |
                               value % 10);
}

}  // namespace

Result<std::unique_ptr<Pit>> Pit::create(Reactor& reactor, Line line, const Clock& clock) {
  std::unique_ptr<Pit> pit(new Pit(line, clock));
  pit->timer_ = TRY(ReactorTimer::create(reactor, [raw = pit.get()] { raw->expired(); }));
  return pit;
}

Result<> Pit::attach(IoSpace& space) {
  TRY(space.add_ports(kFirstPort, 4, *this));
  return space.add_ports(kSpeakerPort, 1, *this);
}

uint64_t Pit::now() const {
  if (paused_) return stopped_at_;
  const auto nanoseconds = static_cast<uint64_t>(clock_.monotonic().time_since_epoch().count());
  return static_cast<uint64_t>(static_cast<Ticks128>(nanoseconds) * kHz / 1'000'000'000) - offset_;
}

uint16_t Pit::count(const Channel& c) const {
  const uint64_t passed = now() - c.loaded_at;
  uint64_t left = 0;
  switch (c.mode) {
    case 2: left = c.reload - passed % c.reload; break;
    case 3: left = c.reload - (2 * passed) % c.reload; break;
    default: left = c.reload - passed;
  }
  return c.bcd ? to_bcd(static_cast<uint32_t>(left % 10000)) : static_cast<uint16_t>(left);
}

bool Pit::output(const Channel& c) const {
  const uint64_t passed = now() - c.loaded_at;
  switch (c.mode) {
    case 0:
    case 1: return passed >= c.reload;
    case 2: return passed % c.reload != c.reload - 1;
    case 3: return passed % c.reload < (c.reload + 1) / 2;
    default: return passed != c.reload;
  }
}

void Pit::latch(Channel& c) const {
  if (c.has_latch) return;
  c.latched = count(c);
  c.has_latch = true;
}

void Pit::latch_status(Channel& c) const {
  if (c.has_status) return;
  c.status = static_cast<uint8_t>((output(c) ? 0x80 : 0) | c.access << 4 | c.mode << 1 | (c.bcd ? 1 : 0));
  c.has_status = true;
}

void Pit::command(uint8_t value) {
  const unsigned index = value >> 6;
  if (index == 3) {  // read-back
    for (unsigned i = 0; i < 3; ++i) {
      if ((value >> (i + 1) & 1) == 0) continue;
      if ((value & 0x20) == 0) latch(channels_[i]);
      if ((value & 0x10) == 0) latch_status(channels_[i]);
    }
    return;
  }
  Channel& c = channels_[index];
  const uint8_t access = value >> 4 & 3;
  if (access == 0) return latch(c);
  c.access = access;
  c.mode = value >> 1 & 7;
  if (c.mode > 5) c.mode -= 4;
  c.bcd = (value & 1) != 0;
  c.has_latch = c.has_status = c.second_read = c.second_write = c.armed = false;
  if (index == 0) schedule();
}

uint8_t Pit::read(Channel& c) const {
  if (c.has_status) {
    c.has_status = false;
    return c.status;
  }
  const uint16_t value = c.has_latch ? c.latched : count(c);
  const bool high = c.access == 2 || (c.access == 3 && c.second_read);
  if (c.access == 3) c.second_read = !c.second_read;
  if (!c.second_read) c.has_latch = false;
  return static_cast<uint8_t>(high ? value >> 8 : value);
}

void Pit::write(unsigned index, uint8_t value) {
  Channel& c = channels_[index];
  if (c.access == 1) return load(index, value);
  if (c.access == 2) return load(index, static_cast<uint32_t>(value) << 8);
  c.second_write = !c.second_write;
  if (c.second_write)
    c.low = value;
  else
    load(index, static_cast<uint32_t>(value) << 8 | c.low);
}

void Pit::load(unsigned index, uint32_t value) {
  Channel& c = channels_[index];
  const uint32_t most = c.bcd ? 10000 : 0x10000;
  if (c.bcd) value = from_bcd(value);
  c.reload = value == 0 ? most : value;
  c.loaded_at = now();
  c.armed = true;
  if (index == 0) schedule();
}

void Pit::set_gate(Channel& c, bool gate) {
  if (gate && !c.gate && c.mode != 0 && c.mode != 4) c.loaded_at = now();
  c.gate = gate;
}

// Channel 0's next rising edge of the output.
void Pit::schedule() {
  const Channel& c = channels_[0];
  timer_->disarm();
  if (!c.armed || paused_) return;
  const uint64_t passed = now() - c.loaded_at;
  const bool periodic = c.mode == 2 || c.mode == 3;
  if (!periodic && passed >= c.reload) return;
  const uint64_t rounds = periodic ? passed / c.reload + 1 : 1;
  next_ = c.loaded_at + rounds * c.reload;
  const auto wait = static_cast<Ticks128>(next_ - now()) * 1'000'000'000 / kHz + 1;
  timer_->arm(std::chrono::nanoseconds(static_cast<int64_t>(wait)));
}

void Pit::expired() {
  bool pulse = false;
  {
    const std::lock_guard lock(mutex_);
    pulse = channels_[0].armed && !paused_ && now() >= next_;
    if (pulse && channels_[0].mode != 2 && channels_[0].mode != 3)
      channels_[0].armed = false;
    else
      schedule();
  }
  if (pulse) line_.pulse();
}

uint8_t Pit::in(uint16_t port) {
  const std::lock_guard lock(mutex_);
  if (port == kSpeakerPort) {
    const uint8_t refresh = (now() / 18 & 1) != 0 ? 0x10 : 0;  // toggles every 15 µs
    return static_cast<uint8_t>((port61_ & 3) | refresh | (output(channels_[2]) ? 0x20 : 0));
  }
  return port == kCommandPort ? 0xff : read(channels_[port - kFirstPort]);
}

void Pit::out(uint16_t port, uint8_t value) {
  const std::lock_guard lock(mutex_);
  if (port == kSpeakerPort) {
    port61_ = value & 3;
    set_gate(channels_[2], (value & 1) != 0);
  } else if (port == kCommandPort) {
    command(value);
  } else {
    write(port - kFirstPort, value);
  }
}

void Pit::reset() {
  const std::lock_guard lock(mutex_);
  channels_ = {};
  channels_[2].gate = false;
  port61_ = 0;
  timer_->disarm();
}

void Pit::pause() {
  const std::lock_guard lock(mutex_);
  if (paused_) return;
  stopped_at_ = now();
  paused_ = true;
  timer_->disarm();
}

void Pit::resume() {
  const std::lock_guard lock(mutex_);
  if (!paused_) return;
  paused_ = false;
  offset_ += now() - stopped_at_;
  schedule();
}

// While paused: times are relative to stopped_at_.
void Pit::transfer(StateStream& s) {
  const std::lock_guard lock(mutex_);
  s.section("pit", 1);
  for (Channel& c : channels_) {
    s.value(c.reload);
    uint64_t passed = now() - c.loaded_at;
    s.value(passed);
    if (!s.saving()) c.loaded_at = now() - passed;
    s.value(c.latched);
    for (uint8_t* byte : {&c.status, &c.mode, &c.access, &c.low}) s.value(*byte);
    for (bool* flag : {&c.bcd, &c.gate, &c.armed, &c.has_latch, &c.has_status, &c.second_read, &c.second_write})
      s.value(*flag);
    s.check(c.reload > 0 && c.reload <= 0x10000, "reload");
    s.check(c.mode <= 5 && c.access >= 1 && c.access <= 3, "mode");
    if (s.failed()) c = Channel();
  }
  s.value(port61_);
}

}  // namespace proa::vmm
