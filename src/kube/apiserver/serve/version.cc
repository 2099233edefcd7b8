#include "kube/apiserver/serve/version.h"

#include "base/error.h"

namespace proa::kube::api {

std::string version_document() {
  return cat(R"({"major":"1","minor":"34","emulationMajor":"1","emulationMinor":"34","minCompatibilityMajor":"1",)",
             R"("minCompatibilityMinor":"33","gitVersion":")", kKubernetesVersion, "+proa",
             R"(","gitCommit":"","gitTreeState":"clean","buildDate":"2025-08-27T00:00:00Z","goVersion":"",)",
             R"("compiler":"clang","platform":"linux/amd64"})");
}

}  // namespace proa::kube::api
