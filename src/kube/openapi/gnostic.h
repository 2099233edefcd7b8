// OpenAPI v2 as protobuf, the form of application/com.github.proto-openapi.spec.v2@v1.0+protobuf
// (github.com/google/gnostic, openapiv2/OpenAPIv2.proto).
#pragma once

#include <string>
#include <string_view>

namespace proa::kube {

// `json` is a document of openapi_v2().
std::string openapi_v2_protobuf(std::string_view json);

}  // namespace proa::kube
