#include "oci/image/digest.h"

// The low-level functions start without loading providers, which would cost milliseconds each time.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <algorithm>
#include <new>

#include "base/openssl.h"

namespace proa::oci::image {
namespace {

std::string hex_of(std::span<const unsigned char> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace

Result<Digest> Digest::parse(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view algorithm = text.substr(0, colon);
  const size_t digits = algorithm == "sha256" ? 64 : algorithm == "sha512" ? 128 : 0;
  if (colon == std::string_view::npos) return fail("digest \"", text, "\": must be ALGORITHM:HEX");
  if (digits == 0) return fail("digest \"", text, "\": algorithm must be sha256 or sha512");
  const std::string_view hex = text.substr(colon + 1);
  const bool lower_hex =
      std::ranges::all_of(hex, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (hex.size() != digits || !lower_hex)
    return fail("digest \"", text, "\": must have ", digits, " lower-case hex digits");
  return Digest(std::string(text));
}

Digest Digest::of(std::string_view text) {
  Hasher hasher;
  hasher.update(text);
  return hasher.finish();
}

Hasher::Hasher(Algorithm algorithm) : algorithm_(algorithm) {
  prepare_openssl();
  static_assert(sizeof(SHA256_CTX) <= sizeof state_ && sizeof(SHA512_CTX) <= sizeof state_);
  if (algorithm == Algorithm::kSha256)
    SHA256_Init(new (state_) SHA256_CTX);
  else
    SHA512_Init(new (state_) SHA512_CTX);
}

Hasher Hasher::like(const Digest& digest) { return Hasher(algorithm_of(digest)); }

void Hasher::update(std::span<const std::byte> bytes) {
  if (algorithm_ == Algorithm::kSha256)
    SHA256_Update(reinterpret_cast<SHA256_CTX*>(state_), bytes.data(), bytes.size());
  else
    SHA512_Update(reinterpret_cast<SHA512_CTX*>(state_), bytes.data(), bytes.size());
}

Digest Hasher::finish() {
  unsigned char out[SHA512_DIGEST_LENGTH];
  if (algorithm_ == Algorithm::kSha256) {
    SHA256_Final(out, reinterpret_cast<SHA256_CTX*>(state_));
    return Digest("sha256:" + hex_of(std::span(out, SHA256_DIGEST_LENGTH)));
  }
  SHA512_Final(out, reinterpret_cast<SHA512_CTX*>(state_));
  return Digest("sha512:" + hex_of(std::span(out, SHA512_DIGEST_LENGTH)));
}

}  // namespace proa::oci::image
