// Public and private keys that sign tokens (RFC 7515, 7517, 7518): RSA, P-256, P-384, P-521 and Ed25519, by OpenSSL.
//
// Threads: a KeySet and a SigningKey never change once they are made; any number may use one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "net/signature_key.h"

namespace proa::oci::registry {

// Whom a signature is believed.
class KeySet {
 public:
  KeySet();
  KeySet(KeySet&&) noexcept;
  KeySet& operator=(KeySet&&) noexcept;
  ~KeySet();

  // Certificates and public keys. Certificates are believed themselves, and what they signed (x5c).
  Result<> add_pem(std::string_view text);
  // {"keys": […]}; keys of a type that is not known, or for another use, are passed over.
  Result<> add_jwks(std::string_view text);
  size_t size() const;

  // Whether `signature` is one of `text` by `algorithm` ("RS256") and any of the keys. `chain`: certificates in DER
  // that came with it, the signer's first.
  bool verify(std::string_view algorithm, std::string_view text, std::string_view signature,
              const std::vector<std::string>& chain) const;

 private:
  friend class SigningKey;
  struct State;
  std::unique_ptr<State> state_;
};

// Of our own: P-256.
class SigningKey {
 public:
  // PEM.
  static Result<SigningKey> parse(std::string_view pem);
  // Read, or made and kept there for all processes to use, mode 0600.
  static Result<SigningKey> load_or_make(const std::string& path);

  std::string_view algorithm() const { return key_.algorithm(); }
  Result<std::string> sign(std::string_view text) const { return key_.sign(text); }
  KeySet public_keys() const;

 private:
  explicit SigningKey(net::SignatureKey key) : key_(std::move(key)) {}
  net::SignatureKey key_;
};

}  // namespace proa::oci::registry
