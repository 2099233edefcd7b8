// OpenAPI documents made from tables: v2 of everything, v3 of one group version.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "kube/schema/table.h"

namespace proa::kube {

enum class OpenApiVersion : uint8_t { kV2, kV3 };

// The document's JSON. Made anew at each call, in some milliseconds: keep it in a CachedDocument. `tables` are the
// built-in one and those of CRDs; group versions without resources are left out.
std::string openapi_v2(std::span<const Table* const> tables);
// `group_versions` are of one group and version, from several tables when CRDs share it.
std::string openapi_v3(std::span<const GroupVersionView> group_versions);
// The path of a group version below /openapi/v3: "api/v1", "apis/apps/v1".
std::string openapi_v3_path(std::string_view group, std::string_view version);
// The document of /openapi/v3: paths with the hashes of their documents.
struct OpenApiEntry {
  std::string path;  // "apis/apps/v1"
  std::string hash;
};
std::string openapi_v3_index(std::span<const OpenApiEntry> entries);

// A type's name in definitions: "io.k8s.api.core.v1.Pod".
std::string definition_name(TypeView type);

}  // namespace proa::kube
