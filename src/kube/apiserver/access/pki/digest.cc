#include "kube/apiserver/access/pki/digest.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>

#include "base/openssl.h"

namespace proa::kube::api::pki {

std::string sha256(std::string_view text) {
  prepare_openssl();
  std::array<unsigned char, 32> out{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data());
  return {reinterpret_cast<const char*>(out.data()), out.size()};
}

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace proa::kube::api::pki
