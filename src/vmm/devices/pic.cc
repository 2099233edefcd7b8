// The 8259A interrupt controller (Intel 231468-003).
#include <bit>

#include "vmm/devices/interrupts.h"

namespace proa::vmm {

// The pin of highest priority among `bits`; priority falls from the one after lowest_.
int Pic::highest(uint8_t bits) const {
  if (bits == 0) return -1;
  const unsigned first = (lowest_ + 1u) & 7;
  return static_cast<int>((static_cast<unsigned>(std::countr_zero(std::rotr(bits, static_cast<int>(first)))) + first) &
                          7);
}

// The pin that would interrupt now, or -1.
int Pic::pending() const {
  const int pin = highest(request_ & static_cast<uint8_t>(~mask_));
  if (pin < 0) return -1;
  const uint8_t serving = special_mask_ ? service_ & static_cast<uint8_t>(~mask_) : service_;
  const int busy = highest(serving);
  if (busy < 0) return pin;
  const auto rank = [this](int p) { return (static_cast<unsigned>(p) - lowest_ - 1u) & 7; };
  if (rank(pin) < rank(busy)) return pin;
  return special_nested_ && pin == busy && (edge_level >> pin & 1) == 0 ? pin : -1;
}

void Pic::set_line(unsigned pin, bool level) {
  const auto bit = static_cast<uint8_t>(1u << pin);
  const bool was = (lines_ & bit) != 0;
  if ((edge_level & bit) != 0)
    request_ = static_cast<uint8_t>(level ? request_ | bit : request_ & ~bit);
  else if (level && !was)
    request_ |= bit;
  lines_ = static_cast<uint8_t>(level ? lines_ | bit : lines_ & ~bit);
}

unsigned Pic::acknowledge() {
  const int pin = pending();
  if (pin < 0) return 7;
  const auto bit = static_cast<uint8_t>(1u << pin);
  if ((edge_level & bit) == 0) request_ &= static_cast<uint8_t>(~bit);
  if (!auto_end_)
    service_ |= bit;
  else if (rotate_)
    lowest_ = static_cast<uint8_t>(pin);
  return static_cast<unsigned>(pin);
}

uint8_t Pic::in(unsigned port) {
  if (poll_) {
    poll_ = false;
    const bool some = output();
    const unsigned pin = acknowledge();
    return some ? static_cast<uint8_t>(0x80 | pin) : 0;
  }
  if (port == 1) return mask_;
  return read_service_ ? service_ : request_;
}

// OCW2: the ways to end an interrupt and to rotate priorities.
void Pic::end(uint8_t value) {
  const uint8_t pin = value & 7;
  const bool specific = (value & 0x40) != 0;
  const bool rotate = (value & 0x80) != 0;
  if ((value & 0x20) == 0) {
    if (specific && rotate)
      lowest_ = pin;
    else if (!specific)
      rotate_ = rotate;
    return;
  }
  const int ended = specific ? pin : highest(service_);
  if (ended < 0) return;
  service_ &= static_cast<uint8_t>(~(1u << ended));
  if (rotate) lowest_ = static_cast<uint8_t>(ended);
}

void Pic::initialise(uint8_t value) {
  request_ = service_ = mask_ = 0;
  lowest_ = 7;
  needs_icw4_ = (value & 1) != 0;
  auto_end_ = rotate_ = read_service_ = special_mask_ = special_nested_ = poll_ = false;
  step_ = 2;
}

void Pic::out(unsigned port, uint8_t value) {
  if (port == 0) {
    if ((value & 0x10) != 0) return initialise(value);
    if ((value & 0x08) == 0) return end(value);
    if ((value & 0x04) != 0) poll_ = true;
    if ((value & 0x02) != 0) read_service_ = (value & 1) != 0;
    if ((value & 0x40) != 0) special_mask_ = (value & 0x20) != 0;
    return;
  }
  switch (step_) {
    case 2:
      base_ = value & 0xf8;
      step_ = 3;
      break;
    case 3: step_ = needs_icw4_ ? 4 : 0; break;
    case 4:
      auto_end_ = (value & 2) != 0;
      special_nested_ = (value & 0x10) != 0;
      step_ = 0;
      break;
    default: mask_ = value;
  }
}

void Pic::reset() { *this = Pic(); }

void Pic::transfer(StateStream& s) {
  for (uint8_t* byte : {&request_, &service_, &mask_, &lines_, &base_, &lowest_, &step_, &edge_level}) s.value(*byte);
  for (bool* flag : {&needs_icw4_, &auto_end_, &rotate_, &read_service_, &special_mask_, &poll_, &special_nested_})
    s.value(*flag);
  s.check(lowest_ < 8 && step_ <= 4, "pic");
}

}  // namespace proa::vmm
