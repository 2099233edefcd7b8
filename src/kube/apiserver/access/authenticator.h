// Who a request is from: client certificate, bearer token, anonymous; then impersonation.
#pragma once

#include <memory>
#include <string>

#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/access/user.h"
#include "kube/apiserver/answer.h"
#include "net/server.h"

namespace proa::kube::api {

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

// Whom the headers Impersonate-* ask for, if `user` may. `user` itself without them.
Answer<Identity> impersonate(User user, const net::Request& request, const Authorizer& authorizer);

}  // namespace proa::kube::api
