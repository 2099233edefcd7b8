// What a request's path asks for: the distribution specification's endpoints ("Endpoints"), Docker's catalog, and
// the server's own.
//
// Threads: any.
#pragma once

#include <string>
#include <string_view>

namespace proa::oci::registry {

enum class Place : uint8_t {
  kNowhere,
  kBase,       // /v2/
  kCatalog,    // /v2/_catalog
  kTags,       // /v2/NAME/tags/list
  kManifest,   // /v2/NAME/manifests/REFERENCE
  kBlob,       // /v2/NAME/blobs/DIGEST
  kUploads,    // /v2/NAME/blobs/uploads/
  kUpload,     // /v2/NAME/blobs/uploads/ID
  kReferrers,  // /v2/NAME/referrers/DIGEST
  kToken,      // /token
  kHealth,     // /healthz
  kMetrics,    // /metrics
};
inline constexpr size_t kPlaces = static_cast<size_t>(Place::kMetrics) + 1;
std::string_view name_of(Place place);

struct Route {
  Place place = Place::kNowhere;
  std::string repository;  // as it stands there: valid_repository() judges it
  std::string reference;   // tag, digest, or upload id
};
// `path` as the client sent it, percent-encoded, without a query.
Route route_of(std::string_view path);

// The specification's grammar of <name>, at most 255 characters: safe as a relative path of folders.
bool valid_repository(std::string_view name);

}  // namespace proa::oci::registry
