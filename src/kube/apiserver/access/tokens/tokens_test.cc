#include <gmock/gmock.h>

#include "kube/apiserver/access/access_test.h"
#include "kube/apiserver/access/tokens/bootstrap_tokens.h"
#include "kube/apiserver/access/tokens/discovery.h"
#include "kube/apiserver/access/tokens/service_account_tokens.h"
#include "kube/object/json.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> kOwn = {"https://kubernetes.default.svc.cluster.local"};

class TokensTest : public AccessTest {
 protected:
  TokensTest() {
    options_.keys = {*pki::Key::make()};
    options_.now = [this] { return now_; };
    put("", "serviceaccounts", "x", "bot", R"({"metadata":{"name":"bot","namespace":"x","uid":"u1"}})");
  }
  std::string issue(TokenTerms terms) {
    terms.ns = "x";
    terms.account = "bot";
    terms.account_uid = "u1";
    if (terms.audiences.empty()) terms.audiences = kOwn;
    return TokenIssuer(options_).issue(terms)->token;
  }
  // The user's name, or why not.
  std::string check(const TokenSource& source, std::string_view token,
                    const std::vector<std::string>& audiences = kOwn) {
    const auto found = source.check(token, audiences);
    if (!found) return found.error().message();
    return *found ? (*found)->user.name : "none";
  }

  int64_t now_ = 1'800'000'000;
  TokenOptions options_;
};

TEST_F(TokensTest, IssuedTokensAreBelieved) {
  const ServiceAccountTokens tokens(reader_, options_);
  const std::string token = issue({.audiences = {kOwn[0], "vault"}});
  const auto found = *tokens.check(token, {"vault", "other"});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->user.name, "system:serviceaccount:x:bot");
  EXPECT_EQ(found->user.uid, "u1");
  EXPECT_THAT(found->user.groups, ElementsAre("system:serviceaccounts", "system:serviceaccounts:x"));
  EXPECT_THAT(found->audiences, ElementsAre("vault"));
  EXPECT_EQ(
      check(tokens, token, {"other"}),
      R"(token audiences ["https://kubernetes.default.svc.cluster.local" "vault"] is invalid for the target audiences ["other"])");
  now_ += 3601;
  EXPECT_EQ(check(tokens, token), "service account token has expired");
}

TEST_F(TokensTest, ForgeriesAreNot) {
  const ServiceAccountTokens tokens(reader_, options_);
  const std::string token = issue({});
  std::string other = token;
  char& letter = other[other.rfind('.') + 5];
  letter = letter == 'A' ? 'B' : 'A';
  EXPECT_EQ(check(tokens, other), "signature is invalid");
  // Somebody else's key, and none at all.
  TokenOptions foreign = options_;
  foreign.keys = {*pki::Key::make()};
  EXPECT_EQ(check(ServiceAccountTokens(reader_, foreign), token), "signature is invalid");
  const std::string claims = token.substr(token.find('.'), token.rfind('.') - token.find('.'));
  const std::string unsigned_header = net::base64url_encode(R"({"alg":"none"})");
  EXPECT_EQ(check(tokens, cat(unsigned_header, claims, ".", net::base64url_encode("x"))), "signature is invalid");
  for (const char* text : {"", "a", "a.b", "a.b.c", "a.b.c.d", "..", "e30.e30.", "e30.W10.eA"})
    EXPECT_EQ(check(tokens, text), "none") << text;
}

TEST_F(TokensTest, EndWithWhatTheyAreBoundTo) {
  const ServiceAccountTokens tokens(reader_, options_);
  put("", "pods", "x", "p", R"({"metadata":{"name":"p","namespace":"x","uid":"p1"}})");
  const std::string token = issue({.pod = {"p", "p1"}, .node = {"n", "n1"}, .audiences = {}});
  EXPECT_EQ(check(tokens, token), "system:serviceaccount:x:bot");
  const auto user = (*tokens.check(token, kOwn))->user;
  EXPECT_THAT(user.extra.at("authentication.kubernetes.io/pod-name"), ElementsAre("p"));
  EXPECT_THAT(user.extra.at("authentication.kubernetes.io/node-name"), ElementsAre("n"));
  put("", "pods", "x", "p", R"({"metadata":{"name":"p","namespace":"x","uid":"p2"}})");
  EXPECT_EQ(check(tokens, token), "pod UID (p2) does not match claim (p1)");
  remove("", "pods", "x", "p");
  EXPECT_EQ(check(tokens, token), "pod has been deleted");
  const std::string plain = issue({});
  EXPECT_EQ(check(tokens, plain), "system:serviceaccount:x:bot");
  remove("", "serviceaccounts", "x", "bot");
  EXPECT_EQ(check(tokens, plain), "service account has been deleted");
}

