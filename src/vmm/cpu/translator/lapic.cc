#include "vmm/cpu/translator/lapic.h"

#include <algorithm>
#include <cstring>

namespace proa::vmm::translator {

namespace {

// Register offsets.
enum : uint32_t {
  kId = 0x20,
  kVersion = 0x30,
  kTpr = 0x80,
  kApr = 0x90,
  kPpr = 0xa0,
  kEoi = 0xb0,
  kLdr = 0xd0,
  kDfr = 0xe0,
  kSvr = 0xf0,
  kIsr = 0x100,
  kTmr = 0x180,
  kIrr = 0x200,
  kEsr = 0x280,
  kCmci = 0x2f0,
  kIcrLow = 0x300,
  kIcrHigh = 0x310,
  kLvtTimer = 0x320,
  kLvtThermal = 0x330,
  kLvtPerf = 0x340,
  kLvtLint0 = 0x350,
  kLvtLint1 = 0x360,
  kLvtError = 0x370,
  kInitialCount = 0x380,
  kCurrentCount = 0x390,
  kDivide = 0x3e0,
  kSelfIpi = 0x3f0
};
constexpr uint32_t kVersionValue = 0x50014;   // six LVT entries
constexpr uint64_t kTimerHz = 1'000'000'000;  // of the timer before division
constexpr uint32_t kMasked = 0x10000;
constexpr uint64_t kX2Enable = 0x400, kEnable = 0x800, kBsp = 0x100;

int lvt_index(uint32_t offset) {
  switch (offset) {
    case kLvtThermal: return 0;
    case kLvtPerf: return 1;
    case kLvtLint1: return 2;
    case kLvtError: return 3;
    case kCmci: return 4;
    default: return -1;
  }
}

// The registers that x2APIC mode has (SDM 3A, table 10-6).
bool in_x2apic(uint32_t offset) {
  if (offset >= kIsr && offset < kEsr) return true;
  switch (offset) {
    case kId:
    case kVersion:
    case kTpr:
    case kPpr:
    case kEoi:
    case kLdr:
    case kSvr:
    case kEsr:
    case kIcrLow:
    case kLvtTimer:
    case kLvtThermal:
    case kLvtPerf:
    case kLvtLint0:
    case kLvtLint1:
    case kLvtError:
    case kInitialCount:
    case kCurrentCount:
    case kDivide:
    case kSelfIpi: return true;
    default: return false;
  }
}

}  // namespace

Lapic::Lapic(unsigned id, uint64_t tsc_khz, Outside outside)
    : id_(id), tsc_khz_(tsc_khz), outside_(std::move(outside)) {
  reset(false);
}

void Lapic::reset(bool keep_base) {
  for (auto* bits : {&irr_, &tmr_, &isr_})
    for (auto& word : *bits) word = 0;
  tpr_ = 0, dfr_ = 0xffffffff, esr_ = 0, icr_ = 0;
  ldr_ = 0, spurious_ = 0xff;
  lvt_timer_ = kMasked, lvt_lint0_ = kMasked, initial_count_ = 0, divide_ = 0, deadline_ = 0;
  lvt_other_.fill(kMasked);
  if (!keep_base) base_ = 0xfee00000 | kEnable | (id_ == 0 ? kBsp : 0);
  if (!keep_base) x2_ = false;
}

int Lapic::highest(const std::array<std::atomic<uint32_t>, 8>& bits) const {
  for (int i = 7; i >= 0; --i)
    if (const uint32_t word = bits[static_cast<unsigned>(i)].load(std::memory_order_acquire))
      return i * 32 + 31 - __builtin_clz(word);
  return -1;
}
uint32_t Lapic::processor_priority() const {
  const int serving = highest(isr_);
  const uint32_t in_service = serving < 0 ? 0 : static_cast<uint32_t>(serving) & 0xf0;
  return (tpr_ & 0xf0) >= in_service ? tpr_ : in_service;
}
int Lapic::pending_vector() const {
  if (!enabled()) return -1;
  const int vector = highest(irr_);
  return vector >= 0 && (static_cast<uint32_t>(vector) & 0xf0) > (processor_priority() & 0xf0) ? vector : -1;
}
bool Lapic::any_request() const { return highest(irr_) >= 0; }

void Lapic::accept(uint8_t vector, bool level) {
  if (!enabled() || vector < 16) return;
  const uint32_t bit = 1U << (vector & 31);
  if (level)
    tmr_[vector >> 5] |= bit;
  else
    tmr_[vector >> 5] &= ~bit;
  irr_[vector >> 5].fetch_or(bit, std::memory_order_seq_cst);
  outside_.wake(0);
}

std::optional<uint8_t> Lapic::acknowledge() {
  const int vector = pending_vector();
  if (vector < 0) return std::nullopt;
  const auto v = static_cast<uint8_t>(vector);
  irr_[v >> 5].fetch_and(~(1U << (v & 31)));
  isr_[v >> 5].fetch_or(1U << (v & 31));
  return v;
}

void Lapic::end_of_interrupt() {
  const int vector = highest(isr_);
  if (vector < 0) return;
  const auto v = static_cast<uint8_t>(vector);
  isr_[v >> 5].fetch_and(~(1U << (v & 31)));
  if (tmr_[v >> 5] >> (v & 31) & 1) outside_.end_of_interrupt(v);
  if (any_request()) outside_.wake(0);
}

bool Lapic::accepts_extint() const {
  // LINT0 as ExtINT, or the APIC switched off by software or hardware.
  if (!(base_ & kEnable)) return true;
  const uint32_t lint0 = lvt_lint0_;
  return !(lint0 & kMasked) && (lint0 >> 8 & 7) == 7;
}

uint32_t Lapic::ldr() const { return x2_ ? (id_ >> 4) << 16 | 1U << (id_ & 15) : ldr_.load(); }

bool Lapic::matches(const Message& message) const {
  const bool x2 = x2_;
  const uint32_t all = x2 ? 0xffffffff : 0xff;
  if (!message.logical) {
    return message.destination == id_ || message.destination == all || message.destination == 0xffffffff ||
           (!x2 && message.destination == 0xff);
  }
  const uint32_t mine = ldr();
  if (x2) return message.destination >> 16 == mine >> 16 && (message.destination & mine & 0xffff);
  if (dfr_ >> 28 == 0xf) return message.destination & mine >> 24;
  const uint32_t flat = mine >> 24;
  return (message.destination >> 4 == flat >> 4 || message.destination >> 4 == 0xf) &&
         (message.destination & flat & 15);
}

// --- timer

uint64_t Lapic::timer_ticks_to_tsc(uint64_t ticks) const {
  const unsigned code = (divide_ & 3) | (divide_ & 8) >> 1;
  const unsigned divisor = code == 7 ? 1 : 2U << code;
  return static_cast<uint64_t>(static_cast<unsigned __int128>(ticks) * divisor * tsc_khz_ * 1000 / kTimerHz);
}
uint64_t Lapic::current_count() const {
  if (timer_mode() == kDeadline || deadline_ == 0) return 0;
  const uint64_t now = outside_.tsc();
  if (now >= deadline_) return 0;
  const uint64_t whole = timer_ticks_to_tsc(initial_count_);
  if (whole == 0) return 0;
  return std::min<uint64_t>(
      initial_count_, static_cast<uint64_t>(static_cast<unsigned __int128>(deadline_ - now) * initial_count_ / whole));
}
void Lapic::start_timer() {
  if (timer_mode() != kDeadline)
    deadline_ = initial_count_ ? outside_.tsc() + std::max<uint64_t>(1, timer_ticks_to_tsc(initial_count_)) : 0;
  outside_.arm(deadline_);
}
void Lapic::tick() {
  if (deadline_ == 0) return;
  const uint64_t now = outside_.tsc();
  if (now < deadline_) {
    outside_.arm(deadline_);
    return;
  }
  if (!(lvt_timer_ & kMasked)) accept(lvt_timer_ & 0xff, false);
  if (timer_mode() == kPeriodic) {
    const uint64_t period = std::max<uint64_t>(1, timer_ticks_to_tsc(initial_count_));
    deadline_ += period * ((now - deadline_) / period + 1);
  } else {
    deadline_ = 0;
  }
  outside_.arm(deadline_);
}

// --- registers

uint32_t Lapic::read(uint32_t offset) {
  const auto word = [&](const auto& bits, uint32_t from) { return bits[(offset - from) >> 4].load(); };
  if (offset >= kIsr && offset < kIsr + 0x80) return word(isr_, kIsr);
  if (offset >= kTmr && offset < kTmr + 0x80) return word(tmr_, kTmr);
  if (offset >= kIrr && offset < kIrr + 0x80) return word(irr_, kIrr);
  if (const int index = lvt_index(offset); index >= 0) return lvt_other_[static_cast<unsigned>(index)];
  switch (offset) {
    case kId: return x2_ ? id_ : id_ << 24;
    case kVersion: return kVersionValue;
    case kTpr: return tpr_;
    case kPpr: return processor_priority();
    case kLdr: return ldr();
    case kDfr: return dfr_;
    case kSvr: return spurious_;
    case kEsr: return esr_;
    case kIcrLow: return static_cast<uint32_t>(icr_);
    case kIcrHigh: return static_cast<uint32_t>(icr_ >> 32);
    case kLvtTimer: return lvt_timer_;
    case kLvtLint0: return lvt_lint0_;
    case kInitialCount: return timer_mode() == kDeadline ? 0 : initial_count_;
    case kCurrentCount: return static_cast<uint32_t>(current_count());
    case kDivide: return divide_;
    default: return 0;
  }
}

void Lapic::write(uint32_t offset, uint32_t value) {
  if (const int index = lvt_index(offset); index >= 0) {
    lvt_other_[static_cast<unsigned>(index)] = value & 0x1f7ff;
    return;
  }
  switch (offset) {
    case kTpr:
      tpr_ = value & 0xff;
      outside_.wake(0);
      break;
    case kEoi: end_of_interrupt(); break;
    case kLdr: ldr_ = value & 0xff000000; break;
    case kDfr: dfr_ = value | 0x0fffffff; break;
    case kSvr:
      spurious_ = value & 0x1ff;
      if (!(value & 0x100)) {
        lvt_timer_ |= kMasked, lvt_lint0_ |= kMasked;
        for (auto& lvt : lvt_other_) lvt |= kMasked;
      }
      outside_.wake(0);
      break;
    case kEsr: esr_ = 0; break;
    case kIcrLow:
      icr_ = (icr_ & ~0xffffffffULL) | (value & ~0x1000U);
      command(icr_);
      break;
    case kIcrHigh: icr_ = (icr_ & 0xffffffff) | static_cast<uint64_t>(value) << 32; break;
    case kLvtTimer: {
      tick();  // what has run out did so in the old mode
      const TimerMode old = timer_mode();
      lvt_timer_ = (value & 0x710ff) | (enabled() ? 0 : kMasked);
      if ((old == kDeadline) != (timer_mode() == kDeadline)) {
        deadline_ = 0;
        initial_count_ = 0;
        outside_.arm(0);
      }
      break;
    }
    case kLvtLint0:
      lvt_lint0_ = value & 0x1f7ff;
      outside_.wake(0);
      break;
    case kInitialCount:
      if (timer_mode() == kDeadline) break;
      initial_count_ = value;
      start_timer();
      break;
    case kDivide: divide_ = value & 0xb; break;
    default: break;
  }
}

void Lapic::command(uint64_t value) {
  Message m;
  m.vector = static_cast<uint8_t>(value);
  m.delivery = static_cast<Delivery>(value >> 8 & 7);
  m.logical = value >> 11 & 1;
  m.assert_level = value >> 14 & 1;
  m.level = value >> 15 & 1;
  m.shorthand = value >> 18 & 3;
  m.destination = static_cast<uint32_t>(x2_ ? value >> 32 : value >> 56);
  if (m.delivery == Delivery::kInit && m.level && !m.assert_level) return;  // INIT level de-assert
  m.level = false;
  if (m.shorthand == 1) {
    accept(m.vector, false);
    return;
  }
  outside_.send(m);
}

Guest<uint64_t> Lapic::read_msr(uint32_t number) {
  if (number == 0x1b) return base_;
  if (number == 0x6e0) return timer_mode() == kDeadline ? deadline_ : 0;
  if (!x2_) return raise(kGp, 0);
  const uint32_t offset = (number - 0x800) << 4;
  if (offset == kIcrLow) return icr_;
  if (!in_x2apic(offset) || offset == kEoi || offset == kSelfIpi) return raise(kGp, 0);
  return read(offset);
}

Guest<> Lapic::write_msr(uint32_t number, uint64_t value) {
  if (number == 0x1b) {
    const bool was_x2 = x2_, x2 = (value & (kEnable | kX2Enable)) == (kEnable | kX2Enable);
    if ((value & kX2Enable) && !(value & kEnable)) return raise(kGp, 0);
    if (value & ~0x3fffffffff00ULL || value & 0x200) return raise(kGp, 0);
    if (was_x2 && (value & kEnable) && !x2) return raise(kGp, 0);
    if (x2 && !(base_ & kEnable)) return raise(kGp, 0);  // only by way of xAPIC mode
    if (!(value & kEnable)) reset(true);
    base_ = (value & ~kBsp) | (base_ & kBsp);
    x2_ = x2;
    return {};
  }
  if (number == 0x6e0) {
    if (timer_mode() == kDeadline) {
      deadline_ = value;
      if (deadline_ != 0 && outside_.tsc() >= deadline_)
        tick();
      else
        outside_.arm(deadline_);
    }
    return {};
  }
  if (!x2_) return raise(kGp, 0);
  const uint32_t offset = (number - 0x800) << 4;
  switch (offset) {
    case kIcrLow:
      icr_ = value & ~0x1000ULL;
      command(icr_);
      return {};
    case kSelfIpi:
      if (value >> 8) return raise(kGp, 0);
      accept(static_cast<uint8_t>(value), false);
      return {};
    case kEoi:
      if (value) return raise(kGp, 0);
      break;
    case kId:
    case kVersion:
    case kPpr:
    case kLdr:
    case kDfr:
    case kIcrHigh:
    case kCurrentCount: return raise(kGp, 0);
    default: break;
  }
  if (offset >= kIsr && offset < kEsr) return raise(kGp, 0);
  if (!in_x2apic(offset) || value >> 32) return raise(kGp, 0);
  write(offset, static_cast<uint32_t>(value));
  return {};
}

// --- the register page of a snapshot

void Lapic::save(CpuState& state) {
  state.lapic.fill(0);
  const auto put = [&](uint32_t offset, uint32_t value) { std::memcpy(state.lapic.data() + offset, &value, 4); };
  for (const uint32_t offset : {kId,       kVersion,  kTpr,      kPpr,          kLdr,          kDfr,        kSvr,
                                kEsr,      kCmci,     kIcrLow,   kIcrHigh,      kLvtTimer,     kLvtThermal, kLvtPerf,
                                kLvtLint0, kLvtLint1, kLvtError, kInitialCount, kCurrentCount, kDivide})
    put(offset, read(offset));
  for (uint32_t i = 0; i < 8; ++i)
    put(kIsr + 16 * i, isr_[i]), put(kTmr + 16 * i, tmr_[i]), put(kIrr + 16 * i, irr_[i]);
  state.apic_base = base_;
  state.tsc_deadline = timer_mode() == kDeadline ? deadline_ : 0;
  state.has_lapic = true;
}

void Lapic::restore(const CpuState& state) {
  if (!state.has_lapic) {
    reset(false);
    base_ = (state.apic_base & ~kBsp) | (id_ == 0 ? kBsp : 0);
    x2_ = (base_ & (kEnable | kX2Enable)) == (kEnable | kX2Enable);
    return;
  }
  const auto get = [&](uint32_t offset) {
    uint32_t value = 0;
    std::memcpy(&value, state.lapic.data() + offset, 4);
    return value;
  };
  base_ = state.apic_base;
  x2_ = (base_ & (kEnable | kX2Enable)) == (kEnable | kX2Enable);
  tpr_ = get(kTpr), dfr_ = get(kDfr), esr_ = get(kEsr), ldr_ = get(kLdr), spurious_ = get(kSvr);
  icr_ = get(kIcrLow) | static_cast<uint64_t>(get(kIcrHigh)) << 32;
  lvt_timer_ = get(kLvtTimer), lvt_lint0_ = get(kLvtLint0), divide_ = get(kDivide), initial_count_ = get(kInitialCount);
  for (const uint32_t offset : {kLvtThermal, kLvtPerf, kLvtLint1, kLvtError, kCmci})
    lvt_other_[static_cast<unsigned>(lvt_index(offset))] = get(offset);
  for (uint32_t i = 0; i < 8; ++i)
    isr_[i] = get(kIsr + 16 * i), tmr_[i] = get(kTmr + 16 * i), irr_[i] = get(kIrr + 16 * i);
  if (timer_mode() == kDeadline)
    deadline_ = state.tsc_deadline;
  else
    deadline_ = get(kCurrentCount) ? outside_.tsc() + timer_ticks_to_tsc(get(kCurrentCount)) : 0;
  outside_.arm(deadline_);
}

}  // namespace proa::vmm::translator
