// An image from a registry into the store.
#pragma once

#include <optional>
#include <string>

#include "oci/image/images.h"
#include "oci/image/reference.h"
#include "oci/image/remote/progress.h"
#include "oci/image/remote/session.h"

namespace proa::oci::image::remote {

struct PullOptions {
  std::optional<Platform> platform;  // this host's when absent
  bool all_platforms = false;        // everything that an index has
  bool unpack = true;
  size_t at_once = 6;  // blobs
  Progress* progress = nullptr;
};

struct Pulled {
  std::string name;    // what it is called now, in full
  Descriptor target;   // index or manifest
  bool fresh = false;  // the name did not point to it before, or not all of it was here
};

// Layers are unpacked while they come. The image gets its name when all of it is here and unpacked; until then there
// is nothing of it but parts of blobs, which a later pull goes on with. With a tag and a digest the digest counts.
// Blocks; not from a loop's thread.
Result<Pulled> pull(Remote& remote, const Images& images, const Reference& reference, const PullOptions& options);

}  // namespace proa::oci::image::remote
