#include "vmm/devices/serial.h"

namespace proa::vmm {

namespace {

constexpr uint8_t kReceived = 1, kSent = 2, kLineStatus = 4;           // IER
constexpr uint8_t kDlab = 0x80;                                        // LCR
constexpr uint8_t kOut2 = 8, kLoop = 0x10;                             // MCR
constexpr uint8_t kDataReady = 1, kOverrun = 2, kEmpty = 0x20 | 0x40;  // LSR
constexpr uint8_t kFifoOn = 1, kClearReceived = 2;                     // FCR

}  // namespace

// By priority (PC16550D, table IV); 1 is none.
uint8_t Serial::identification() const {
  if ((enable_ & kLineStatus) != 0 && overrun_) return 6;
  if ((enable_ & kReceived) != 0 && !received_.empty()) return 4;
  if ((enable_ & kSent) != 0 && sent_) return 2;
  return 1;
}

void Serial::update() {
  const bool raise = identification() != 1 && (modem_ & (kOut2 | kLoop)) == kOut2;
  if (raise == raised_) return;
  raised_ = raise;
  line_.set(raise);
}

void Serial::receive(uint8_t value) {
  if (received_.size() >= kFifo)
    overrun_ = true;
  else
    received_.push_back(value);
}

size_t Serial::input(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if ((modem_ & kLoop) != 0) return 0;
  const size_t taken = std::min(text.size(), kFifo - received_.size());
  received_.insert(received_.end(), text.begin(), text.begin() + static_cast<std::ptrdiff_t>(taken));
  update();
  return taken;
}

void Serial::transmit(uint8_t value) {
  if ((modem_ & kLoop) != 0)
    receive(value);
  else
    output_(static_cast<char>(value));
  sent_ = true;
}

// In loop-back the outputs come back as inputs; else the other end is there and ready.
uint8_t Serial::modem_status() const {
  if ((modem_ & kLoop) == 0) return 0xb0;
  return static_cast<uint8_t>((modem_ & 0x0c) << 4 | (modem_ & 0x02) << 3 | (modem_ & 0x01) << 5);
}

uint8_t Serial::in(uint16_t port) {
  bool emptied = false;
  uint8_t value = 0;
  {
    const std::lock_guard lock(mutex_);
    switch (port - base_) {
      case 0:
        if ((control_ & kDlab) != 0) {
          value = static_cast<uint8_t>(divisor_);
        } else if (!received_.empty()) {
          value = received_.front();
          received_.pop_front();
          emptied = received_.empty();
        }
        break;
      case 1: value = (control_ & kDlab) != 0 ? static_cast<uint8_t>(divisor_ >> 8) : enable_; break;
      case 2:
        value = static_cast<uint8_t>(identification() | ((fifo_ & kFifoOn) != 0 ? 0xc0 : 0));
        if ((value & 0x0f) == 2) sent_ = false;
        break;
      case 3: value = control_; break;
      case 4: value = modem_; break;
      case 5:
        value = static_cast<uint8_t>(kEmpty | (overrun_ ? kOverrun : 0) | (received_.empty() ? 0 : kDataReady));
        overrun_ = false;
        break;
      case 6: value = modem_status(); break;
      default: value = scratch_;
    }
    update();
  }
  if (emptied && on_room) on_room();
  return value;
}

void Serial::out(uint16_t port, uint8_t value) {
  const std::lock_guard lock(mutex_);
  switch (port - base_) {
    case 0:
      if ((control_ & kDlab) != 0)
        divisor_ = static_cast<uint16_t>((divisor_ & 0xff00) | value);
      else
        transmit(value);
      break;
    case 1:
      if ((control_ & kDlab) != 0) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0xff) | value << 8);
      } else {
        if ((value & kSent) != 0 && (enable_ & kSent) == 0) sent_ = true;
        enable_ = value & 0x0f;
      }
      break;
    case 2:
      fifo_ = value & kFifoOn;
      if ((value & kClearReceived) != 0) received_.clear();
      break;
    case 3: control_ = value; break;
    case 4: modem_ = value & 0x1f; break;
    case 7: scratch_ = value; break;
    default: break;
  }
  update();
}

void Serial::reset() {
  const std::lock_guard lock(mutex_);
  received_.clear();
  divisor_ = 12;
  enable_ = modem_ = scratch_ = fifo_ = 0;
  control_ = 3;
  sent_ = overrun_ = false;
  update();
}

void Serial::transfer(StateStream& s) {
  const std::lock_guard lock(mutex_);
  s.section("serial", 1);
  std::vector<uint8_t> received(received_.begin(), received_.end());
  s.list(received, kFifo);
  received_.assign(received.begin(), received.end());
  s.value(divisor_);
  for (uint8_t* byte : {&enable_, &control_, &modem_, &scratch_, &fifo_}) s.value(*byte);
  s.value(sent_);
  s.value(overrun_);
  s.value(raised_);
}

}  // namespace proa::vmm
