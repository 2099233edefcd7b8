// The console device (virtio 1.2, 5.3) with its one port.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "vmm/devices/virtio/device.h"

namespace proa::vmm::virtio {

class Console : public Device {
 public:
  // `output` is called under the reactor's lock.
  explicit Console(std::function<void(std::string_view)> output) : output_(std::move(output)) {}
  // What somebody typed; returns how much there was room for. Under the reactor's lock, as resize().
  size_t input(std::string_view text);
  void resize(uint16_t columns, uint16_t rows);
  std::function<void()> on_room;  // there may be room for input again; under that lock too

  Type type() const override { return Type::kConsole; }
  uint64_t features() const override { return 1; }  // the size is told
  std::vector<uint16_t> queue_sizes() const override { return {64, 64}; }
  std::string config() const override;
  void activate(uint64_t) override {}
  void reset() override { pending_.clear(); }
  void notified(unsigned queue) override;
  void transfer(StateStream& s) override;

 private:
  static constexpr size_t kPending = 64 << 10;
  void give_input();
  void take_output();

  const std::function<void(std::string_view)> output_;
  std::string pending_;
  uint16_t columns_ = 80, rows_ = 25;
};

}  // namespace proa::vmm::virtio
