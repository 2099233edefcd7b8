#include "fabric/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace proa::fabric {
namespace {

Ip masked(const Ip& ip, size_t length, uint8_t fill) {
  std::array<uint8_t, 16> bytes{};
  for (size_t i = 0; i < ip.size(); ++i) {
    const size_t kept = std::min<size_t>(length > i * 8 ? length - i * 8 : 0, 8);
    const auto mask = static_cast<uint8_t>(0xff00u >> kept);
    bytes[i] = static_cast<uint8_t>((ip.data()[i] & mask) | (fill & ~mask));
  }
  return Ip::from_bytes(bytes.data(), ip.size());
}

}  // namespace

Result<Ip> Ip::parse(std::string_view text) {
  uint8_t raw[16];
  const std::string whole(text);
  if (inet_pton(AF_INET, whole.c_str(), raw) == 1) return from_bytes(raw, 4);
  if (inet_pton(AF_INET6, whole.c_str(), raw) == 1) return from_bytes(raw, 16);
  return fail("\"", text, "\" is not an IP address");
}

Ip Ip::from_bytes(const uint8_t* bytes, size_t size) {
  Ip ip;
  if (size != 4 && size != 16) return ip;
  ip.size_ = static_cast<uint8_t>(size);
  std::memcpy(ip.bytes_.data(), bytes, size);
  return ip;
}

bool Ip::unspecified() const {
  return given() && std::ranges::all_of(bytes_, [](uint8_t byte) { return byte == 0; });
}

bool Ip::loopback() const { return v4() ? bytes_[0] == 127 : v6() && text() == "::1"; }

std::string Ip::text() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  if (given()) inet_ntop(family(), bytes_.data(), buffer, sizeof buffer);
  return buffer;
}

Ip Ip::plus(uint64_t count) const {
  Ip sum = *this;
  for (size_t i = size_; i-- > 0 && count != 0;) {
    count += sum.bytes_[i];
    sum.bytes_[i] = static_cast<uint8_t>(count);
    count >>= 8;
  }
  return sum;
}

Result<Prefix> Prefix::parse(std::string_view text, bool host_bits) {
  std::string_view rest = text;
  const std::string_view address = cut(rest, '/');
  const Result<Ip> ip = Ip::parse(address);
  const auto length = parse_number<uint8_t>(rest);
  if (!ip || !length || *length > ip->size() * 8)
    return fail("\"", text, "\" is not a subnet").hint("write it like 10.20.0.0/16 or fd00:1::/64");
  const Prefix prefix{masked(*ip, *length, 0), *length};
  if (!host_bits && prefix.address != *ip)
    return fail("\"", text, "\" has host bits set").hint(cat("the subnet is ", prefix.text()));
  return prefix;
}

bool Prefix::contains(const Ip& ip) const { return ip.size() == address.size() && masked(ip, length, 0) == address; }

bool Prefix::overlaps(const Prefix& other) const {
  return length <= other.length ? contains(other.address) : other.contains(address);
}

Ip Prefix::last() const { return masked(address, length, 0xff); }

std::string Prefix::text() const { return given() ? cat(address.text(), "/", length) : std::string(); }

}  // namespace proa::fabric
