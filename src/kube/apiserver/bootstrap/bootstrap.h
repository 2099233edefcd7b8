// What a cluster has from its first moment: namespaces, priority classes, the service of the API itself.
#pragma once

#include <string>

#include "base/error.h"
#include "kube/apiserver/registry/objects.h"
#include "net/task.h"

namespace proa::kube::api {

struct BootstrapSettings {
  std::string service_cidr = "10.43.0.0/16";
  std::string address;  // where the API server is, for the endpoints of its service
  int port = 6443;
  std::string authority_pem;              // who signs its certificate, and its clients'
  std::string front_proxy_authority_pem;  // ... and those of requests that come through another API server
};

// Creates what is missing; what is there stays, but for what has to be true (the endpoints).
net::Task<Result<>> bootstrap(Objects& objects, const Catalog& catalog, BootstrapSettings settings);

// The first address of a service range; an error names the setting.
Result<std::string> first_address(const std::string& cidr);

}  // namespace proa::kube::api
