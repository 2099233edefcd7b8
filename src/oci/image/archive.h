// Images in files: docker-archive (docker save), oci-archive and oci-layout folders.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "oci/image/store.h"
#include "oci/image/stream.h"
#include "oci/image/types.h"

namespace proa::oci::image {

enum class ArchiveFormat : uint8_t {
  kDocker,  // an OCI layout and Docker's manifest.json: both kinds of reader take it
  kOci,
};

struct ArchivedImage {
  Descriptor target;               // manifest or index
  std::vector<std::string> names;  // full references; may be empty
};

// Blobs go out as they are, each once. Deterministic.
Result<> save_archive(const Store& store, const std::vector<ArchivedImage>& images, ArchiveFormat format, Sink& out);
// Adds to the layout at `path`, which is made when missing.
Result<> save_layout(const Store& store, const std::vector<ArchivedImage>& images, const std::string& path);

// Reads an archive of either kind, compressed or not, in one pass; every blob is verified against its name. The
// images are in the store, protected by the lease, and have no names there yet.
Result<std::vector<ArchivedImage>> load_archive(const Store& store, const Lease& lease, Reader& in);
Result<std::vector<ArchivedImage>> load_layout(const Store& store, const Lease& lease, const std::string& path);

// Of an index's manifests the one that runs best on `platform`, of those that `usable` says yes to (all without it).
Result<Descriptor> best_manifest(const Index& index, const Platform& platform,
                                 const std::function<Result<bool>(const Descriptor&)>& usable = {});
// The manifest of an index (or the manifest itself) that runs best on `platform` and is in the store.
Result<Descriptor> choose_manifest(const Store& store, const Descriptor& target, const Platform& platform);

}  // namespace proa::oci::image
