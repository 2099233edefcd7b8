// The kinds that are asked and answered, never stored: reviews of access, of tokens and of oneself; and tokens of
// service accounts (serviceaccounts/token).
#pragma once

#include "kube/apiserver/access/authenticator.h"
#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/access/tokens/service_account_tokens.h"
#include "kube/apiserver/registry/subresource_table.h"

namespace proa::kube::api {

// All outlive the table.
struct ReviewParts {
  const Reader& reader;
  const Authorizer& authorizer;
  const Authenticator& authenticator;
  const TokenIssuer& issuer;
};
void add_reviews(Subresources& to, const ReviewParts& parts);

// TokenRequest: a token for the service account that `context` names. `body` is conformed.
Answer<Value> request_token(const ReviewParts& parts, Context& context, const Value& body, bool dry_run);

// authentication.k8s.io/v1 UserInfo.
Value user_info(Arena& arena, const User& user);

}  // namespace proa::kube::api
