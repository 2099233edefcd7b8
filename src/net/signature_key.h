// Keys that sign tokens and certificates (RFC 7515, 7517, 7518, 8037), by OpenSSL: P-256 when we make them; RSA, P-256,
// P-384, P-521 and Ed25519 when they are brought.
//
// Threads: a key never changes; any number may use one. Copies share it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace proa::net {

class SignatureKey {
 public:
  // A new P-256 key.
  static Result<SignatureKey> make();
  // The private key in a PEM text; RSA keys of less than 2048 bits are refused.
  static Result<SignatureKey> parse_private(std::string_view pem);
  // All public keys in a PEM text: "PUBLIC KEY", "RSA PUBLIC KEY", those of certificates, and of private keys.
  static Result<std::vector<SignatureKey>> parse_public(std::string_view pem);
  // Public keys from the numbers of a JWK, big-endian. `curve`: "P-256".
  static Result<SignatureKey> of_rsa(std::string_view n, std::string_view e);
  static Result<SignatureKey> of_curve(std::string_view curve, std::string_view x, std::string_view y);
  static Result<SignatureKey> of_ed25519(std::string_view x);
  // Takes over an EVP_PKEY.
  static SignatureKey adopt(void* key, bool has_private);

  std::string private_pem() const;
  std::string public_pem() const;
  bool has_private() const { return has_private_; }
  SignatureKey public_only() const;

  // What sign() signs by: "ES256", "RS256", …; "" for a key that signs no tokens.
  std::string_view algorithm() const { return algorithm_; }
  // Its name in tokens and key sets: of its public form, the same everywhere.
  const std::string& id() const { return id_; }
  // The signature in the form that tokens have.
  Result<std::string> sign(std::string_view text) const;
  // Keys are believed for the algorithms of their kind alone: an RSA key for RS256, RS384 and RS512.
  bool verify(std::string_view algorithm, std::string_view text, std::string_view signature) const;
  // The public key's members of a JWK (RFC 7517): kty, kid, alg, and its numbers.
  std::vector<std::pair<std::string, std::string>> jwk() const;

  // OpenSSL's EVP_PKEY, ours.
  void* handle() const { return key_.get(); }

 private:
  SignatureKey(std::shared_ptr<void> key, bool has_private);

  std::shared_ptr<void> key_;
  bool has_private_ = false;
  std::string_view algorithm_;
  std::string id_;
};

}  // namespace proa::net
