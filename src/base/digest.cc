#include "base/digest.h"

// The low-level functions start without loading providers, which would cost milliseconds each time.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <new>

#include "base/openssl.h"

namespace proa {

std::string to_hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char each : bytes) {
    const auto byte = static_cast<unsigned char>(each);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Sha2::Sha2(Kind kind) : kind_(kind) {
  prepare_openssl();
  static_assert(sizeof(SHA256_CTX) <= sizeof state_ && sizeof(SHA512_CTX) <= sizeof state_);
  if (kind == Kind::k256)
    SHA256_Init(new (state_) SHA256_CTX);
  else
    SHA512_Init(new (state_) SHA512_CTX);
}

void Sha2::update(std::span<const std::byte> bytes) {
  if (kind_ == Kind::k256)
    SHA256_Update(reinterpret_cast<SHA256_CTX*>(state_), bytes.data(), bytes.size());
  else
    SHA512_Update(reinterpret_cast<SHA512_CTX*>(state_), bytes.data(), bytes.size());
}

std::string Sha2::finish() {
  std::string out(kind_ == Kind::k256 ? SHA256_DIGEST_LENGTH : SHA512_DIGEST_LENGTH, '\0');
  auto* const bytes = reinterpret_cast<unsigned char*>(out.data());
  if (kind_ == Kind::k256)
    SHA256_Final(bytes, reinterpret_cast<SHA256_CTX*>(state_));
  else
    SHA512_Final(bytes, reinterpret_cast<SHA512_CTX*>(state_));
  return out;
}

std::string Sha2::of(std::string_view text, Kind kind) {
  Sha2 hash(kind);
  hash.update(text);
  return hash.finish();
}

}  // namespace proa
