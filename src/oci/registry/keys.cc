#include "oci/registry/keys.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <span>

#include "base/ids.h"
#include "base/json.h"
#include "base/openssl.h"
#include "kernel/file.h"
#include "net/base64.h"
#include "oci/image/json_fields.h"

namespace proa::oci::registry {
namespace {

constexpr size_t kMostKeys = 256;
constexpr size_t kLongestChain = 8;
constexpr int kShortestRsa = 2048;

template <typename T, void (*Free)(T*)>
struct Freed {
  void operator()(T* object) const { Free(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;
using TrustStore = std::unique_ptr<X509_STORE, Freed<X509_STORE, X509_STORE_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX, EVP_MD_CTX_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX, EVP_PKEY_CTX_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG, ECDSA_SIG_free>>;
using Builder = std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>>;
using Parameters = std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM, OSSL_PARAM_free>>;
using Number = std::unique_ptr<BIGNUM, Freed<BIGNUM, BN_free>>;
struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, BioFree>;

const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
Bio bio_of(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// RFC 7518, 3.1, and RFC 8037. Keys are believed for the algorithms of their kind alone.
struct Algorithm {
  std::string_view name;
  const char* key;    // OpenSSL's name of the key's type
  const char* curve;  // or null
  const char* digest;
  int half;  // bytes of each number of an ECDSA signature
};
constexpr std::array kAlgorithms = {
    Algorithm{"RS256", "RSA", nullptr, "SHA256", 0},     Algorithm{"RS384", "RSA", nullptr, "SHA384", 0},
    Algorithm{"RS512", "RSA", nullptr, "SHA512", 0},     Algorithm{"ES256", "EC", "prime256v1", "SHA256", 32},
    Algorithm{"ES384", "EC", "secp384r1", "SHA384", 48}, Algorithm{"ES512", "EC", "secp521r1", "SHA512", 66},
    Algorithm{"EdDSA", "ED25519", nullptr, nullptr, 0},
};

bool suits(const EVP_PKEY* key, const Algorithm& algorithm) {
  if (EVP_PKEY_is_a(key, algorithm.key) != 1) return false;
  if (algorithm.curve == nullptr) return true;
  std::array<char, 64> group{};
  return EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) == 1 &&
         std::string_view(group.data()) == algorithm.curve;
}

// JSON's form of an ECDSA signature, two numbers of fixed length, in DER (RFC 7518, 3.4).
std::string der_of(std::string_view raw, int half) {
  if (raw.size() != static_cast<size_t>(2 * half)) return {};
  const Signature signature(ECDSA_SIG_new());
  ECDSA_SIG_set0(signature.get(), BN_bin2bn(bytes(raw), half, nullptr), BN_bin2bn(bytes(raw) + half, half, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  std::string out(reinterpret_cast<const char*>(der), size > 0 ? static_cast<size_t>(size) : 0);
  OPENSSL_free(der);
  return out;
}

bool verifies(EVP_PKEY* key, const Algorithm& algorithm, std::string_view text, std::string_view signature) {
  if (!suits(key, algorithm)) return false;
  const std::string der = algorithm.half != 0 ? der_of(signature, algorithm.half) : std::string(signature);
  const DigestContext context(EVP_MD_CTX_new());
  const bool right =
      !der.empty() &&
      EVP_DigestVerifyInit_ex(context.get(), nullptr, algorithm.digest, nullptr, nullptr, key, nullptr) == 1 &&
      EVP_DigestVerify(context.get(), bytes(der), der.size(), bytes(text), text.size()) == 1;
  ERR_clear_error();
  return right;
}

Result<Key> key_of(const char* type, OSSL_PARAM_BLD* builder) {
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  const bool made = EVP_PKEY_fromdata_init(context.get()) == 1 &&
                    EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) == 1;
  ERR_clear_error();
  if (!made) return fail("is no public key");
  return Key(key);
}

Result<std::string> number_field(const image::Fields& in, std::string_view name) {
  const auto decoded = net::base64_decode(TRY(in.text(name)));
  if (!decoded || decoded->empty()) return fail(in.at(name), ": must be base64url");
  return *decoded;
}

Result<Key> rsa_of(const image::Fields& in) {
  const std::string n = TRY(number_field(in, "n")), e = TRY(number_field(in, "e"));
  const Number modulus(BN_bin2bn(bytes(n), static_cast<int>(n.size()), nullptr));
  const Number exponent(BN_bin2bn(bytes(e), static_cast<int>(e.size()), nullptr));
  if (BN_num_bits(modulus.get()) < kShortestRsa) return fail(in.at("n"), ": must have ", kShortestRsa, " bits or more");
  const Builder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return key_of("RSA", builder.get());
}

Result<Key> ec_of(const image::Fields& in) {
  const std::string name = TRY(in.text("crv"));
  const char* curve = name == "P-256" ? "prime256v1" : name == "P-384" ? "secp384r1" : "secp521r1";
  if (name != "P-256" && name != "P-384" && name != "P-521") return Key();
  const std::string point = cat('\x04', TRY(number_field(in, "x")), TRY(number_field(in, "y")));
  const Builder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  return key_of("EC", builder.get());
}

Result<Key> okp_of(const image::Fields& in) {
  if (TRY(in.text("crv")) != "Ed25519") return Key();
  const std::string x = TRY(number_field(in, "x"));
  Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes(x), x.size()));
  ERR_clear_error();
  if (!key) return fail(in.at("x"), ": is no Ed25519 key");
  return key;
}

// Null for what is not for signatures, or of another kind.
Result<Key> jwk_of(const image::Fields& in) {
  if (const std::string use = TRY(in.text("use")); !use.empty() && use != "sig") return Key();
  const std::string type = TRY(in.text("kty"));
  if (type == "RSA") return rsa_of(in);
  if (type == "EC") return ec_of(in);
  if (type == "OKP") return okp_of(in);
  return Key();
}

}  // namespace

void prepare_crypto() {
  prepare_tls();
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
}

struct KeySet::State {
  std::vector<Key> keys;
  TrustStore authorities{X509_STORE_new()};
  bool has_authorities = false;

