// One request on its way: what it is about, who asks, and in which form the answer goes out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "kube/apiserver/access/authenticator.h"
#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/access/tokens/discovery.h"
#include "kube/apiserver/audit/audit.h"
#include "kube/apiserver/registry/catalog.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/apiserver/request/info.h"
#include "kube/apiserver/serve/format.h"
#include "net/server.h"

namespace proa::kube::api {

class Documents;
class Health;
class Metrics;

// What all requests share; outlives them.
struct Service {
  Objects& objects;
  const Catalog& catalog;
  const Authenticator& authenticator;
  const Authorizer& authorizer;
  Metrics& metrics;
  Documents& documents;
  const IssuerDocuments issuer;
  const Auditor* auditor = nullptr;  // null: no audit
  Health& health;
};

struct Call {
  Call(const Service& s, net::Request& rq, net::Response& rs) : service(s), request(rq), response(rs) {}

  const Service& service;
  net::Request& request;
  net::Response& response;
  RequestInfo info;
  Identity identity;
  Arena arena;
  CatalogPtr catalog;
  const Resource* resource = nullptr;
  std::optional<SubresourceView> part;  // of the resource, if the address has one
  std::vector<std::string> warnings;
  std::string audit_id;
  std::unique_ptr<AuditTrail> audit;  // null: nothing of this request is written
  Format format;

  Context context() {
    return {.catalog = catalog,
            .resource = resource,
            .subresource = info.subresource,
            .ns = resource->namespaced() ? info.ns : std::string(),
            .name = info.name,
            .user = &identity.user,
            .arena = arena,
            .warnings = {},
            .annotations = {}};
  }
  // fieldManager, or what the client calls itself.
  std::string manager(std::string_view given) const;
};

// The answer was not what was promised because the connection failed: no Status can be sent any more.
constexpr int kConnectionLost = -1;
ApiError connection_lost(const Error& error);

using Served = net::Task<Answer<>>;

}  // namespace proa::kube::api
