// The metadata service on a network interface: takes the guest's frames for the service's address before they reach
// the TAP, and answers ARP and TCP port 80 itself. The guest is not trusted: what is malformed is dropped, and what is
// kept is bounded. Checksums of incoming packets are not looked at: the guest may leave them to the device, and the
// way is through memory.
//
// Threads: under the reactor's lock, as all of a device.
#pragma once

#include <array>
#include <memory>

#include "vmm/devices/virtio/net.h"
#include "vmm/mmds/http.h"
#include "vmm/mmds/tcp.h"

namespace proa::vmm {

struct StackCounts {
  uint64_t taken = 0, taken_bytes = 0, unusual = 0, malformed = 0, sent = 0, sent_bytes = 0;
};

class MetadataStack final : public virtio::FrameFilter {
 public:
  static constexpr uint32_t kDefaultAddress = 0xa9fea9fe;                           // 169.254.169.254
  static constexpr virtio::MacAddress kMac = {0x06, 0x01, 0x23, 0x45, 0x67, 0x01};  // as Firecracker's

  // `first_sequence`: TCP's, hard to guess.
  MetadataStack(std::shared_ptr<Metadata> data, uint32_t address, uint32_t first_sequence,
                const Clock& clock = Clock::system());

  bool wants(std::span<const std::byte> start) const override;
  void take(std::span<const std::byte> frame) override;
  std::vector<std::byte> next() override;
  std::optional<std::chrono::nanoseconds> due() const override;

  const StackCounts& counts() const { return counts_; }
  const TcpCounts& tcp_counts() const { return tcp_.counts(); }
  const MetadataCounts& http_counts() const { return http_counts_; }
  size_t connections() const { return tcp_.connections(); }

 private:
  void take_arp(std::span<const std::byte> frame);
  bool take_ip(std::span<const std::byte> frame);
  std::vector<std::byte> arp_reply();
  std::vector<std::byte> packet(const TcpPeer& to, const TcpSegment& segment);

  const std::shared_ptr<Metadata> data_;
  const uint32_t address_;
  MetadataCounts http_counts_;
  TcpServer tcp_;
  std::optional<TcpPeer> asked_;  // who asked by ARP last, and has no answer yet
  uint16_t next_id_ = 0;
  StackCounts counts_;
};

}  // namespace proa::vmm
