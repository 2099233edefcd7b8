// The small devices of a PC that systems expect: keyboard controller, clock with its memory, and the ports by which a
// machine is switched off or reset.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <mutex>

#include "base/clock.h"
#include "vmm/devices/interrupts.h"
#include "vmm/devices/io_space.h"
#include "vmm/devices/state_stream.h"

namespace proa::vmm {

enum class PowerEvent : uint8_t { kOff, kReset };
// Called on a vCPU's thread; must not wait for it.
using PowerHandler = std::function<void(PowerEvent)>;

// i8042 with a keyboard that nobody types on, but for Ctrl-Alt-Del.
class KeyboardController : public PortDevice {
 public:
  KeyboardController(Line line, PowerHandler power) : line_(line), power_(std::move(power)) {}
  Result<> attach(IoSpace& space);
  // Presses and releases the three keys.
  void ctrl_alt_del();
  uint8_t in(uint16_t port) override;
  void out(uint16_t port, uint8_t value) override;
  void reset();
  void transfer(StateStream& s);

 private:
  static constexpr size_t kQueue = 32;
  void push(uint8_t value);
  void update();
  void command(uint8_t value);
  void data(uint8_t value);
  void keyboard(uint8_t value);

  const Line line_;
  const PowerHandler power_;
  std::mutex mutex_;
  std::deque<uint8_t> queue_;
  uint8_t mode_ = 0x41;      // the controller's command byte: translation, keyboard's interrupt
  uint8_t pending_ = 0;      // controller command whose data byte comes next
  bool wants_data_ = false;  // ... of the keyboard
  bool scanning_ = true;
  bool full_ = false;
};

// MC146818: time, alarm-less, and 128 bytes of memory.
class Cmos : public PortDevice {
 public:
  Cmos(const Clock& clock, uint64_t memory_below_4g, uint64_t memory_above_4g);
  Result<> attach(IoSpace& space);
  uint8_t in(uint16_t port) override;
  void out(uint16_t port, uint8_t value) override;
  void transfer(StateStream& s);

 private:
  uint8_t encode(unsigned value) const;
  unsigned decode(uint8_t value) const;
  uint8_t time_field(uint8_t index) const;
  void keep_time();
  void set_time();

  const Clock& clock_;
  std::mutex mutex_;
  std::array<uint8_t, 128> memory_{};
  uint8_t index_ = 0;
  int64_t offset_ = 0;  // seconds: the guest's time less the host's
};

// ACPI's sleep and reset registers (ACPI 6.4, 4.8.3.7 and 4.8.3.6), and the exit port of test programs: what they
// write there ends the machine with status (value << 1) | 1.
class PowerPorts : public PortDevice {
 public:
  static constexpr uint16_t kSleepControl = 0x600, kSleepStatus = 0x601, kReset = 0x602, kDebugExit = 0xf4;
  static constexpr uint8_t kSleepType5 = 5, kResetValue = 1;
  explicit PowerPorts(PowerHandler power) : power_(std::move(power)) {}
  // `debug_exit`: null for none.
  Result<> attach(IoSpace& space, std::function<void(int status)> debug_exit);
  uint8_t in(uint16_t port) override;
  void out(uint16_t port, uint8_t value) override;

 private:
  const PowerHandler power_;
  std::function<void(int)> debug_exit_;
};

}  // namespace proa::vmm
