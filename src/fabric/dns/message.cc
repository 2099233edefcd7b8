#include "fabric/dns/message.h"

#include <algorithm>

#include "base/text.h"

namespace proa::fabric::dns {
namespace {

constexpr size_t kHeaderSize = 12, kMaxName = 255, kMaxLabel = 63;
constexpr uint8_t kPointer = 0xc0;
constexpr uint8_t kAnswerBit = 0x80, kAuthoritative = 0x04, kTruncated = 0x02, kRecursionDesired = 0x01;  // byte 2
constexpr uint8_t kRecursionAvailable = 0x80;                                                             // byte 3

uint16_t read16(PacketView packet, size_t at) { return static_cast<uint16_t>(packet[at] << 8 | packet[at + 1]); }

void put16(Packet& out, uint16_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}
void put32(Packet& out, uint32_t value) {
  put16(out, static_cast<uint16_t>(value >> 16));
  put16(out, static_cast<uint16_t>(value));
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

void append_label(std::string& name, PacketView label) {
  if (!name.empty()) name += '.';
  for (const uint8_t byte : label) {
    const char c = lower(static_cast<char>(byte));
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
      name += c;
    } else {
      for (const int digit : {byte / 100, byte / 10 % 10, byte % 10}) name += static_cast<char>('0' + digit);
      name.insert(name.size() - 3, "\\");
    }
  }
}

// Reads the name at `at` and moves past it. Text is left out when `name` is null. A pointer must lead
// backwards, so that there is an end.
bool read_name(PacketView packet, size_t& at, std::string* name) {
  size_t position = at, total = 0, limit = packet.size();
  bool jumped = false;
  while (position < packet.size()) {
    const uint8_t size = packet[position];
    if (size == 0) {
      if (!jumped) at = position + 1;
      return true;
    }
    if ((size & kPointer) == kPointer) {
      if (position + 1 >= packet.size()) return false;
      if (!jumped) at = position + 2;
      const size_t target = read16(packet, position) & 0x3fff;
      if (target >= std::min(position, limit)) return false;
      limit = position = target;
      jumped = true;
      continue;
    }
    total += size + 1u;
    if (size > kMaxLabel || total >= kMaxName || position + 1 + size > packet.size()) return false;
    if (name != nullptr) append_label(*name, packet.subspan(position + 1, size));
    position += 1u + size;
  }
  return false;
}

// Looks through the additional records for EDNS; what is malformed there is not asked for and passed over.
void read_edns(PacketView packet, size_t at, unsigned records, Query& query) {
  for (; records > 0; --records) {
    if (!read_name(packet, at, nullptr) || at + 10 > packet.size()) return;
    if (read16(packet, at) == kTypeOpt) {
      query.edns = true;
      query.udp_size = std::max<uint16_t>(read16(packet, at + 2), kPlainUdpSize);
    }
    at += 10u + read16(packet, at + 8);
  }
}

void put_header(Packet& out, const Query& query, uint8_t code, uint16_t answers) {
  put16(out, query.id);
  out.push_back(static_cast<uint8_t>(kAnswerBit | kAuthoritative | (query.opcode << 3) |
                                     (query.recursion_desired ? kRecursionDesired : 0)));
  out.push_back(static_cast<uint8_t>(kRecursionAvailable | code));
  put16(out, query.question.empty() ? 0 : 1);
  put16(out, answers);
  put16(out, 0);
  put16(out, query.edns ? 1 : 0);
  out.insert(out.end(), query.question.begin(), query.question.end());
}

void put_edns(Packet& out, const Query& query) {
  if (!query.edns) return;
  out.push_back(0);  // the root
  put16(out, kTypeOpt);
  put16(out, 1232);  // what fits any path
  put32(out, 0);
  put16(out, 0);
}

// A record about the question's own name.
void put_record(Packet& out, uint16_t type, uint32_t ttl, PacketView data) {
  put16(out, kPointer << 8 | kHeaderSize);
  put16(out, type);
  put16(out, kClassIn);
  put32(out, ttl);
  put16(out, static_cast<uint16_t>(data.size()));
  out.insert(out.end(), data.begin(), data.end());
}

std::optional<unsigned> hex_digit(std::string_view text) {
  if (text.size() != 1) return std::nullopt;
  const char c = text[0];
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  return std::nullopt;
}

std::optional<Ip> reverse_v4(const std::vector<std::string_view>& labels) {
  if (labels.size() != 4) return std::nullopt;
  uint8_t bytes[4];
  for (size_t i = 0; i < 4; ++i) {
    const auto value = parse_number<uint8_t>(labels[3 - i]);
    if (!value) return std::nullopt;
    bytes[i] = *value;
  }
  return Ip::from_bytes(bytes, 4);
}

std::optional<Ip> reverse_v6(const std::vector<std::string_view>& labels) {
  if (labels.size() != 32) return std::nullopt;
  uint8_t bytes[16] = {};
  for (size_t i = 0; i < 32; ++i) {
    const auto digit = hex_digit(labels[31 - i]);
    if (!digit) return std::nullopt;
    bytes[i / 2] = static_cast<uint8_t>(bytes[i / 2] << 4 | *digit);
  }
  return Ip::from_bytes(bytes, 16);
}

}  // namespace

Result<Query> parse_query(PacketView packet) {
  if (packet.size() < kHeaderSize) return fail("dns: a message of ", packet.size(), " bytes");
  if ((packet[2] & kAnswerBit) != 0) return fail("dns: not a query");
  Query query;
  query.id = read16(packet, 0);
  query.recursion_desired = (packet[2] & kRecursionDesired) != 0;
  query.opcode = packet[2] >> 3 & 15;
  if (read16(packet, 4) != 1) return fail("dns: a query with ", read16(packet, 4), " questions");
  size_t at = kHeaderSize;
  if (!read_name(packet, at, &query.name) || at + 4 > packet.size()) return fail("dns: a malformed question");
  query.type = read16(packet, at);
  query.klass = read16(packet, at + 2);
  at += 4;
  query.question = packet.subspan(kHeaderSize, at - kHeaderSize);
  if (read16(packet, 6) == 0 && read16(packet, 8) == 0) read_edns(packet, at, read16(packet, 10), query);
  return query;
}

std::optional<Header> parse_header(PacketView packet) {
  if (packet.size() < kHeaderSize) return std::nullopt;
  return Header{.id = read16(packet, 0),
                .answer = (packet[2] & kAnswerBit) != 0,
                .truncated = (packet[2] & kTruncated) != 0,
                .code = static_cast<uint8_t>(packet[3] & 15)};
}

bool answers_question(PacketView packet, PacketView question) {
  if (packet.size() < kHeaderSize + question.size() || read16(packet, 4) != 1) return false;
  const PacketView theirs = packet.subspan(kHeaderSize, question.size());
  return std::ranges::equal(
      theirs, question, {}, [](uint8_t c) { return lower(static_cast<char>(c)); },
      [](uint8_t c) { return lower(static_cast<char>(c)); });
}

void set_id(Packet& packet, uint16_t id) {
  packet[0] = static_cast<uint8_t>(id >> 8);
  packet[1] = static_cast<uint8_t>(id);
}

Packet address_answer(const Query& query, const std::vector<Ip>& addresses, uint32_t ttl) {
  Packet out, records;
  uint16_t count = 0;
  for (const Ip& ip : addresses) {
    const uint16_t type = ip.v4() ? kTypeA : kTypeAaaa;
    if (query.type != type && query.type != kTypeAny) continue;
    put_record(records, type, ttl, {ip.data(), ip.size()});
    ++count;
  }
  put_header(out, query, kNoError, count);
  out.insert(out.end(), records.begin(), records.end());
  put_edns(out, query);
  return out;
}

Packet name_answer(const Query& query, std::string_view name, uint32_t ttl) {
  Packet data;
  for (const std::string_view label : split(name, '.')) {
    const std::string_view part = label.substr(0, kMaxLabel);
    data.push_back(static_cast<uint8_t>(part.size()));
    data.insert(data.end(), part.begin(), part.end());
  }
  data.push_back(0);
  if (data.size() > kMaxName) return plain_answer(query, kServerFailure);
  Packet out;
  put_header(out, query, kNoError, 1);
  put_record(out, kTypePtr, ttl, data);
  put_edns(out, query);
  return out;
}

Packet plain_answer(const Query& query, uint8_t code) {
  Packet out;
  put_header(out, query, code, 0);
  put_edns(out, query);
  return out;
}

Packet fitted(Packet packet, const Query& query) {
  if (packet.size() <= query.udp_size) return packet;
  Packet out = plain_answer(query, kNoError);
  out[2] |= kTruncated;
  return out;
}

std::optional<Ip> reverse_address(std::string_view name) {
  constexpr std::string_view kV4 = ".in-addr.arpa", kV6 = ".ip6.arpa";
  if (name.ends_with(kV4)) return reverse_v4(split(name.substr(0, name.size() - kV4.size()), '.'));
  if (name.ends_with(kV6)) return reverse_v6(split(name.substr(0, name.size() - kV6.size()), '.'));
  return std::nullopt;
}

}  // namespace proa::fabric::dns
