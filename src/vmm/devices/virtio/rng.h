// The entropy device (virtio 1.2, 5.4): the kernel's random bytes.
#pragma once

#include <memory>

#include "vmm/devices/virtio/device.h"
#include "vmm/devices/virtio/rate_limiter.h"

namespace proa::vmm::virtio {

class Rng : public Device {
 public:
  explicit Rng(const RatePlan& rate = {}, const Clock& clock = Clock::system()) : limiter_(rate, clock) {}
  Type type() const override { return Type::kEntropy; }
  uint64_t features() const override { return 0; }
  std::vector<uint16_t> queue_sizes() const override { return {256}; }
  std::string config() const override { return {}; }
  void activate(uint64_t features) override;
  void reset() override { retry_.reset(); }
  void notified(unsigned queue) override;
  void transfer(StateStream& s) override { s.section("rng", 1); }

 private:
  RateLimiter limiter_;
  std::unique_ptr<ReactorTimer> retry_;
  Chain chain_;
};

}  // namespace proa::vmm::virtio
