#include "vmm/devices/interrupts.h"

namespace proa::vmm {

namespace {

constexpr uint16_t kPic1 = 0x20, kPic2 = 0xa0, kElcr1 = 0x4d0;
constexpr unsigned kCascade = 2;
constexpr uint8_t kIoapicVersion = 0x20;
// Lines 0 to 2, 8 and 13 are edges always.
constexpr uint8_t kElcrMask1 = 0xf8, kElcrMask2 = 0xde;
constexpr uint64_t kReadOnlyBits = 1u << 14 | 1u << 12;
constexpr uint64_t kEntryBits = 0xff0000000001ffff;

}  // namespace

Result<> Interrupts::attach(IoSpace& space) {
  for (const uint16_t base : {kPic1, kPic2, kElcr1}) TRY(space.add_ports(base, 2, ports_));
  return space.add_mmio(kIoapicBase, 0x1000, *this);
}

uint8_t Interrupts::Ports::in(uint16_t port) {
  const std::lock_guard lock(owner_.mutex_);
  if ((port & 0xfffe) == kElcr1) return owner_.pics_[port & 1].edge_level;
  const uint8_t value = owner_.pics_[port >= kPic2 ? 1 : 0].in(port & 1);
  owner_.update_pics();
  return value;
}

void Interrupts::Ports::out(uint16_t port, uint8_t value) {
  const std::lock_guard lock(owner_.mutex_);
  if ((port & 0xfffe) == kElcr1)
    owner_.pics_[port & 1].edge_level = value & ((port & 1) != 0 ? kElcrMask2 : kElcrMask1);
  else
    owner_.pics_[port >= kPic2 ? 1 : 0].out(port & 1, value);
  owner_.update_pics();
}

void Interrupts::set_line(unsigned line, bool level) {
  const std::lock_guard lock(mutex_);
  if (line < 16) {
    set_pic_line(line, level);
    update_pics();
  }
  set_ioapic_line(line == 0 ? 2 : line, level);
}

void Interrupts::set_pic_line(unsigned line, bool level) { pics_[line / 8].set_line(line % 8, level); }

// The second's output is a line of the first; the first's is INTR.
void Interrupts::update_pics() {
  pics_[0].set_line(kCascade, pics_[1].output());
  const bool out = pics_[0].output();
  if (out == extint_) return;
  extint_ = out;
  sink_.set_extint(out);
}

uint8_t Interrupts::acknowledge_extint() {
  const std::lock_guard lock(mutex_);
  const unsigned pin = pics_[0].acknowledge();
  uint8_t vector = static_cast<uint8_t>(pics_[0].vector_base() + pin);
  if (pin == kCascade) {
    vector = static_cast<uint8_t>(pics_[1].vector_base() + pics_[1].acknowledge());
    pics_[0].set_line(kCascade, false);
  }
  update_pics();
  return vector;
}

// SDM 3A, 10.11; 82093AA, 3.2.4. Lowest priority and logical destinations carry over.
Msi Interrupts::message(uint64_t entry) {
  const uint64_t destination = entry >> 56;
  const bool logical = (entry & 1u << 11) != 0;
  const auto delivery = static_cast<uint32_t>(entry >> 8 & 7);
  Msi msi;
  msi.address = 0xfee00000 | destination << 12 | (logical ? 1u << 2 : 0) | (delivery == 1 ? 1u << 3 : 0);
  msi.data = static_cast<uint32_t>(entry & 0xff) | delivery << 8 | 1u << 14 |
             ((entry & kLevel) != 0 ? static_cast<uint32_t>(kLevel) : 0);
  return msi;
}

void Interrupts::service(unsigned line) {
  uint64_t& entry = table_[line];
  if ((entry & kMasked) != 0) return;
  if ((entry & kLevel) != 0) {
    if ((entry & kRemoteIrr) != 0) return;
    entry |= kRemoteIrr;
  }
  sink_.deliver(message(entry));
}

void Interrupts::set_ioapic_line(unsigned line, bool level) {
  if (line >= kLines) return;
  const uint32_t bit = 1u << line;
  const bool active = level != ((table_[line] & kActiveLow) != 0);
  const bool was = (levels_ & bit) != 0;
  levels_ = active ? levels_ | bit : levels_ & ~bit;
  if (active && ((table_[line] & kLevel) != 0 || !was)) service(line);
}

void Interrupts::end_of_interrupt(uint8_t vector) {
  const std::lock_guard lock(mutex_);
  for (unsigned line = 0; line < kLines; ++line) {
    uint64_t& entry = table_[line];
    if ((entry & 0xff) != vector || (entry & kLevel) == 0 || (entry & kRemoteIrr) == 0) continue;
    entry &= ~kRemoteIrr;
    if ((levels_ >> line & 1) != 0) service(line);
  }
}

void Interrupts::route(unsigned line) {
  const uint64_t entry = table_[line];
  const Msi msi = message(entry);
  sink_.routed(line, (entry & kMasked) != 0 ? nullptr : &msi);
}

uint32_t Interrupts::read_register(uint8_t index) const {
  switch (index) {
    case 0:
    case 2: return id_;
    case 1: return kIoapicVersion | (kLines - 1) << 16;
    default: break;
  }
  const unsigned at = index - 0x10u;
  if (index < 0x10 || at / 2 >= kLines) return 0;
  return static_cast<uint32_t>(table_[at / 2] >> (at % 2 * 32));
}

void Interrupts::write_register(uint8_t index, uint32_t value) {
  if (index == 0) id_ = value & 0x0f000000;
  const unsigned at = index - 0x10u;
  if (index < 0x10 || at / 2 >= kLines) return;
  const unsigned line = at / 2;
  uint64_t& entry = table_[line];
  const uint64_t before = entry;
  const uint64_t mask = (at % 2 == 0 ? 0xffffffffULL : 0xffffffffULL << 32) & kEntryBits & ~kReadOnlyBits;
  const uint64_t half = at % 2 == 0 ? value : static_cast<uint64_t>(value) << 32;
  entry = (entry & ~mask) | (half & mask);
  if ((entry & kLevel) == 0) entry &= ~kRemoteIrr;
  if (entry != before) route(line);
  if ((entry & kLevel) != 0 && (levels_ >> line & 1) != 0) service(line);
}

uint64_t Interrupts::read(uint64_t offset, unsigned size) {
  const std::lock_guard lock(mutex_);
  if (size != 4) return 0;
  if (offset == 0) return select_;
  return offset == 0x10 ? read_register(select_) : 0;
}

void Interrupts::write(uint64_t offset, unsigned, uint64_t value) {
  if (offset == 0x40) return end_of_interrupt(static_cast<uint8_t>(value));  // EOI, from version 20h on
  const std::lock_guard lock(mutex_);
  if (offset == 0) select_ = static_cast<uint8_t>(value);
  if (offset == 0x10) write_register(select_, static_cast<uint32_t>(value));
}

void Interrupts::reset() {
  const std::lock_guard lock(mutex_);
  for (Pic& pic : pics_) pic.reset();
  extint_ = false;
  select_ = 0;
  id_ = 0;
  levels_ = 0;
  table_.fill(kMasked);
}

void Interrupts::transfer(StateStream& s) {
  const std::lock_guard lock(mutex_);
  s.section("interrupts", 1);
  for (Pic& pic : pics_) pic.transfer(s);
  s.value(select_);
  s.value(id_);
  s.value(levels_);
  for (uint64_t& entry : table_) {
    s.value(entry);
    s.check((entry & ~(kEntryBits | kReadOnlyBits)) == 0, "table");
  }
}

void Interrupts::announce() {
  const std::lock_guard lock(mutex_);
  for (unsigned line = 0; line < kLines; ++line)
    if ((table_[line] & kMasked) == 0) route(line);
  extint_ = pics_[0].output();
  sink_.set_extint(extint_);
}

}  // namespace proa::vmm
