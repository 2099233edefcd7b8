// What the registry needs to know of a manifest or index.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "oci/image/digest.h"
#include "oci/registry/repositories.h"

namespace proa::oci::registry {

struct ManifestDetails {
  std::string media_type;
  std::vector<Need> needs;  // those that a client can be expected to have pushed
  image::Digest subject;    // empty: none
};

// `media_type` as the client gave it, without parameters; empty: what the document says. Errors name the field.
Result<ManifestDetails> read_details(std::string_view text, std::string_view media_type);
// The descriptor in such a list.
std::string referrer_descriptor(std::string_view text, const ManifestDetails& details, const image::Digest& digest);
// The artifactType of such a descriptor.
}  // namespace proa::oci::registry
