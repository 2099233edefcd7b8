#include "net/signature_key.h"

#include <gmock/gmock.h>

#include "net/base64.h"

namespace proa::net {
namespace {

using testing::HasSubstr;

std::string member(const SignatureKey& key, std::string_view name) {
  for (const auto& [known, value] : key.jwk())
    if (known == name) return value;
  return {};
}
std::string number(const SignatureKey& key, std::string_view name) {
  return base64_decode(member(key, name)).value_or("");
}

TEST(SignatureKey, SignsForWhoeverHasItsPublicForm) {
  const SignatureKey key = SignatureKey::make().value();
  const std::string signature = key.sign("text").value();
  EXPECT_EQ(signature.size(), 64U);
  const SignatureKey reader = SignatureKey::parse_public(key.public_pem()).value().front();
  EXPECT_TRUE(reader.verify("ES256", "text", signature));
  EXPECT_FALSE(reader.verify("ES256", "texts", signature));
  EXPECT_FALSE(reader.verify("ES384", "text", signature));
  EXPECT_FALSE(reader.verify("RS256", "text", signature));
  EXPECT_FALSE(reader.verify("none", "text", signature));
  EXPECT_EQ(reader.id(), key.id());
  EXPECT_THAT(reader.sign("text").error().message(), HasSubstr("signs nothing"));
  EXPECT_TRUE(SignatureKey::parse_private(key.private_pem()).value().has_private());
}

TEST(SignatureKey, TheNumbersOfAJwkAreTheKey) {
  const SignatureKey key = SignatureKey::make().value();
  EXPECT_EQ(member(key, "kty"), "EC");
  const SignatureKey other = SignatureKey::of_curve("P-256", number(key, "x"), number(key, "y")).value();
  EXPECT_EQ(other.id(), key.id());
  EXPECT_TRUE(other.verify("ES256", "text", key.sign("text").value()));
  EXPECT_FALSE(SignatureKey::of_curve("P-256", number(key, "y"), number(key, "x")));
  EXPECT_THAT(SignatureKey::of_curve("P-224", "", "").error().message(), HasSubstr("P-224 is not P-256"));
}

TEST(SignatureKey, WeakAndBrokenOnesAreRefused) {
  EXPECT_THAT(SignatureKey::of_rsa(std::string(128, '\x81'), "\x01\x00\x01").error().message(), HasSubstr("2048 bits"));
  EXPECT_THAT(SignatureKey::of_ed25519("short").error().message(), HasSubstr("no Ed25519 key"));
  EXPECT_THAT(SignatureKey::parse_private("x").error().message(), HasSubstr("no private key"));
  EXPECT_THAT(SignatureKey::parse_public("x").error().message(), HasSubstr("no key"));
}

}  // namespace
}  // namespace proa::net
