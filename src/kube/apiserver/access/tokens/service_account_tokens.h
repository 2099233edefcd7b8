// Tokens of service accounts: issuing them (TokenRequest), and believing them as long as the account and what they are
// bound to are there.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kube/apiserver/access/authenticator.h"
#include "kube/apiserver/access/pki/keys.h"
#include "kube/apiserver/access/tokens/jwt.h"
#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/reader.h"

namespace proa::kube::api {

struct TokenOptions {
  // The first is ours; tokens of all are believed.
  std::vector<std::string> issuers = {"https://kubernetes.default.svc.cluster.local"};
  std::vector<std::string> audiences = {"https://kubernetes.default.svc.cluster.local"};
  std::vector<pki::Key> keys;     // the first signs
  int64_t longest_seconds = 0;    // tokens get no more than this; 0: what they ask for
  bool extend_pod_tokens = true;  // those of pods for this server live a year, for clients that do not read them anew
  std::function<int64_t()> now;   // seconds since 1970
};

// What a token is for, by kind: "pods" and so on; an empty name is none.
struct BoundObject {
  std::string name, uid;
};
struct TokenTerms {
  std::string ns, account, account_uid;
  BoundObject pod, secret, node;
  std::vector<std::string> audiences;
  int64_t seconds = 3600;
  int64_t warn_after_seconds = 0;  // 0: never
};
struct IssuedToken {
  std::string token, id;
  int64_t expires = 0;
};

// Thread-safe.
class TokenIssuer {
 public:
  explicit TokenIssuer(TokenOptions options) : options_(std::move(options)) {}
  const TokenOptions& options() const { return options_; }

  Result<IssuedToken> issue(const TokenTerms& terms) const;
  // Of a secret of type kubernetes.io/service-account-token: without end.
  Result<std::string> issue_legacy(std::string_view ns, std::string_view account, std::string_view account_uid,
                                   std::string_view secret) const;

 private:
  const TokenOptions options_;
};

// Remembers whose signatures it has seen, up to some thousand tokens, and looks at the objects only when they have
// changed.
class ServiceAccountTokens : public TokenSource {
 public:
  ServiceAccountTokens(const Reader& reader, TokenOptions options);
  ~ServiceAccountTokens() override;
  Result<std::optional<Found>> check(std::string_view token, const std::vector<std::string>& audiences) const override;

 private:
  struct Known;
  using KnownPtr = std::shared_ptr<Known>;
  KnownPtr remembered(const std::string& digest) const;
  void remember(const std::string& digest, const KnownPtr& known) const;
  Result<KnownPtr> read(std::string_view token) const;
  Result<> still_there(Known& known) const;

  const Reader& reader_;
  const TokenOptions options_;
  mutable std::mutex mutex_;
  // Two halves: when the young one is full, the old one is forgotten and it becomes old.
  mutable std::unordered_map<std::string, KnownPtr> young_, old_;
};

}  // namespace proa::kube::api
