// A 16550A serial port (National PC16550D): FIFOs, interrupts, loop-back. The line is as fast as its ends.
#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <string_view>

#include "vmm/devices/interrupts.h"
#include "vmm/devices/io_space.h"
#include "vmm/devices/state_stream.h"

namespace proa::vmm {

class Serial : public PortDevice {
 public:
  static constexpr unsigned kPorts = 8;
  // `output` is called on the vCPU's thread for each byte the guest sends.
  Serial(uint16_t base, Line line, std::function<void(char)> output)
      : base_(base), line_(line), output_(std::move(output)) {}

  // What somebody typed; returns how much of it there was room for. Any thread.
  size_t input(std::string_view text);
  // Called when the guest has read all input: there is room again. Set before the guest runs.
  std::function<void()> on_room;

  uint8_t in(uint16_t port) override;
  void out(uint16_t port, uint8_t value) override;
  void reset();
  void transfer(StateStream& s);

 private:
  static constexpr size_t kFifo = 64;
  void update();
  uint8_t identification() const;
  void receive(uint8_t value);
  void transmit(uint8_t value);
  uint8_t modem_status() const;

  const uint16_t base_;
  const Line line_;
  const std::function<void(char)> output_;
  std::mutex mutex_;
  std::deque<uint8_t> received_;
  uint16_t divisor_ = 12;
  uint8_t enable_ = 0, control_ = 3, modem_ = 0, scratch_ = 0, fifo_ = 0;
  bool sent_ = false;  // the transmitter became empty, and nobody asked yet
  bool overrun_ = false;
  bool raised_ = false;
};

}  // namespace proa::vmm
