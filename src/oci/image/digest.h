// Content digests (image-spec descriptor.md "Digests"): sha256 and sha512.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"

namespace proa::oci::image {

// "sha256:<64 hex digits>". Empty only when made by default.
class Digest {
 public:
  Digest() = default;
  static Result<Digest> parse(std::string_view text);
  // Of a whole text, sha256.
  static Digest of(std::string_view text);

  const std::string& text() const { return text_; }
  std::string_view algorithm() const { return std::string_view(text_).substr(0, text_.find(':')); }
  std::string_view hex() const { return std::string_view(text_).substr(text_.find(':') + 1); }
  bool empty() const { return text_.empty(); }
  auto operator<=>(const Digest&) const = default;

 private:
  friend class Hasher;
  explicit Digest(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// One digest over a stream of bytes. Copyable: a copy goes on from the same point. Not thread-safe.
class Hasher {
 public:
  enum class Algorithm : uint8_t { kSha256, kSha512 };
  explicit Hasher(Algorithm algorithm = Algorithm::kSha256)
      : hash_(algorithm == Algorithm::kSha256 ? Sha2::Kind::k256 : Sha2::Kind::k512) {}
  // The algorithm that `digest` names.
  static Hasher like(const Digest& digest);
  static Algorithm algorithm_of(const Digest& digest) {
    return digest.algorithm() == "sha512" ? Algorithm::kSha512 : Algorithm::kSha256;
  }
  Algorithm algorithm() const { return hash_.kind() == Sha2::Kind::k256 ? Algorithm::kSha256 : Algorithm::kSha512; }

  void update(std::span<const std::byte> bytes) { hash_.update(bytes); }
  void update(std::string_view text) { hash_.update(text); }
  // Once.
  Digest finish();

 private:
  Sha2 hash_;
};

}  // namespace proa::oci::image
