// Everything about who may come in and what he may do, put together for the server.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kube/apiserver/access/authenticator.h"
#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/access/pki/cluster_pki.h"
#include "kube/apiserver/access/reviews/reviews.h"
#include "kube/apiserver/access/tokens/discovery.h"
#include "kube/apiserver/access/tokens/service_account_tokens.h"
#include "kube/apiserver/registry/subresource_table.h"

namespace proa::kube::api {

struct AccessSettings {
  bool anonymous = true;
  std::string token_file;              // static tokens; empty: none
  std::string issuer;                  // of service-account tokens; empty: https://kubernetes.default.svc.DOMAIN
  std::vector<std::string> audiences;  // empty: the issuer
  std::string cluster_domain = "cluster.local";
  std::function<int64_t()> now;  // seconds since 1970
};

class Access {
 public:
  // Both outlive it. Errors name the file.
  static Result<std::unique_ptr<Access>> open(const Reader& reader, const Authorizer& authorizer,
                                              const pki::ClusterPki& pki, const AccessSettings& settings);

  const Authenticator& authenticator() const { return *authenticator_; }
  const TokenIssuer& issuer() const { return issuer_; }
  // `server` is where clients find us: "https://192.0.2.1:6443".
  IssuerDocuments issuer_documents(std::string_view server) const {
    return api::issuer_documents(issuer_.options(), server);
  }
  void add_to(Subresources& subresources) const;

 private:
  Access(const Reader& reader, const Authorizer& authorizer, TokenOptions options,
         std::unique_ptr<Authenticator> authenticator)
      : reader_(reader),
        authorizer_(authorizer),
        issuer_(std::move(options)),
        authenticator_(std::move(authenticator)) {}

  const Reader& reader_;
  const Authorizer& authorizer_;
  const TokenIssuer issuer_;
  const std::unique_ptr<Authenticator> authenticator_;
};

}  // namespace proa::kube::api
