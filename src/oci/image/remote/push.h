// An image from the store to a registry.
#pragma once

#include <optional>

#include "oci/image/images.h"
#include "oci/image/reference.h"
#include "oci/image/remote/progress.h"
#include "oci/image/remote/session.h"

namespace proa::oci::image::remote {

struct PushOptions {
  std::optional<Platform> platform;  // of an index only the image for this one
  bool all_platforms = false;        // of an index all; an error when one is not here
  size_t at_once = 5;                // blobs
  uint64_t chunk = 0;                // bytes of one request; 0: each blob in one
  Progress* progress = nullptr;
};

struct Pushed {
  Descriptor target;     // what the name points to in the registry now
  bool partial = false;  // an index of which only one image was here, so that image was pushed
};

// The image that is called `name` here, to the registry, repository and tag that the name says. Blobs that are there
// are not sent; those that other repositories of the registry have, by the names known here, are mounted. Manifests
// follow when all that they need is there, the tag last.
// Blocks; not from a loop's thread.
Result<Pushed> push(Remote& remote, const Images& images, const Reference& name, const PushOptions& options);

}  // namespace proa::oci::image::remote
