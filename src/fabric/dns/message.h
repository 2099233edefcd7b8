// DNS messages (RFC 1035, EDNS RFC 6891) as far as a resolver of containers' names needs them: queries
// are read, answers of addresses and names are written; everything else passes through as bytes.
// Bounded: names have at most 255 bytes, one question is read, compression is followed backwards only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fabric/address.h"

namespace proa::fabric::dns {

using Packet = std::vector<uint8_t>;
using PacketView = std::span<const uint8_t>;

inline constexpr uint16_t kTypeA = 1, kTypePtr = 12, kTypeAaaa = 28, kTypeOpt = 41, kTypeAny = 255, kClassIn = 1;
inline constexpr uint8_t kNoError = 0, kFormatError = 1, kServerFailure = 2, kNoSuchName = 3, kNotImplemented = 4,
                         kRefused = 5;
inline constexpr size_t kPlainUdpSize = 512, kMaxMessage = 65535;

struct Query {
  uint16_t id = 0;
  bool recursion_desired = false;
  uint8_t opcode = 0;
  std::string name;  // lower case, without the last dot; a byte of a label that is no letter, digit, - or _ as \DDD
  uint16_t type = 0, klass = 0;
  bool edns = false;
  uint16_t udp_size = kPlainUdpSize;  // what the asker takes in one datagram
  PacketView question;                // its bytes; a view into the packet
};
// A message with one question; anything else, answers too, is an error.
Result<Query> parse_query(PacketView packet);

// The id and whether it is an answer; nothing when it is no DNS message.
struct Header {
  uint16_t id = 0;
  bool answer = false, truncated = false;
  uint8_t code = 0;
};
std::optional<Header> parse_header(PacketView packet);
// An answer to `question`: same name (by bytes, but for case), type and class.
bool answers_question(PacketView packet, PacketView question);
void set_id(Packet& packet, uint16_t id);

// Addresses of the query's type are put in, others passed over.
Packet address_answer(const Query& query, const std::vector<Ip>& addresses, uint32_t ttl);
Packet name_answer(const Query& query, std::string_view name, uint32_t ttl);
Packet plain_answer(const Query& query, uint8_t code);
// What does not fit a datagram is left out and marked so (RFC 1035 4.1.1, TC).
Packet fitted(Packet packet, const Query& query);

// The address that a name below in-addr.arpa or ip6.arpa asks for.
std::optional<Ip> reverse_address(std::string_view name);

}  // namespace proa::fabric::dns
