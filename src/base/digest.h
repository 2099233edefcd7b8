// SHA-256 and SHA-512, and bytes as hex digits. Fenced here: OpenSSL's headers, and what it wants done before its use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace proa {

// Lower case.
std::string to_hex(std::string_view bytes);

// One digest over a stream of bytes. Copyable: a copy goes on from the same point. Not thread-safe.
class Sha2 {
 public:
  enum class Kind : uint8_t { k256, k512 };
  explicit Sha2(Kind kind = Kind::k256);
  Kind kind() const { return kind_; }

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  // 32 or 64 bytes. Once.
  std::string finish();

  static std::string of(std::string_view text, Kind kind = Kind::k256);

 private:
  Kind kind_;
  alignas(16) std::byte state_[256];
};

}  // namespace proa
