#include "oci/registry/keys.h"

#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "base/ids.h"
#include "base/json.h"
#include "kernel/file.h"
#include "net/base64.h"
#include "net/crypto.h"
#include "oci/image/json_fields.h"

namespace proa::oci::registry {
namespace {

using namespace net::crypto;
using net::SignatureKey;

constexpr size_t kMostKeys = 256;
constexpr size_t kLongestChain = 8;

using TrustStore = std::unique_ptr<X509_STORE, Freed<X509_STORE_free>>;

Result<std::string> number_field(const image::Fields& in, std::string_view name) {
  const auto decoded = net::base64_decode(TRY(in.text(name)));
  if (!decoded || decoded->empty()) return fail(in.at(name), ": must be base64url");
  return *decoded;
}

Result<SignatureKey> rsa_of(const image::Fields& in) {
  const std::string n = TRY(number_field(in, "n")), e = TRY(number_field(in, "e"));
  return TRY_CTX(SignatureKey::of_rsa(n, e), in.at("n"));
}

Result<SignatureKey> curve_of(const image::Fields& in, std::string_view curve) {
  const std::string x = TRY(number_field(in, "x"));
  if (curve == "Ed25519") return TRY_CTX(SignatureKey::of_ed25519(x), in.at("x"));
  const std::string y = TRY(number_field(in, "y"));
  return TRY_CTX(SignatureKey::of_curve(curve, x, y), in.at("x"));
}

// Nothing for what is not for signatures, or of another kind.
Result<std::optional<SignatureKey>> jwk_of(const image::Fields& in) {
  if (const std::string use = TRY(in.text("use")); !use.empty() && use != "sig") return std::nullopt;
  const std::string type = TRY(in.text("kty"));
  if (type == "RSA") return TRY(rsa_of(in));
  if (type != "EC" && type != "OKP") return std::nullopt;
  const std::string curve = TRY(in.text("crv"));
  const bool known = type == "OKP" ? curve == "Ed25519" : curve == "P-256" || curve == "P-384" || curve == "P-521";
  if (!known) return std::nullopt;
  return TRY(curve_of(in, curve));
}

}  // namespace

struct KeySet::State {
  std::vector<SignatureKey> keys;
  TrustStore authorities{X509_STORE_new()};
  bool has_authorities = false;

  std::optional<SignatureKey> signer_of(const std::vector<std::string>& chain) const;
};

KeySet::KeySet() {
  prepare();
  state_ = std::make_unique<State>();
}
KeySet::KeySet(KeySet&&) noexcept = default;
KeySet& KeySet::operator=(KeySet&&) noexcept = default;
KeySet::~KeySet() = default;
size_t KeySet::size() const { return state_->keys.size(); }

Result<> KeySet::add_pem(std::string_view text) {
  auto keys = SignatureKey::parse_public(text);
  if (!keys) return fail("has neither a certificate nor a public key in PEM form");
  std::ranges::move(*keys, std::back_inserter(state_->keys));
  const Bio bio = bio_of(text);
  while (const X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    X509_STORE_add_cert(state_->authorities.get(), certificate.get());
    state_->has_authorities = true;
  }
  ERR_clear_error();
  return {};
}

Result<> KeySet::add_jwks(std::string_view text) {
  const boost::json::value document = TRY(json::parse(text));
  const image::Fields in = TRY(image::Fields::of(document, ""));
  const size_t before = size();
  for (const image::Fields& each : TRY(in.list("keys", kMostKeys)))
    if (auto key = TRY(jwk_of(each)); key) state_->keys.push_back(*std::move(key));
  if (size() == before) return fail("keys: has no key for signatures by RSA, ECDSA or Ed25519");
  return {};
}

// The key of the chain's first certificate, if an authority of ours vouches for it.
std::optional<SignatureKey> KeySet::State::signer_of(const std::vector<std::string>& chain) const {
  if (!has_authorities || chain.empty() || chain.size() > kLongestChain) return std::nullopt;
  std::vector<X509Ptr> parsed;
  for (const std::string& der : chain) {
    const unsigned char* at = bytes(der);
    parsed.emplace_back(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
    if (!parsed.back()) return std::nullopt;
  }
  STACK_OF(X509)* others = sk_X509_new_null();
  for (size_t i = 1; i < parsed.size(); ++i) sk_X509_push(others, parsed[i].get());
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  const bool good = X509_STORE_CTX_init(context, authorities.get(), parsed.front().get(), others) == 1 &&
                    X509_verify_cert(context) == 1;
  X509_STORE_CTX_free(context);
  sk_X509_free(others);
  ERR_clear_error();
  if (!good) return std::nullopt;
  return SignatureKey::adopt(X509_get_pubkey(parsed.front().get()), false);
}

bool KeySet::verify(std::string_view algorithm, std::string_view text, std::string_view signature,
                    const std::vector<std::string>& chain) const {
  const auto right = [&](const SignatureKey& key) { return key.verify(algorithm, text, signature); };
  if (std::ranges::any_of(state_->keys, right)) return true;
  const auto signer = state_->signer_of(chain);
  return signer && right(*signer);
}

// --- our own

Result<SigningKey> SigningKey::parse(std::string_view pem) {
  SignatureKey key = TRY(SignatureKey::parse_private(pem));
  if (key.algorithm() != "ES256")
    return fail("must be a P-256 key")
        .hint("make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256");
  return SigningKey(std::move(key));
}

Result<SigningKey> SigningKey::load_or_make(const std::string& path) {
  auto text = kernel::read_file(path.c_str());
  if (text) return TRY_CTX(parse(*text), path);
  if (text.error().code() != ENOENT) return std::unexpected(text.error());
  const std::string pem = TRY_CTX(SignatureKey::make(), path).private_pem();
  const std::string aside = cat(path, ".", TRY(random_hex(8)));
  const Defer discard([&] { ::unlink(aside.c_str()); });
  TRY(kernel::replace_file(aside, pem, 0600, true));
  // The first of several processes wins.
  if (::link(aside.c_str(), path.c_str()) != 0 && errno != EEXIST) return fail_errno(errno, path);
  text = TRY(kernel::read_file(path.c_str()));
  return TRY_CTX(parse(*text), path);
}

KeySet SigningKey::public_keys() const {
  KeySet out;
  out.state_->keys.push_back(key_.public_only());
  return out;
}

}  // namespace proa::oci::registry
