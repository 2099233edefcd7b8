// The API over HTTP: lets a request in, or not, and has it served.
#pragma once

#include <atomic>

#include "kube/apiserver/serve/call.h"

namespace proa::kube::api {

struct ApiLimits {
  int64_t reading = 400;  // requests at a time; watches and the administrators' are not counted
  int64_t writing = 200;
};

class Api {
 public:
  Api(const Service& service, const ApiLimits& limits) : service_(service), limits_(limits) {}
  net::Task<Result<>> handle(net::Request& request, net::Response& response) const;

 private:
  Served serve(Call& call) const;
  Answer<> identify(Call& call) const;
  net::Task<> begin_audit(Call& call, bool known) const;
  Answer<> authorize(const Call& call) const;
  Served dispatch(Call& call) const;
  Served serve_path(Call& call) const;
  Served serve_issuer(Call& call) const;
  bool find_resource(Call& call) const;

  const Service& service_;
  const ApiLimits limits_;
};

}  // namespace proa::kube::api
