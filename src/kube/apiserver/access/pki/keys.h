// Keys that sign: of certificates, and of service-account tokens (RFC 7515, 7517, 7518). P-256 when we make them; RSA,
// P-256, P-384 and P-521 when they are brought.
//
// Threads: a key never changes; any number may use one. Copies share it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/object/value.h"

namespace proa::kube::api::pki {

class Key {
 public:
  // A new P-256 key.
  static Result<Key> make();
  // The private key in a PEM text.
  static Result<Key> parse_private(std::string_view pem);
  // All public keys in a PEM text: "PUBLIC KEY", "RSA PUBLIC KEY", those of certificates, and of private keys.
  static Result<std::vector<Key>> parse_public(std::string_view pem);

  std::string private_pem() const;
  std::string public_pem() const;
  bool has_private() const { return has_private_; }

  // "ES256", "RS256", …; "" for a key that signs no tokens.
  std::string_view algorithm() const { return algorithm_; }
  // Its name in tokens and key sets: of its public form, the same everywhere.
  const std::string& id() const { return id_; }
  // The signature in the form that tokens have.
  Result<std::string> sign(std::string_view text) const;
  bool verify(std::string_view text, std::string_view signature) const;
  // {"use": "sig", "kty": …, "kid": …, "alg": …}; RFC 7517.
  Value jwk(Arena& arena) const;

  // OpenSSL's EVP_PKEY, ours.
  void* handle() const { return key_.get(); }

 private:
  Key(void* key, bool has_private);

  std::shared_ptr<void> key_;
  bool has_private_ = false;
  std::string_view algorithm_;
  const char* digest_ = nullptr;
  size_t half_ = 0;  // bytes of each number of an ECDSA signature
  std::string id_;
};

}  // namespace proa::kube::api::pki
