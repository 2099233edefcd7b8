// The network device (virtio 1.2, 5.1) on a TAP of the host, with checksum and segmentation offload both ways.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmm/devices/virtio/device.h"
#include "vmm/devices/virtio/rate_limiter.h"

namespace proa::vmm::virtio {

using MacAddress = std::array<uint8_t, 6>;

struct NetOptions {
  MacAddress mac{};
  uint16_t mtu = 0;  // told to the guest; 0: not
  RatePlan receive, send;
};

struct NetCounts {
  uint64_t received = 0, received_bytes = 0, sent = 0, sent_bytes = 0, dropped = 0, throttled = 0;
};

// A TAP device by name, made if it is missing (and gone with the descriptor then); frames with virtio's header.
Result<Fd> open_tap(const std::string& name);

// What takes some of the guest's frames before the TAP does (the metadata service). Under the reactor's lock.
class FrameFilter {
 public:
  // Bytes of a frame that wants() needs: Ethernet and ARP or IPv4.
  static constexpr size_t kStart = 42;
  virtual ~FrameFilter() = default;
  // Whether it takes the frame, without virtio's header, that begins so; it goes nowhere else then.
  virtual bool wants(std::span<const std::byte> start) const = 0;
  virtual void take(std::span<const std::byte> frame) = 0;
  // The next frame for the guest; empty when there is none.
  virtual std::vector<std::byte> next() = 0;
  // When there is one: now (zero), later, or not before another is taken.
  virtual std::optional<std::chrono::nanoseconds> due() const = 0;
};

class Net : public Device {
 public:
  // Any descriptor of frames with virtio's header of 12 bytes, non-blocking.
  Net(Fd tap, const NetOptions& options, const Clock& clock = Clock::system())
      : options_(options),
        tap_(std::move(tap)),
        receive_limiter_(options.receive, clock),
        send_limiter_(options.send, clock) {}
  void set_filter(std::unique_ptr<FrameFilter> filter) { filter_ = std::move(filter); }
  void set_rates(const RatePlan& receive, const RatePlan& send);
  const NetCounts& counts() const { return counts_; }

  Type type() const override { return Type::kNet; }
  uint64_t features() const override;
  std::vector<uint16_t> queue_sizes() const override { return {256, 256}; }
  std::string config() const override;
  void activate(uint64_t features) override;
  void reset() override;
  void notified(unsigned queue) override;
  void quiesce() override { give_back(); }
  void transfer(StateStream& s) override;

 private:
  static constexpr size_t kHeader = 12, kMaxFrame = 65550 + kHeader;
  void receive();
  enum class Received : uint8_t { kMore, kNothing, kNoBuffers };
  Received receive_one();
  bool gather();
  void give_back();
  long read_direct();
  long read_by_copy();
  long read_frame(std::span<const iovec> parts);
  long read_filter(std::span<const iovec> parts);
  bool filter_takes(const Chain& chain);
  void deliver(size_t bytes);
  void send();
  void send_one(const Chain& chain);

  NetOptions options_;
  Fd tap_;
  RateLimiter receive_limiter_, send_limiter_;
  std::unique_ptr<FrameFilter> filter_;
  std::unique_ptr<ReactorTimer> receive_retry_, send_retry_;
  Watch readable_;
  bool mergeable_ = false;
  // Taken from the queue for frames to come; the first gathered_ are in use, and have room_ bytes.
  std::vector<Chain> chains_;
  size_t gathered_ = 0;
  uint64_t room_ = 0;
  std::vector<std::byte> scratch_;
  NetCounts counts_;
};

}  // namespace proa::vmm::virtio
