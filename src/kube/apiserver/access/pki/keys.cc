#include "kube/apiserver/access/pki/keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rsa.h>

#include <array>

#include "base/openssl.h"
#include "kube/apiserver/access/pki/crypto.h"
#include "kube/apiserver/access/pki/digest.h"
#include "net/base64.h"

namespace proa::kube::api::pki {
namespace {

constexpr int kShortestRsa = 2048;
constexpr size_t kMostKeys = 256;

// RFC 7518, 3.1. A key is believed for its own algorithm alone.
struct Algorithm {
  const char* curve;
  std::string_view name;
  std::string_view jwk_curve;
  const char* digest;
  size_t half;
};
constexpr std::array kCurves = {Algorithm{"prime256v1", "ES256", "P-256", "SHA256", 32},
                                Algorithm{"secp384r1", "ES384", "P-384", "SHA384", 48},
                                Algorithm{"secp521r1", "ES512", "P-521", "SHA512", 66}};

EVP_PKEY* of(const Key& key) { return static_cast<EVP_PKEY*>(key.handle()); }

const Algorithm* curve_of(const EVP_PKEY* key) {
  std::array<char, 64> group{};
  if (EVP_PKEY_is_a(key, "EC") != 1 || EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) != 1)
    return nullptr;
  for (const Algorithm& each : kCurves)
    if (std::string_view(group.data()) == each.curve) return &each;
  return nullptr;
}

std::string der_of_public(const EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  std::string out(reinterpret_cast<const char*>(der), size > 0 ? static_cast<size_t>(size) : 0);
  OPENSSL_free(der);
  return out;
}

// An ECDSA signature as tokens have it, two numbers of fixed length, from DER, and back (RFC 7518, 3.4).
std::string raw_of(std::string_view der, size_t half) {
  const unsigned char* at = bytes(der);
  ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
  if (signature == nullptr) return {};
  std::string raw(2 * half, '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, static_cast<int>(half));
  BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + half, static_cast<int>(half));
  ECDSA_SIG_free(signature);
  return raw;
}

std::string der_of(std::string_view raw, size_t half) {
  if (raw.size() != 2 * half) return {};
  ECDSA_SIG* signature = ECDSA_SIG_new();
  const int one = static_cast<int>(half);
  ECDSA_SIG_set0(signature, BN_bin2bn(bytes(raw), one, nullptr), BN_bin2bn(bytes(raw) + half, one, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature, &der);
  std::string out(reinterpret_cast<const char*>(der), size > 0 ? static_cast<size_t>(size) : 0);
  OPENSSL_free(der);
  ECDSA_SIG_free(signature);
  return out;
}

std::string number(const EVP_PKEY* key, const char* name, size_t size) {
  BIGNUM* n = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &n) != 1) return {};
  std::string out(size != 0 ? size : static_cast<size_t>(BN_num_bytes(n)), '\0');
  BN_bn2binpad(n, reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size()));
  BN_free(n);
  return net::base64url_encode(out);
}

}  // namespace

std::string sha256(std::string_view text) {
  prepare_openssl();
  std::array<unsigned char, 32> out{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), out.data(), &size, EVP_sha256(), nullptr);
  return {reinterpret_cast<const char*>(out.data()), out.size()};
}

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void prepare() {
  prepare_tls();
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
}

std::string openssl_reason() {
  std::string text = "unknown error";
  while (const unsigned long code = ERR_get_error())
    if (const char* reason = ERR_reason_error_string(code)) text = reason;
  return text;
}

Key::Key(void* key, bool has_private)
    : key_(key, [](void* p) { EVP_PKEY_free(static_cast<EVP_PKEY*>(p)); }), has_private_(has_private) {
  const auto* pkey = static_cast<EVP_PKEY*>(key);
  if (const Algorithm* curve = curve_of(pkey)) {
    algorithm_ = curve->name;
    digest_ = curve->digest;
    half_ = curve->half;
  } else if (EVP_PKEY_is_a(pkey, "RSA") == 1) {
    algorithm_ = "RS256";
    digest_ = "SHA256";
  }
  id_ = net::base64url_encode(sha256(der_of_public(pkey)));
}

