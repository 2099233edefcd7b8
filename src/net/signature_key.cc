#include "net/signature_key.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>

#include "net/base64.h"
#include "net/crypto.h"

namespace proa::net {
namespace {

using namespace crypto;

constexpr int kShortestRsa = 2048;
constexpr size_t kMostKeys = 256;

// RFC 7518, 3.1, and RFC 8037. The first that suits a key is the one it signs by.
struct Algorithm {
  std::string_view name;
  const char* key;    // OpenSSL's name of the key's type
  const char* curve;  // or null
  std::string_view jwk_curve;
  const char* digest;
  size_t half;  // bytes of each number of an ECDSA signature
};
constexpr std::array kAlgorithms = {
    Algorithm{"RS256", "RSA", nullptr, "", "SHA256", 0},
    Algorithm{"RS384", "RSA", nullptr, "", "SHA384", 0},
    Algorithm{"RS512", "RSA", nullptr, "", "SHA512", 0},
    Algorithm{"ES256", "EC", "prime256v1", "P-256", "SHA256", 32},
    Algorithm{"ES384", "EC", "secp384r1", "P-384", "SHA384", 48},
    Algorithm{"ES512", "EC", "secp521r1", "P-521", "SHA512", 66},
    Algorithm{"EdDSA", "ED25519", nullptr, "Ed25519", nullptr, 0},
};

using Number = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using Builder = std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD_free>>;
using Parameters = std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;

EVP_PKEY* of(const SignatureKey& key) { return static_cast<EVP_PKEY*>(key.handle()); }

bool suits(const EVP_PKEY* key, const Algorithm& algorithm) {
  if (EVP_PKEY_is_a(key, algorithm.key) != 1) return false;
  if (algorithm.curve == nullptr) return true;
  std::array<char, 64> group{};
  return EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) == 1 &&
         std::string_view(group.data()) == algorithm.curve;
}

const Algorithm* named(std::string_view name) {
  const auto* at = std::ranges::find(kAlgorithms, name, &Algorithm::name);
  return at == kAlgorithms.end() ? nullptr : at;
}

std::string text_of(unsigned char* der, int size) {
  std::string out(reinterpret_cast<const char*>(der), size > 0 ? static_cast<size_t>(size) : 0);
  OPENSSL_free(der);
  return out;
}

std::string id_of(const EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int length = i2d_PUBKEY(key, &der);
  const std::string text = text_of(der, length);
  std::array<unsigned char, 32> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return base64url_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

// An ECDSA signature as tokens have it, two numbers of fixed length, from DER, and back (RFC 7518, 3.4).
std::string raw_of(std::string_view der, size_t half) {
  const unsigned char* at = bytes(der);
  const Signature signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!signature) return {};
  std::string raw(2 * half, '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out, static_cast<int>(half));
  BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out + half, static_cast<int>(half));
  return raw;
}

std::string der_of(std::string_view raw, size_t half) {
  if (raw.size() != 2 * half) return {};
  const Signature signature(ECDSA_SIG_new());
  const int one = static_cast<int>(half);
  ECDSA_SIG_set0(signature.get(), BN_bin2bn(bytes(raw), one, nullptr), BN_bin2bn(bytes(raw) + half, one, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  return text_of(der, size);
}

std::string number(const EVP_PKEY* key, const char* name, size_t size) {
  BIGNUM* found = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &found) != 1) return {};
  const Number n(found);
  std::string out(size != 0 ? size : static_cast<size_t>(BN_num_bytes(n.get())), '\0');
  BN_bn2binpad(n.get(), reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size()));
  return base64url_encode(out);
}

Result<SignatureKey> built(const char* type, OSSL_PARAM_BLD* builder) {
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  const bool made = EVP_PKEY_fromdata_init(context.get()) == 1 &&
                    EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) == 1;
  ERR_clear_error();
  if (!made) return fail("is no public key");
  return SignatureKey::adopt(key, false);
}

// The public key of one block of a PEM text; null for blocks of other kinds.
EVP_PKEY* public_of(std::string_view kind, const unsigned char* data, long length) {
  if (kind == "CERTIFICATE") {
    const X509Ptr certificate(d2i_X509(nullptr, &data, length));
    return certificate ? X509_get_pubkey(certificate.get()) : nullptr;
  }
  if (kind == "PUBLIC KEY") return d2i_PUBKEY(nullptr, &data, length);
  if (kind == "RSA PUBLIC KEY") return d2i_PublicKey(EVP_PKEY_RSA, nullptr, &data, length);
  if (kind.ends_with("PRIVATE KEY")) return d2i_AutoPrivateKey(nullptr, &data, length);
  return nullptr;
}

}  // namespace

SignatureKey::SignatureKey(std::shared_ptr<void> key, bool has_private)
    : key_(std::move(key)), has_private_(has_private), id_(id_of(of(*this))) {
  for (const Algorithm& each : kAlgorithms)
    if (algorithm_.empty() && suits(of(*this), each)) algorithm_ = each.name;
}

SignatureKey SignatureKey::adopt(void* key, bool has_private) {
  return {std::shared_ptr<void>(key, [](void* p) { EVP_PKEY_free(static_cast<EVP_PKEY*>(p)); }), has_private};
}

SignatureKey SignatureKey::public_only() const { return {key_, false}; }

Result<SignatureKey> SignatureKey::make() {
  prepare();
  EVP_PKEY* key = EVP_EC_gen("P-256");
  if (key == nullptr) return fail("make a key: ", openssl_reason());
  return adopt(key, true);
}

