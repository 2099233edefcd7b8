// An image's layers, unpacked side by side into ROOT/layers and shared by all images that have them.
//
//   layers/NAME/fs         the layer as overlayfs takes it
//   layers/NAME/info.json  see snapshot_info.h; where it is, the layer is whole
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "oci/image/store.h"
#include "oci/image/types.h"
#include "oci/image/unpack.h"

namespace proa::oci::image {

// Where the layers of an image are.
struct Chain {
  std::vector<Digest> ids;  // chain ids, lowest first
  std::string map;          // of the ids they were shifted by; empty: none
};

// What is known of a layer's blob to read its tar stream.
struct LayerBlob {
  Digest digest, diff_id;
};

// How a layer's blob is read; without one, from the store. A blob that is still coming in may be given: its end must
// not be told before it is whole and verified.
using OpenLayer = std::function<Result<std::unique_ptr<Reader>>(const LayerBlob&)>;

// Unpacks what is not there yet, several layers at once, each read, decompressed and written at the same time.
// The content is checked against the diff ids. `options.form` does not matter. `open` is called from several threads.
Result<Chain> unpack_layers(const Store& store, const Lease& lease, const std::vector<LayerBlob>& layers,
                            const UnpackOptions& options, const OpenLayer& open = {});

// The layers of a manifest with the diff ids of its config; an error if they do not match.
Result<std::vector<LayerBlob>> layer_blobs(const Manifest& manifest, const ImageConfig& config);

// A layer's tar stream, decompressed, for whoever wants to read it; `work` gets a source whose digest is checked
// against the diff id afterwards.
Result<> with_layer(const Store& store, const LayerBlob& layer, const RatioLimit& ratio,
                    const std::function<Result<>(Source&)>& work, const OpenLayer& open = {});

// The layers one upon the other, whiteouts applied, in one plain folder.
Result<> unpack_flat(const Store& store, const std::vector<LayerBlob>& layers, int target,
                     const UnpackOptions& options);

// Each layer at work holds some descriptors: with many of them the process's usual limit is raised to the hard one.
void allow_descriptors(size_t layers);

// Whether the ids a process may give are its own alone.
bool is_rootless();

}  // namespace proa::oci::image