Result<Key> Key::make() {
  prepare();
  EVP_PKEY* key = EVP_EC_gen("P-256");
  if (key == nullptr) return fail("make a key: ", openssl_reason());
  return Key(key, true);
}

Result<Key> Key::parse_private(std::string_view pem) {
  prepare();
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio_of(pem).get(), nullptr, nullptr, const_cast<char*>(""));
  ERR_clear_error();
  if (key == nullptr) return fail("is no private key in PEM form");
  Key out(key, true);
  if (EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) < kShortestRsa)
    return fail("is an RSA key of less than ", kShortestRsa, " bits");
  return out;
}

Result<std::vector<Key>> Key::parse_public(std::string_view pem) {
  prepare();
  std::vector<Key> keys;
  const Bio bio = bio_of(pem);
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long length = 0;
  while (keys.size() < kMostKeys && PEM_read_bio(bio.get(), &name, &header, &data, &length) == 1) {
    const std::string_view kind = name;
    const unsigned char* at = data;
    EVP_PKEY* key = nullptr;
    if (kind == "CERTIFICATE") {
      if (const X509Ptr certificate(d2i_X509(nullptr, &at, length)); certificate)
        key = X509_get_pubkey(certificate.get());
    } else if (kind == "PUBLIC KEY") {
      key = d2i_PUBKEY(nullptr, &at, length);
    } else if (kind == "RSA PUBLIC KEY") {
      key = d2i_PublicKey(EVP_PKEY_RSA, nullptr, &at, length);
    } else if (kind.ends_with("PRIVATE KEY")) {
      key = d2i_AutoPrivateKey(nullptr, &at, length);
    }
    if (key != nullptr) keys.push_back(Key(key, false));
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
  }
  ERR_clear_error();
  if (keys.empty()) return fail("has no key in PEM form");
  return keys;
}

std::string Key::private_pem() const {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio.get(), of(*this), nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio.get());
}

std::string Key::public_pem() const {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bio.get(), of(*this));
  return text_of(bio.get());
}

Result<std::string> Key::sign(std::string_view text) const {
  if (!has_private_ || digest_ == nullptr) return fail("this key signs nothing");
  const Digest context(EVP_MD_CTX_new());
  std::string out(static_cast<size_t>(EVP_PKEY_get_size(of(*this))), '\0');
  size_t size = out.size();
  if (EVP_DigestSignInit_ex(context.get(), nullptr, digest_, nullptr, nullptr, of(*this), nullptr) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, bytes(text), text.size()) != 1)
    return fail("sign: ", openssl_reason());
  out.resize(size);
  return half_ != 0 ? raw_of(out, half_) : out;
}

bool Key::verify(std::string_view text, std::string_view signature) const {
  if (digest_ == nullptr) return false;
  const std::string der = half_ != 0 ? der_of(signature, half_) : std::string(signature);
  const Digest context(EVP_MD_CTX_new());
  const bool right =
      !der.empty() &&
      EVP_DigestVerifyInit_ex(context.get(), nullptr, digest_, nullptr, nullptr, of(*this), nullptr) == 1 &&
      EVP_DigestVerify(context.get(), bytes(der), der.size(), bytes(text), text.size()) == 1;
  ERR_clear_error();
  return right;
}

Value Key::jwk(Arena& arena) const {
  Value out = Value::object(arena, 8);
  const auto put = [&](std::string_view name, std::string_view value) {
    out.add(arena, name, Value::text(arena, value));
  };
  put("use", "sig");
  if (const Algorithm* curve = curve_of(of(*this))) {
    put("kty", "EC");
    put("kid", id_);
    put("crv", curve->jwk_curve);
    put("alg", algorithm_);
    put("x", number(of(*this), OSSL_PKEY_PARAM_EC_PUB_X, half_));
    put("y", number(of(*this), OSSL_PKEY_PARAM_EC_PUB_Y, half_));
    return out;
  }
  put("kty", "RSA");
  put("kid", id_);
  put("alg", algorithm_);
  put("n", number(of(*this), OSSL_PKEY_PARAM_RSA_N, 0));
  put("e", number(of(*this), OSSL_PKEY_PARAM_RSA_E, 0));
  return out;
}

}  // namespace proa::kube::api::pki