TEST_F(TokensTest, DeletionHasALeeway) {
  const ServiceAccountTokens tokens(reader_, options_);
  const std::string token = issue({});
  put("", "serviceaccounts", "x", "bot",
      R"({"metadata":{"name":"bot","namespace":"x","uid":"u1","deletionTimestamp":"2027-01-15T08:00:00Z"}})");
  now_ = 1'800'000'030;
  EXPECT_EQ(check(tokens, token), "system:serviceaccount:x:bot");
  now_ += 60;
  EXPECT_EQ(check(tokens, token), "service account has been deleted");
}

TEST_F(TokensTest, TokensInSecrets) {
  const ServiceAccountTokens tokens(reader_, options_);
  const std::string token = *TokenIssuer(options_).issue_legacy("x", "bot", "u1", "s");
  EXPECT_EQ(check(tokens, token), "secret has been deleted");
  put("", "secrets", "x", "s",
      cat(R"({"metadata":{"name":"s"},"data":{"token":")", net::base64_encode(token), R"("}})"));
  EXPECT_EQ(check(tokens, token), "system:serviceaccount:x:bot");
  put("", "secrets", "x", "s", R"({"metadata":{"name":"s"},"data":{"token":"eA=="}})");
  EXPECT_EQ(check(tokens, token), "token does not match server's copy");
}

TEST_F(TokensTest, ManyTokensAreForgottenNotRefused) {
  const ServiceAccountTokens tokens(reader_, options_);
  const std::string first = issue({});
  for (int i = 0; i < 5000; ++i) check(tokens, i % 2 == 0 ? first : cat(first, "x"));
  EXPECT_EQ(check(tokens, first), "system:serviceaccount:x:bot");
}

TEST_F(TokensTest, BootstrapTokens) {
  const auto tokens = bootstrap_tokens(reader_, [this] { return now_; });
  const auto secret = [&](std::string_view more) {
    put("", "secrets", "kube-system", "bootstrap-token-abcdef",
        cat(R"({"type":"bootstrap.kubernetes.io/token","metadata":{},"data":{"token-id":"YWJjZGVm","token-secret":)",
            R"("MDEyMzQ1Njc4OWFiY2RlZg==","usage-bootstrap-authentication":"dHJ1ZQ==")", more, "}}"));
  };
  constexpr std::string_view kToken = "abcdef.0123456789abcdef";
  EXPECT_EQ(check(*tokens, kToken), "none");
  secret("");
  EXPECT_EQ(check(*tokens, kToken), "system:bootstrap:abcdef");
  EXPECT_EQ(check(*tokens, "abcdef.0123456789abcdee"), "none");
  secret(cat(R"(,"auth-extra-groups":")", net::base64_encode("system:bootstrappers:kubeadm:default-node-token"), "\""));
  EXPECT_THAT((*tokens->check(kToken, kOwn))->user.groups,
              ElementsAre("system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"));
  secret(cat(R"(,"auth-extra-groups":")", net::base64_encode("system:masters"), "\""));
  EXPECT_THAT(check(*tokens, kToken), HasSubstr("system:masters is no group"));
  secret(cat(R"(,"expiration":")", net::base64_encode("2020-01-01T00:00:00Z"), "\""));
  EXPECT_EQ(check(*tokens, kToken), "none");
}

TEST_F(TokensTest, TokensOfAFile) {
  folder_.write("tokens.csv", "# ours\nsecret1,jane,42,\"dev,ops\"\nsecret2,\"o\"\"neil\",7\n");
  const auto tokens = *file_tokens(folder_ / "tokens.csv");
  EXPECT_THAT((*tokens->check("secret1", kOwn))->user.groups, ElementsAre("dev", "ops"));
  EXPECT_EQ(check(*tokens, "secret2"), "o\"neil");
  EXPECT_EQ(check(*tokens, "secret"), "none");
  folder_.write("tokens.csv", "a,b\n");
  EXPECT_THAT(file_tokens(folder_ / "tokens.csv").error().message(), HasSubstr("line 1"));
}

TEST_F(TokensTest, DocumentsForOthers) {
  const IssuerDocuments documents = issuer_documents(options_, "https://192.0.2.1:6443");
  Arena arena;
  const Value configuration = *read_json(arena, documents.configuration);
  EXPECT_EQ(configuration.string("jwks_uri"), "https://192.0.2.1:6443/openid/v1/jwks");
  EXPECT_EQ(configuration.get("id_token_signing_alg_values_supported").items()[0].as_string(), "ES256");
  const Value key = read_json(arena, documents.keys)->get("keys").items()[0];
  EXPECT_EQ(key.string("kid"), options_.keys[0].id());
  EXPECT_EQ(net::base64_decode(key.string("x"))->size(), 32U);
}

}  // namespace
}  // namespace proa::kube::api
