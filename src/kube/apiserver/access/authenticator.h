// Who a request is from: client certificate, bearer token, anonymous; then impersonation.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/access/user.h"
#include "kube/apiserver/answer.h"
#include "net/server.h"

namespace proa::kube::api {

// A WebSocket's subprotocol that carries a token in base64url: browsers can set no header there.
inline constexpr std::string_view kTokenProtocol = "base64url.bearer.authorization.k8s.io.";

struct Identity {
  User user;                   // acts
  std::unique_ptr<User> real;  // who impersonates `user`; null otherwise
};

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // 401 for credentials that are wrong; a request without any is anonymous's. Impersonation headers are not looked at.
  virtual Answer<User> authenticate(const net::Request& request) const = 0;
  // Of a bearer token alone (TokenReview). `audiences` empty: the server's own; the ones that match come back.
  virtual Answer<User> check_token(std::string_view token, std::vector<std::string>& audiences) const = 0;
};

// One kind of bearer token. Thread-safe, never waits.
class TokenSource {
 public:
  struct Found {
    User user;
    std::vector<std::string> audiences;  // of those asked for, the ones the token is for
  };
  virtual ~TokenSource() = default;
  // Nothing: not a token of this kind. An error: it is one, and is not to be believed; the text says why. `audiences`
  // is never empty.
  virtual Result<std::optional<Found>> check(std::string_view token,
                                             const std::vector<std::string>& audiences) const = 0;
};

struct AuthenticatorOptions {
  bool anonymous = true;
  // Those that the server's own tokens are for.
  std::vector<std::string> audiences = {"https://kubernetes.default.svc.cluster.local"};
  std::vector<std::unique_ptr<TokenSource>> tokens;
};
std::unique_ptr<Authenticator> standard_authenticator(AuthenticatorOptions options);

// Whom the headers Impersonate-* ask for, if `user` may. `user` itself without them.
Answer<Identity> impersonate(User user, const net::Request& request, const Authorizer& authorizer);

}  // namespace proa::kube::api
