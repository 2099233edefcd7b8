// Which level of the API this is.
#pragma once

#include <string>

namespace proa::kube::api {

inline constexpr const char* kKubernetesVersion = "v1.34.0";
// The document of /version.
std::string version_document();

}  // namespace proa::kube::api
