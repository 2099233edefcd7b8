#include "oci/registry/token.h"

#include <gmock/gmock.h>

#include "kernel/temp_folder_test.h"
#include "net/base64.h"

namespace proa::oci::registry {
namespace {

using testing::HasSubstr;

constexpr int64_t kNow = 1'700'000'000;

class TokenTest : public testing::Test {
 protected:
  TokenTest() : key(SigningKey::load_or_make(folder / "key").value()), keys(key.public_keys()) {
    token.issuer = "us";
    token.subject = "ann";
    token.audience = {"service"};
    token.issued = token.not_before = kNow;
    token.expires = kNow + 300;
    token.access = {{"repository", "a/b", {"pull"}}};
  }
  std::string why(const std::string& text, int64_t now = kNow) {
    const auto verified = verify_token(text, {.issuer = "us", .service = "service", .keys = &keys}, now);
    return verified ? "" : verified.error().message();
  }
  // Claims as they are, signed.
  std::string signed_text(std::string_view header, std::string_view claims) {
    const std::string text = cat(net::base64url_encode(header), ".", net::base64url_encode(claims));
    return cat(text, ".", net::base64url_encode(*key.sign(text)));
  }
  TempFolder folder;
  SigningKey key;
  KeySet keys;
  Token token;
};

TEST_F(TokenTest, ComesBackAsItWas) {
  const auto back = verify_token(*sign(token, key), {.issuer = "us", .service = "service", .keys = &keys}, kNow);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ("ann", back->subject);
  ASSERT_EQ(1u, back->access.size());
  EXPECT_EQ("a/b", back->access[0].name);
  EXPECT_TRUE(back->access[0].allows("pull"));
  EXPECT_FALSE(back->access[0].allows("push"));
}

TEST_F(TokenTest, TheKeyIsKept) {
  const std::string text = *sign(token, key);
  const auto again = SigningKey::load_or_make(folder / "key");
  ASSERT_TRUE(again);
  EXPECT_TRUE(verify_token(text, {.issuer = "us", .service = "service", .keys = &keys}, kNow));
  const KeySet others = SigningKey::load_or_make(folder / "other")->public_keys();
  EXPECT_FALSE(verify_token(text, {.issuer = "us", .service = "service", .keys = &others}, kNow));
  folder.write("bad", "nonsense");
  EXPECT_FALSE(SigningKey::load_or_make(folder / "bad"));
}

TEST_F(TokenTest, IsRefused) {
  const std::string good = *sign(token, key);
  EXPECT_EQ("", why(good));
  EXPECT_THAT(why(good, kNow + 361), HasSubstr("expired"));
  EXPECT_THAT(why(good, kNow - 61), HasSubstr("not valid yet"));
  EXPECT_THAT(why("x.y"), HasSubstr("three parts"));
  EXPECT_THAT(why(good + "!"), HasSubstr("base64url"));
  EXPECT_NE("", why(good + "A"));
  std::string changed = good;
  changed[changed.find('.') + 5] ^= 1;
  EXPECT_NE("", why(changed));
  const std::string unsigned_token = cat(net::base64url_encode(R"({"alg":"none"})"), good.substr(good.find('.')));
  EXPECT_THAT(why(unsigned_token), HasSubstr("alg \"none\""));
  const std::string hmac = cat(net::base64url_encode(R"({"alg":"HS256"})"), good.substr(good.find('.')));
  EXPECT_THAT(why(hmac), HasSubstr("no key that is trusted"));
  constexpr std::string_view kHeader = R"({"alg":"ES256"})";
  EXPECT_THAT(why(signed_text(kHeader, R"({"iss":"us","aud":"service"})")), HasSubstr("exp: missing"));
  EXPECT_THAT(why(signed_text(kHeader, R"({"iss":"you","aud":"service","exp":9e9})")), HasSubstr("issuer \"you\""));
  EXPECT_THAT(why(signed_text(kHeader, R"({"iss":"us","aud":["x"],"exp":9e9})")), HasSubstr("not for service"));
  EXPECT_EQ("", why(signed_text(kHeader, R"({"iss":"us","aud":["x","service"],"exp":9000000000.5})")));
  EXPECT_THAT(why(signed_text(R"({"alg":"ES256","crit":["b64"]})", "{}")), HasSubstr("crit"));
  EXPECT_THAT(why(signed_text(kHeader, "[]")), HasSubstr("must be an object"));
  EXPECT_THAT(why(std::string(100'000, 'a')), HasSubstr("too long"));
}

TEST_F(TokenTest, ScopesAreParsed) {
  const auto grants = parse_scope("repository:a/b:pull,push repository(plugin):c:* registry:catalog:* nonsense a:b");
  ASSERT_EQ(3u, grants.size());
  EXPECT_EQ("a/b", grants[0].name);
  EXPECT_TRUE(grants[0].allows("push"));
  EXPECT_EQ("repository", grants[1].type);
  EXPECT_TRUE(grants[1].allows("delete"));
  EXPECT_EQ("registry", grants[2].type);
}

TEST(Keys, OfJwksAndPem) {
  KeySet keys;
  // RFC 7515, A.3: an ES256 key, with a signature by it.
  ASSERT_TRUE(keys.add_jwks(R"({"keys":[{"kty":"oct","k":"AAAA"},{"kty":"EC","crv":"P-256",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})"));
  EXPECT_EQ(1u, keys.size());
  const std::string text =
      "eyJhbGciOiJFUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
  const std::string signature =
      *net::base64_decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
  EXPECT_TRUE(keys.verify("ES256", text, signature, {}));
  EXPECT_FALSE(keys.verify("ES384", text, signature, {}));
  EXPECT_FALSE(keys.verify("RS256", text, signature, {}));
  EXPECT_FALSE(keys.verify("ES256", text + "x", signature, {}));
  EXPECT_FALSE(keys.verify("ES256", text, signature.substr(1), {}));
  for (const char* bad : {"{}", R"({"keys":[{"kty":"oct"}]})", R"({"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]})",
                          R"({"keys":[{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}]})", "nonsense"})
    EXPECT_FALSE(KeySet().add_jwks(bad)) << bad;
  EXPECT_FALSE(KeySet().add_pem("nonsense"));
}

}  // namespace
}  // namespace proa::oci::registry
