// A folder becomes a layer: a deterministic tar stream, names in byte order.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "oci/image/stream.h"
#include "oci/image/unpack.h"

namespace proa::oci::image {

struct PackOptions {
  // kOverlay: an overlayfs upper folder, its whiteouts and opaque folders written as the layer format has them.
  LayerForm form = LayerForm::kPlain;
  IdMap uids, gids;
  // Times after it become it (SOURCE_DATE_EPOCH), in seconds.
  std::optional<int64_t> latest_mtime;
  // Owner of everything.
  std::optional<uint32_t> uid, gid;
  // Paths from the root that are left out, with what is below them.
  std::function<bool(const std::string& path)> leave_out;
};

// Sockets are left out. The root itself has no entry. Errors name the file.
Result<> pack_tree(int root, Sink& sink, const PackOptions& options = {});

// Whether the open folder hides what lies below it, as overlayfs marks it.
bool is_opaque(int fd);

}  // namespace proa::oci::image
