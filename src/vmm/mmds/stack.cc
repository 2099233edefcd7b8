#include "vmm/mmds/stack.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>

#include <cstring>

namespace proa::vmm {

namespace {

constexpr uint16_t kPort = 80;
constexpr size_t kIpAt = sizeof(ether_header);

// The structure at that place of a frame, if the frame is long enough.
template <typename T>
std::optional<T> part(std::span<const std::byte> frame, size_t at) {
  if (frame.size() < at || frame.size() - at < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, frame.data() + at, sizeof value);
  return value;
}
template <typename T>
void put(std::vector<std::byte>& frame, size_t at, const T& value) {
  std::memcpy(frame.data() + at, &value, sizeof value);
}

// The Internet checksum (RFC 1071), not yet folded; `bytes` of odd length stand at the end.
uint32_t sum(std::span<const std::byte> bytes, uint32_t from = 0) {
  for (size_t i = 0; i < bytes.size(); i += 2)
    from += (std::to_integer<uint32_t>(bytes[i]) << 8) +
            (i + 1 < bytes.size() ? std::to_integer<uint32_t>(bytes[i + 1]) : 0);
  return from;
}
uint16_t folded(uint32_t value) {
  while (value >> 16 != 0) value = (value & 0xffff) + (value >> 16);
  return htons(static_cast<uint16_t>(~value));
}

// The largest segment that the sender takes (RFC 9293, 3.7.1); 0: not said.
uint16_t most_segment(std::span<const std::byte> options) {
  for (size_t i = 0; i < options.size();) {
    const auto kind = std::to_integer<uint8_t>(options[i]);
    if (kind == TCPOPT_EOL) break;
    if (kind == TCPOPT_NOP) {
      ++i;
      continue;
    }
    if (i + 1 >= options.size()) break;
    const auto size = std::to_integer<uint8_t>(options[i + 1]);
    if (size < 2 || size > options.size() - i) break;
    if (kind == TCPOPT_MAXSEG && size == TCPOLEN_MAXSEG)
      return static_cast<uint16_t>(std::to_integer<unsigned>(options[i + 2]) << 8 |
                                   std::to_integer<unsigned>(options[i + 3]));
    i += size;
  }
  return 0;
}

ether_header ethernet(const uint8_t* to, uint16_t type) {
  ether_header header{};
  std::memcpy(header.ether_dhost, to, ETH_ALEN);
  std::memcpy(header.ether_shost, MetadataStack::kMac.data(), ETH_ALEN);
  header.ether_type = htons(type);
  return header;
}

}  // namespace

MetadataStack::MetadataStack(std::shared_ptr<Metadata> data, uint32_t address, uint32_t first_sequence,
                             const Clock& clock)
    : data_(std::move(data)),
      address_(address),
      tcp_([this](std::string& input, bool& last) { return answer_metadata(*data_, input, last, http_counts_); }, clock,
           first_sequence) {}

bool MetadataStack::wants(std::span<const std::byte> start) const {
  const auto ether = part<ether_header>(start, 0);
  if (!ether) return false;
  uint32_t to = 0;
  if (ether->ether_type == htons(ETHERTYPE_ARP)) {
    const auto arp = part<ether_arp>(start, kIpAt);
    if (!arp || arp->arp_op != htons(ARPOP_REQUEST)) return false;
    std::memcpy(&to, arp->arp_tpa, sizeof to);
  } else if (ether->ether_type == htons(ETHERTYPE_IP)) {
    const auto ip = part<iphdr>(start, kIpAt);
    if (!ip) return false;
    to = ip->daddr;
  }
  return to == htonl(address_);
}

void MetadataStack::take(std::span<const std::byte> frame) {
  ++counts_.taken;
  counts_.taken_bytes += frame.size();
  const auto ether = part<ether_header>(frame, 0);
  if (ether && ether->ether_type == htons(ETHERTYPE_ARP))
    take_arp(frame);
  else if (!take_ip(frame))
    ++counts_.malformed;
}

void MetadataStack::take_arp(std::span<const std::byte> frame) {
  const auto arp = part<ether_arp>(frame, kIpAt);
  if (!arp || arp->arp_hrd != htons(ARPHRD_ETHER) || arp->arp_pro != htons(ETHERTYPE_IP) || arp->arp_hln != ETH_ALEN ||
      arp->arp_pln != 4) {
    ++counts_.malformed;
    return;
  }
  TcpPeer from;
  std::memcpy(&from.address, arp->arp_spa, sizeof from.address);
  std::memcpy(from.mac, arp->arp_sha, ETH_ALEN);
  asked_ = from;
}

bool MetadataStack::take_ip(std::span<const std::byte> frame) {
  const auto ether = part<ether_header>(frame, 0);
  const auto ip = part<iphdr>(frame, kIpAt);
  if (!ether || !ip || ip->version != 4 || ip->ihl < 5) return false;
  const size_t header = ip->ihl * 4u, total = ntohs(ip->tot_len);
  if (total < header || total > frame.size() - kIpAt) return false;
  if ((ntohs(ip->frag_off) & (IP_MF | IP_OFFMASK)) != 0) return false;
  const std::span<const std::byte> packet = frame.subspan(kIpAt, total);
  const auto tcp = part<tcphdr>(packet, header);
  if (ip->protocol != IPPROTO_TCP) {
    ++counts_.unusual;
    return true;
  }
  if (!tcp || tcp->doff < 5 || packet.size() - header < tcp->doff * 4u) return false;
  TcpPeer from{.address = ntohl(ip->saddr), .port = ntohs(tcp->source), .mac = {}};
  std::memcpy(from.mac, ether->ether_shost, ETH_ALEN);
  if (ntohs(tcp->dest) != kPort) {
    ++counts_.unusual;
    return true;
  }
  const auto options = packet.subspan(header + sizeof(tcphdr), tcp->doff * 4u - sizeof(tcphdr));
  tcp_.receive(from, {.sequence = ntohl(tcp->seq),
                      .acknowledged = ntohl(tcp->ack_seq),
                      .flags = static_cast<uint8_t>(tcp->th_flags & 31),
                      .window = ntohs(tcp->window),
                      .most_segment = most_segment(options),
                      .payload = packet.subspan(header + tcp->doff * 4u)});
  return true;
}

std::vector<std::byte> MetadataStack::arp_reply() {
  std::vector<std::byte> frame(kIpAt + sizeof(ether_arp));
  put(frame, 0, ethernet(asked_->mac, ETHERTYPE_ARP));
  ether_arp arp{};
  arp.arp_hrd = htons(ARPHRD_ETHER);
  arp.arp_pro = htons(ETHERTYPE_IP);
  arp.arp_hln = ETH_ALEN;
  arp.arp_pln = 4;
  arp.arp_op = htons(ARPOP_REPLY);
  const uint32_t ours = htonl(address_);
  std::memcpy(arp.arp_sha, kMac.data(), ETH_ALEN);
  std::memcpy(arp.arp_spa, &ours, sizeof ours);
  std::memcpy(arp.arp_tha, asked_->mac, ETH_ALEN);
  std::memcpy(arp.arp_tpa, &asked_->address, sizeof asked_->address);
  put(frame, kIpAt, arp);
  asked_.reset();
  return frame;
}

std::vector<std::byte> MetadataStack::packet(const TcpPeer& to, const TcpSegment& segment) {
  const size_t options = segment.most_segment != 0 ? TCPOLEN_MAXSEG : 0;
  const size_t tcp_size = sizeof(tcphdr) + options + segment.payload.size();
  const size_t tcp_at = kIpAt + sizeof(iphdr);
  std::vector<std::byte> frame(tcp_at + tcp_size);
  put(frame, 0, ethernet(to.mac, ETHERTYPE_IP));
  iphdr ip{};
  ip.version = 4;
  ip.ihl = 5;
  ip.tot_len = htons(static_cast<uint16_t>(sizeof ip + tcp_size));
  ip.id = htons(next_id_++);
  ip.frag_off = htons(IP_DF);
  ip.ttl = 1;  // for this link only
  ip.protocol = IPPROTO_TCP;
  ip.saddr = htonl(address_);
  ip.daddr = htonl(to.address);
  ip.check = folded(sum(std::as_bytes(std::span(&ip, 1))));
  put(frame, kIpAt, ip);
  tcphdr tcp{};
  tcp.source = htons(kPort);
  tcp.dest = htons(to.port);
  tcp.seq = htonl(segment.sequence);
  tcp.ack_seq = htonl(segment.acknowledged);
  tcp.th_flags = segment.flags;
  tcp.doff = static_cast<uint16_t>((sizeof tcp + options) / 4);
  tcp.window = htons(segment.window);
  put(frame, tcp_at, tcp);
  if (options != 0) {
    const uint8_t most[] = {TCPOPT_MAXSEG, TCPOLEN_MAXSEG, static_cast<uint8_t>(segment.most_segment >> 8),
                            static_cast<uint8_t>(segment.most_segment)};
    put(frame, tcp_at + sizeof tcp, most);
  }
  if (!segment.payload.empty())
    std::memcpy(frame.data() + tcp_at + sizeof tcp + options, segment.payload.data(), segment.payload.size());
  // With the pseudo-header: both addresses, the protocol, the length.
  const uint32_t pseudo =
      sum(std::span(frame).subspan(kIpAt + offsetof(iphdr, saddr), 8), IPPROTO_TCP + static_cast<uint32_t>(tcp_size));
  tcp.check = folded(sum(std::span(frame).subspan(tcp_at), pseudo));
  put(frame, tcp_at, tcp);
  return frame;
}

std::vector<std::byte> MetadataStack::next() {
  std::vector<std::byte> frame;
  if (asked_)
    frame = arp_reply();
  else if (const auto segment = tcp_.next())
    frame = packet(segment->first, segment->second);
  if (frame.empty()) return frame;
  ++counts_.sent;
  counts_.sent_bytes += frame.size();
  return frame;
}

std::optional<std::chrono::nanoseconds> MetadataStack::due() const {
  return asked_ ? std::chrono::nanoseconds(0) : tcp_.due();
}

}  // namespace proa::vmm