Result<SignatureKey> SignatureKey::parse_private(std::string_view pem) {
  prepare();
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio_of(pem).get(), nullptr, nullptr, const_cast<char*>(""));
  ERR_clear_error();
  if (key == nullptr) return fail("is no private key in PEM form");
  SignatureKey out = adopt(key, true);
  if (EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) < kShortestRsa)
    return fail("is an RSA key of less than ", kShortestRsa, " bits");
  return out;
}

Result<std::vector<SignatureKey>> SignatureKey::parse_public(std::string_view pem) {
  prepare();
  std::vector<SignatureKey> keys;
  const Bio bio = bio_of(pem);
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long length = 0;
  while (keys.size() < kMostKeys && PEM_read_bio(bio.get(), &name, &header, &data, &length) == 1) {
    if (EVP_PKEY* key = public_of(name, data, length)) keys.push_back(adopt(key, false));
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
  }
  ERR_clear_error();
  if (keys.empty()) return fail("has no key in PEM form");
  return keys;
}

Result<SignatureKey> SignatureKey::of_rsa(std::string_view n, std::string_view e) {
  prepare();
  const Number modulus(BN_bin2bn(bytes(n), static_cast<int>(n.size()), nullptr));
  const Number exponent(BN_bin2bn(bytes(e), static_cast<int>(e.size()), nullptr));
  if (BN_num_bits(modulus.get()) < kShortestRsa) return fail("must have ", kShortestRsa, " bits or more");
  const Builder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return built("RSA", builder.get());
}

Result<SignatureKey> SignatureKey::of_curve(std::string_view curve, std::string_view x, std::string_view y) {
  prepare();
  const auto* at = std::ranges::find(kAlgorithms, curve, &Algorithm::jwk_curve);
  if (curve.empty() || at == kAlgorithms.end() || at->curve == nullptr)
    return fail(curve, " is not P-256, P-384 or P-521");
  const std::string point = cat('\x04', x, y);
  const Builder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, at->curve, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  return built("EC", builder.get());
}

Result<SignatureKey> SignatureKey::of_ed25519(std::string_view x) {
  prepare();
  EVP_PKEY* key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes(x), x.size());
  ERR_clear_error();
  if (key == nullptr) return fail("is no Ed25519 key");
  return adopt(key, false);
}

std::string SignatureKey::private_pem() const {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio.get(), of(*this), nullptr, nullptr, 0, nullptr, nullptr);
  return crypto::text_of(bio.get());
}

std::string SignatureKey::public_pem() const {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bio.get(), of(*this));
  return crypto::text_of(bio.get());
}

Result<std::string> SignatureKey::sign(std::string_view text) const {
  const Algorithm* algorithm = named(algorithm_);
  if (!has_private_ || algorithm == nullptr) return fail("this key signs nothing");
  const Digest context(EVP_MD_CTX_new());
  std::string out(static_cast<size_t>(EVP_PKEY_get_size(of(*this))), '\0');
  size_t size = out.size();
  if (EVP_DigestSignInit_ex(context.get(), nullptr, algorithm->digest, nullptr, nullptr, of(*this), nullptr) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, bytes(text), text.size()) != 1)
    return fail("sign: ", openssl_reason());
  out.resize(size);
  return algorithm->half != 0 ? raw_of(out, algorithm->half) : out;
}

bool SignatureKey::verify(std::string_view name, std::string_view text, std::string_view signature) const {
  const Algorithm* algorithm = named(name);
  if (algorithm == nullptr || !suits(of(*this), *algorithm)) return false;
  const std::string der = algorithm->half != 0 ? der_of(signature, algorithm->half) : std::string(signature);
  const Digest context(EVP_MD_CTX_new());
  const bool right =
      !der.empty() &&
      EVP_DigestVerifyInit_ex(context.get(), nullptr, algorithm->digest, nullptr, nullptr, of(*this), nullptr) == 1 &&
      EVP_DigestVerify(context.get(), bytes(der), der.size(), bytes(text), text.size()) == 1;
  ERR_clear_error();
  return right;
}

std::vector<std::pair<std::string, std::string>> SignatureKey::jwk() const {
  const Algorithm* algorithm = named(algorithm_);
  if (algorithm == nullptr) return {};
  if (algorithm->half != 0)
    return {{"kty", "EC"},
            {"kid", id_},
            {"crv", std::string(algorithm->jwk_curve)},
            {"alg", std::string(algorithm_)},
            {"x", number(of(*this), OSSL_PKEY_PARAM_EC_PUB_X, algorithm->half)},
            {"y", number(of(*this), OSSL_PKEY_PARAM_EC_PUB_Y, algorithm->half)}};
  if (algorithm->digest == nullptr) {
    std::string x(32, '\0');
    size_t size = x.size();
    EVP_PKEY_get_raw_public_key(of(*this), reinterpret_cast<unsigned char*>(x.data()), &size);
    return {{"kty", "OKP"},
            {"kid", id_},
            {"crv", std::string(algorithm->jwk_curve)},
            {"alg", std::string(algorithm_)},
            {"x", base64url_encode(x)}};
  }
  return {{"kty", "RSA"},
          {"kid", id_},
          {"alg", std::string(algorithm_)},
          {"n", number(of(*this), OSSL_PKEY_PARAM_RSA_N, 0)},
          {"e", number(of(*this), OSSL_PKEY_PARAM_RSA_E, 0)}};
}

}  // namespace proa::net
