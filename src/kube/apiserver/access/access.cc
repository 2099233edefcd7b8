#include "kube/apiserver/access/access.h"

#include "kube/apiserver/access/tokens/bootstrap_tokens.h"

namespace proa::kube::api {

Result<std::unique_ptr<Access>> Access::open(const Reader& reader, const Authorizer& authorizer,
                                             const pki::ClusterPki& pki, const AccessSettings& settings) {
  TokenOptions options;
  const std::string usual = cat("https://kubernetes.default.svc.", settings.cluster_domain);
  options.issuers = {settings.issuer.empty() ? usual : settings.issuer};
  options.audiences = settings.audiences.empty() ? options.issuers : settings.audiences;
  options.keys = pki.token_keys();
  options.now = settings.now;
  AuthenticatorOptions authentication;
  authentication.anonymous = settings.anonymous;
  authentication.audiences = options.audiences;
  if (!settings.token_file.empty()) authentication.tokens.push_back(TRY(file_tokens(settings.token_file)));
  authentication.tokens.push_back(std::make_unique<ServiceAccountTokens>(reader, options));
  authentication.tokens.push_back(bootstrap_tokens(reader, settings.now));
  return std::unique_ptr<Access>(
      new Access(reader, authorizer, std::move(options), standard_authenticator(std::move(authentication))));
}

void Access::add_to(Subresources& subresources) const {
  add_reviews(subresources,
              {.reader = reader_, .authorizer = authorizer_, .authenticator = *authenticator_, .issuer = issuer_});
}

}  // namespace proa::kube::api
