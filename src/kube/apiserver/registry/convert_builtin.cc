#include "kube/apiserver/registry/convert_builtin.h"

#include "base/error.h"

namespace proa::kube::api {

Answer<Value> convert_builtin(Arena&, const Resource& from, const Resource& to, const Value&) {
  return refuse(
      internal_error(cat(from.api_version(), " ", from.kind(), " cannot be converted to ", to.api_version())));
}

}  // namespace proa::kube::api
