// A guest's side of the metadata service: frames by hand.
#pragma once

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>

#include <cstring>
#include <string>

#include "vmm/mmds/stack.h"

namespace proa::vmm {

struct GuestSegment {
  uint16_t from = 40000, to = 80;
  uint32_t sequence = 0, acknowledged = 0;
  uint8_t flags = kTcpAck;
  uint16_t window = 65535;
  std::string payload = {};
  uint32_t address = MetadataStack::kDefaultAddress;
};

template <typename T>
std::string bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

inline std::string guest_ethernet(uint16_t type) {
  ether_header ether{};
  std::memset(ether.ether_dhost, 0xff, sizeof ether.ether_dhost);
  std::memset(ether.ether_shost, 2, sizeof ether.ether_shost);
  ether.ether_type = htons(type);
  return bytes_of(ether);
}

inline std::string guest_frame(const GuestSegment& s) {
  iphdr ip{};
  ip.version = 4;
  ip.ihl = 5;
  ip.tot_len = htons(static_cast<uint16_t>(sizeof(iphdr) + sizeof(tcphdr) + s.payload.size()));
  ip.protocol = IPPROTO_TCP;
  ip.saddr = htonl(0x0a090102);
  ip.daddr = htonl(s.address);
  tcphdr tcp{};
  tcp.source = htons(s.from);
  tcp.dest = htons(s.to);
  tcp.seq = htonl(s.sequence);
  tcp.ack_seq = htonl(s.acknowledged);
  tcp.th_flags = s.flags;
  tcp.doff = 5;
  tcp.window = htons(s.window);
  return guest_ethernet(ETHERTYPE_IP) + bytes_of(ip) + bytes_of(tcp) + s.payload;
}

inline std::string guest_arp(uint32_t target) {
  ether_arp arp{};
  arp.arp_hrd = htons(ARPHRD_ETHER);
  arp.arp_pro = htons(ETHERTYPE_IP);
  arp.arp_hln = 6;
  arp.arp_pln = 4;
  arp.arp_op = htons(ARPOP_REQUEST);
  const uint32_t own = htonl(0x0a090102), wanted = htonl(target);
  std::memset(arp.arp_sha, 2, sizeof arp.arp_sha);
  std::memcpy(arp.arp_spa, &own, 4);
  std::memcpy(arp.arp_tpa, &wanted, 4);
  return guest_ethernet(ETHERTYPE_ARP) + bytes_of(arp);
}

// One connection of a well-behaved client, which takes what the stack sends.
class GuestClient {
 public:
  GuestClient(MetadataStack& stack, uint16_t port) : stack_(stack), port_(port) {}

  void send(uint8_t flags, const std::string& payload = {}, uint16_t window = 65535) {
    give({.from = port_,
          .sequence = next_,
          .acknowledged = expected_,
          .flags = flags,
          .window = window,
          .payload = payload});
    next_ += static_cast<uint32_t>(payload.size()) + ((flags & (kTcpSyn | kTcpFin)) != 0 ? 1 : 0);
  }
  void give(const GuestSegment& segment) {
    const std::string frame = guest_frame(segment);
    const auto bytes = std::as_bytes(std::span(frame));
    if (stack_.wants(bytes.first(FrameStart))) stack_.take(bytes);
  }
  // Takes one frame; false when there is none.
  bool take_one() {
    const auto frame = stack_.next();
    if (frame.empty()) return false;
    if (frame.size() < sizeof(ether_header) + sizeof(iphdr) + sizeof last) return true;  // of ARP
    std::memcpy(&last, frame.data() + sizeof(ether_header) + sizeof(iphdr), sizeof last);
    const size_t head = sizeof(ether_header) + sizeof(iphdr) + last.doff * 4u;
    const uint32_t sequence = ntohl(last.seq);
    const std::string payload(reinterpret_cast<const char*>(frame.data()) + head, frame.size() - head);
    ++frames;
    if ((last.th_flags & kTcpRst) != 0) reset = true;
    if ((last.th_flags & kTcpSyn) != 0) expected_ = sequence + 1;
    if (sequence == expected_) {
      received += payload;
      expected_ += static_cast<uint32_t>(payload.size());
      if ((last.th_flags & kTcpFin) != 0) ended = true, ++expected_;
    }
    return true;
  }
  // Everything that is there, acknowledged.
  void take_all(uint16_t window = 65535) {
    while (take_one()) {
      if ((last.th_flags & kTcpRst) != 0) continue;
      if (expected_ != acknowledged_) send(kTcpAck, {}, window);
      acknowledged_ = expected_;
    }
  }
  void connect(uint16_t window = 65535) {
    send(kTcpSyn, {}, window);
    take_all(window);
  }
  std::string ask(const std::string& request) {
    received.clear();
    send(kTcpAck | kTcpPush, request);
    take_all();
    return received;
  }

  static constexpr size_t FrameStart = virtio::FrameFilter::kStart;
  std::string received;
  bool ended = false, reset = false;
  unsigned frames = 0;
  tcphdr last{};

 private:
  MetadataStack& stack_;
  uint16_t port_;
  uint32_t next_ = 1000, expected_ = 0, acknowledged_ = 0;
};

}  // namespace proa::vmm
