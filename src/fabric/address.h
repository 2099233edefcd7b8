// Addresses and prefixes of IPv4 and IPv6 as values. No locks, no state.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::fabric {

class Ip {
 public:
  Ip() = default;  // no address
  static Result<Ip> parse(std::string_view text);
  // Four bytes or sixteen, in network order.
  static Ip from_bytes(const uint8_t* bytes, size_t size);
  static Ip any(int family) { return from_bytes(std::array<uint8_t, 16>{}.data(), family == AF_INET ? 4 : 16); }

  bool given() const { return size_ != 0; }
  bool v4() const { return size_ == 4; }
  bool v6() const { return size_ == 16; }
  int family() const { return v4() ? AF_INET : v6() ? AF_INET6 : AF_UNSPEC; }
  size_t size() const { return size_; }
  const uint8_t* data() const { return bytes_.data(); }
  std::vector<uint8_t> bytes() const { return {bytes_.begin(), bytes_.begin() + size_}; }
  bool unspecified() const;  // 0.0.0.0 or ::
  bool loopback() const;
  std::string text() const;  // empty when there is none

  // The address `count` further on; wraps at the end of the family's space.
  Ip plus(uint64_t count) const;

  auto operator<=>(const Ip&) const = default;

 private:
  uint8_t size_ = 0;
  std::array<uint8_t, 16> bytes_{};
};

// "10.0.0.0/8"
struct Prefix {
  Ip address;
  uint8_t length = 0;

  // Bits beyond the length are an error unless `host_bits` lets them go.
  static Result<Prefix> parse(std::string_view text, bool host_bits = false);
  bool given() const { return address.given(); }
  bool contains(const Ip& ip) const;
  bool overlaps(const Prefix& other) const;
  Ip last() const;
  std::string text() const;
  auto operator<=>(const Prefix&) const = default;
};

}  // namespace proa::fabric