  Key signer_of(const std::vector<std::string>& chain) const;
};

KeySet::KeySet() {
  prepare_crypto();
  state_ = std::make_unique<State>();
}
KeySet::KeySet(KeySet&&) noexcept = default;
KeySet& KeySet::operator=(KeySet&&) noexcept = default;
KeySet::~KeySet() = default;
size_t KeySet::size() const { return state_->keys.size(); }

Result<> KeySet::add_pem(std::string_view text) {
  const Bio bio = bio_of(text);
  const size_t before = size();
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long length = 0;
  while (PEM_read_bio(bio.get(), &name, &header, &data, &length) == 1) {
    const std::string_view kind = name;
    const unsigned char* at = data;
    if (kind == "CERTIFICATE") {
      if (const Certificate certificate(d2i_X509(nullptr, &at, length)); certificate) {
        X509_STORE_add_cert(state_->authorities.get(), certificate.get());
        state_->has_authorities = true;
        if (Key key(X509_get_pubkey(certificate.get())); key) state_->keys.push_back(std::move(key));
      }
    } else if (kind == "PUBLIC KEY") {
      if (Key key(d2i_PUBKEY(nullptr, &at, length)); key) state_->keys.push_back(std::move(key));
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
  }
  ERR_clear_error();
  if (size() == before) return fail("has neither a certificate nor a public key in PEM form");
  return {};
}

Result<> KeySet::add_jwks(std::string_view text) {
  const boost::json::value document = TRY(json::parse(text));
  const image::Fields in = TRY(image::Fields::of(document, ""));
  const size_t before = size();
  for (const image::Fields& each : TRY(in.list("keys", kMostKeys)))
    if (Key key = TRY(jwk_of(each)); key) state_->keys.push_back(std::move(key));
  if (size() == before) return fail("keys: has no key for signatures by RSA, ECDSA or Ed25519");
  return {};
}

// The key of the chain's first certificate, if an authority of ours vouches for it.
Key KeySet::State::signer_of(const std::vector<std::string>& chain) const {
  if (!has_authorities || chain.empty() || chain.size() > kLongestChain) return nullptr;
  std::vector<Certificate> parsed;
  for (const std::string& der : chain) {
    const unsigned char* at = bytes(der);
    parsed.emplace_back(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
    if (!parsed.back()) return nullptr;
  }
  STACK_OF(X509)* others = sk_X509_new_null();
  for (size_t i = 1; i < parsed.size(); ++i) sk_X509_push(others, parsed[i].get());
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  const bool good = X509_STORE_CTX_init(context, authorities.get(), parsed.front().get(), others) == 1 &&
                    X509_verify_cert(context) == 1;
  X509_STORE_CTX_free(context);
  sk_X509_free(others);
  ERR_clear_error();
  return Key(good ? X509_get_pubkey(parsed.front().get()) : nullptr);
}

bool KeySet::verify(std::string_view algorithm, std::string_view text, std::string_view signature,
                    const std::vector<std::string>& chain) const {
  for (const Algorithm& each : kAlgorithms) {
    if (each.name != algorithm) continue;
    for (const Key& key : state_->keys)
      if (verifies(key.get(), each, text, signature)) return true;
    const Key signer = state_->signer_of(chain);
    return signer && verifies(signer.get(), each, text, signature);
  }
  return false;
}

// --- our own

struct SigningKey::State {
  Key key;
};
SigningKey::SigningKey(std::unique_ptr<State> state) : state_(std::move(state)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;

Result<SigningKey> SigningKey::parse(std::string_view pem) {
  prepare_crypto();
  const Bio bio = bio_of(pem);
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (!key) return fail("is no private key in PEM form");
  if (!suits(key.get(), kAlgorithms[3]))
    return fail("must be a P-256 key")
        .hint("make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256");
  return SigningKey(std::make_unique<State>(std::move(key)));
}

Result<SigningKey> SigningKey::load_or_make(const std::string& path) {
  prepare_crypto();
  auto text = kernel::read_file(path.c_str());
  if (text) return TRY_CTX(parse(*text), path);
  if (text.error().code() != ENOENT) return std::unexpected(text.error());
  const Key key(EVP_EC_gen("P-256"));
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!key || PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return fail(path, ": cannot make a key");
  char* pem = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &pem);
  const std::string aside = cat(path, ".", TRY(random_hex(8)));
  const Defer discard([&] { ::unlink(aside.c_str()); });
  TRY(kernel::replace_file(aside, {pem, static_cast<size_t>(size)}, 0600, true));
  // The first of several processes wins.
  if (::link(aside.c_str(), path.c_str()) != 0 && errno != EEXIST) return fail_errno(errno, path);
  text = TRY(kernel::read_file(path.c_str()));
  return TRY_CTX(parse(*text), path);
}

Result<std::string> SigningKey::sign(std::string_view text) const {
  const DigestContext context(EVP_MD_CTX_new());
  std::array<unsigned char, 256> der{};
  size_t size = der.size();
  if (EVP_DigestSignInit_ex(context.get(), nullptr, "SHA256", nullptr, nullptr, state_->key.get(), nullptr) != 1 ||
      EVP_DigestSign(context.get(), der.data(), &size, bytes(text), text.size()) != 1)
    return fail("sign a token");
  const unsigned char* at = der.data();
  const Signature signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
  if (!signature) return fail("sign a token");
  std::array<unsigned char, 64> raw{};
  BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + 32, 32);
  return std::string(reinterpret_cast<const char*>(raw.data()), raw.size());
}

KeySet SigningKey::public_keys() const {
  KeySet out;
  EVP_PKEY_up_ref(state_->key.get());
  out.state_->keys.emplace_back(state_->key.get());
  return out;
}

}  // namespace proa::oci::registry
