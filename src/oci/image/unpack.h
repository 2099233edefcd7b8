// Layers onto the disk (image-spec layer.md). The archive is hostile until shown otherwise: every name is
// resolved beneath the target's root (openat2, RESOLVE_IN_ROOT), no device is opened, and what would leave the
// target is refused with an error that names the entry.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "oci/image/compression.h"
#include "oci/image/stream.h"
#include "oci/image/tar_reader.h"

namespace proa::oci::image {

// One range of ids in the layer and where it is on the host.
struct IdRange {
  uint32_t container = 0, host = 0, size = 0;
};
struct IdMap {
  std::vector<IdRange> ranges;  // empty: as they are
  // What the host's ids in none of them are in the container; unset: an error.
  std::optional<uint32_t> otherwise = std::nullopt;
  Result<uint32_t> to_host(uint32_t id, std::string_view what) const;
  Result<uint32_t> to_container(uint32_t id, std::string_view what) const;
};

enum class LayerForm : uint8_t {
  kOverlay,  // a lower folder for overlayfs: whiteouts are devices 0:0, opaque folders have an xattr
  kPlain,    // onto what the layers below left: whiteouts remove
};

struct UnpackOptions {
  LayerForm form = LayerForm::kOverlay;
  // Without root's rights: ids that cannot be given are left, devices left out, overlayfs's xattrs are user.*.
  bool rootless = false;
  IdMap uids, gids;
  TarLimits limits;
  RatioLimit ratio;
};

struct Unpacked {
  uint64_t entries = 0;
  uint64_t bytes = 0;                       // of file content
  std::vector<std::string> implied;         // folders that the layer needs but does not describe
  std::vector<TarEntry> outside_hardlinks;  // whose target is not in this layer
  uint64_t skipped_devices = 0;             // rootless
};

// Unpacks a tar stream into the folder `target`; reads the source to its end. Runs in a thread of its own
// (for its umask), waits for it.
Result<Unpacked> unpack_layer(Source& source, int target, const UnpackOptions& options);

// What a finished layer takes from those below it: the attributes of implied folders, the content of hardlinks'
// targets. `below`: folders of the layers below, the nearest first.
Result<> take_from_below(int target, const std::vector<int>& below, const Unpacked& unpacked,
                         const UnpackOptions& options);

// rm -r of `name` in the folder `dirfd`, of any depth, without following links; needs no more than a few
// descriptors. A missing one is fine.
Result<> remove_any_tree(int dirfd, const std::string& name);

}  // namespace proa::oci::image
