// The 8254 timer (Intel 231164) at ports 40h to 43h, and port 61h: gate and output of channel 2, the speaker's.
// Counters are not counted but computed from the time.
#pragma once

#include <array>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "vmm/devices/interrupts.h"
#include "vmm/devices/io_space.h"
#include "vmm/devices/reactor.h"
#include "vmm/devices/state_stream.h"

namespace proa::vmm {

class Pit : public PortDevice {
 public:
  static constexpr uint64_t kHz = 1193182;

  // `line` is channel 0's output. The clock is borrowed.
  static Result<std::unique_ptr<Pit>> create(Reactor& reactor, Line line, const Clock& clock);
  Result<> attach(IoSpace& space);

  uint8_t in(uint16_t port) override;
  void out(uint16_t port, uint8_t value) override;
  void reset();
  // While paused no interrupt comes and time stands still.
  void pause();
  void resume();
  void transfer(StateStream& s);

 private:
  struct Channel {
    uint32_t reload = 0x10000;
    uint64_t loaded_at = 0;  // ticks
    uint16_t latched = 0;
    uint8_t status = 0;
    uint8_t mode = 3, access = 3;
    uint8_t low = 0;  // of a count half written
    bool bcd = false, gate = true, armed = false;
    bool has_latch = false, has_status = false, second_read = false, second_write = false;
  };
  Pit(Line line, const Clock& clock) : line_(line), clock_(clock) {}
  uint64_t now() const;  // in ticks of the timer
  uint16_t count(const Channel& channel) const;
  bool output(const Channel& channel) const;
  void command(uint8_t value);
  void latch(Channel& channel) const;
  void latch_status(Channel& channel) const;
  uint8_t read(Channel& channel) const;
  void write(unsigned index, uint8_t value);
  void load(unsigned index, uint32_t value);
  void set_gate(Channel& channel, bool gate);
  void expired();
  void schedule();

  const Line line_;
  const Clock& clock_;
  std::unique_ptr<ReactorTimer> timer_;
  mutable std::mutex mutex_;
  std::array<Channel, 3> channels_;
  uint8_t port61_ = 0;
  bool paused_ = false;
  uint64_t stopped_at_ = 0;  // ticks, while paused
  uint64_t offset_ = 0;      // ticks of the clock that the guest did not see
  uint64_t next_ = 0;        // channel 0's next edge
};

}  // namespace proa::vmm
