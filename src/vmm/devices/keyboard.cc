#include "vmm/devices/board.h"

namespace proa::vmm {

namespace {

constexpr uint16_t kDataPort = 0x60, kStatusPort = 0x64;
constexpr uint8_t kOutputFull = 1, kSystem = 4;                         // status
constexpr uint8_t kInterrupt = 1, kDisabled = 0x10, kTranslate = 0x40;  // command byte
constexpr uint8_t kAck = 0xfa, kResend = 0xfe;
constexpr uint8_t kIdentity[] = {0xab, 0x83}, kTranslatedIdentity[] = {0xab, 0x41};
// Left Ctrl, left Alt, Delete: pressed, then released; scan code set 1, which translation yields, and set 2.
constexpr uint8_t kSet1[] = {0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d};
constexpr uint8_t kSet2[] = {0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0, 0x71, 0xf0, 0x11, 0xf0, 0x14};

}  // namespace

Result<> KeyboardController::attach(IoSpace& space) {
  TRY(space.add_ports(kDataPort, 1, *this));
  return space.add_ports(kStatusPort, 1, *this);
}

void KeyboardController::push(uint8_t value) {
  if (queue_.size() < kQueue) queue_.push_back(value);
}

// A byte in the output buffer is an edge on line 1.
void KeyboardController::update() {
  const bool full = !queue_.empty();
  if (full && !full_ && (mode_ & kInterrupt) != 0) line_.pulse();
  full_ = full;
}

void KeyboardController::ctrl_alt_del() {
  const std::lock_guard lock(mutex_);
  if (!scanning_ || (mode_ & kDisabled) != 0) return;
  if ((mode_ & kTranslate) != 0)
    for (const uint8_t code : kSet1) push(code);
  else
    for (const uint8_t code : kSet2) push(code);
  update();
}

uint8_t KeyboardController::in(uint16_t port) {
  const std::lock_guard lock(mutex_);
  if (port == kStatusPort) return static_cast<uint8_t>(kSystem | (queue_.empty() ? 0 : kOutputFull));
  if (queue_.empty()) return 0;
  const uint8_t value = queue_.front();
  queue_.pop_front();
  full_ = false;
  update();
  return value;
}

void KeyboardController::out(uint16_t port, uint8_t value) {
  if (port == kStatusPort && (value == 0xfe || ((value & 0xf0) == 0xf0 && (value & 1) == 0)))
    return power_(PowerEvent::kReset);  // pulse of the output line that resets
  const std::lock_guard lock(mutex_);
  if (port == kStatusPort)
    command(value);
  else
    data(value);
  update();
}

void KeyboardController::command(uint8_t value) {
  pending_ = 0;
  switch (value) {
    case 0x20: return push(mode_);
    case 0xa9:  // no mouse: its clock line is stuck
      return push(2);
    case 0xaa: return push(0x55);
    case 0xab: return push(0);
    case 0xad: mode_ |= kDisabled; return;
    case 0xae: mode_ &= static_cast<uint8_t>(~kDisabled); return;
    case 0xc0: return push(0x80);
    case 0xd0: return push(3);
    case 0x60:
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xd4: pending_ = value; return;
    default: return;
  }
}

void KeyboardController::data(uint8_t value) {
  switch (std::exchange(pending_, 0)) {
    case 0x60: mode_ = value; return;
    case 0xd1:
      if ((value & 1) == 0) power_(PowerEvent::kReset);
      return;
    case 0xd2: return push(value);
    case 0xd3:
    case 0xd4:  // the mouse that is not there does not answer
      return;
    default: return keyboard(value);
  }
}

void KeyboardController::keyboard(uint8_t value) {
  if (std::exchange(wants_data_, false)) return push(kAck);
  switch (value) {
    case 0xff:
      push(kAck);
      scanning_ = true;
      return push(0xaa);
    case 0xf2:
      push(kAck);
      for (const uint8_t byte : (mode_ & kTranslate) != 0 ? kTranslatedIdentity : kIdentity) push(byte);
      return;
    case 0xed:
    case 0xf0:
    case 0xf3: wants_data_ = true; return push(kAck);
    case 0xf4:
    case 0xf6: scanning_ = true; return push(kAck);
    case 0xf5: scanning_ = false; return push(kAck);
    case 0xee: return push(0xee);
    default: return push(value >= 0xed ? kAck : kResend);
  }
}

void KeyboardController::reset() {
  const std::lock_guard lock(mutex_);
  queue_.clear();
  mode_ = 0x41;
  pending_ = 0;
  wants_data_ = full_ = false;
  scanning_ = true;
}

void KeyboardController::transfer(StateStream& s) {
  const std::lock_guard lock(mutex_);
  s.section("keyboard", 1);
  std::vector<uint8_t> queue(queue_.begin(), queue_.end());
  s.list(queue, kQueue);
  queue_.assign(queue.begin(), queue.end());
  s.value(mode_);
  s.value(pending_);
  s.value(wants_data_);
  s.value(scanning_);
  s.value(full_);
}

}  // namespace proa::vmm
