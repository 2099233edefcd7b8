// What others need to verify service-account tokens by themselves (OpenID Connect Discovery 1.0):
// /.well-known/openid-configuration and /openid/v1/jwks.
#pragma once

#include <string>
#include <string_view>

#include "kube/apiserver/access/tokens/service_account_tokens.h"

namespace proa::kube::api {

struct IssuerDocuments {
  std::string configuration;  // application/json
  std::string keys;           // application/jwk-set+json
};
inline constexpr std::string_view kConfigurationPath = "/.well-known/openid-configuration";
inline constexpr std::string_view kKeysPath = "/openid/v1/jwks";
inline constexpr std::string_view kKeysType = "application/jwk-set+json";
// Of both answers.
inline constexpr std::string_view kIssuerCacheControl = "public, max-age=3600";

// `server` is where the keys are to be had: "https://192.0.2.1:6443".
IssuerDocuments issuer_documents(const TokenOptions& options, std::string_view server);

}  // namespace proa::kube::api
