// Layers seen as one tree without mounting them, and what differs between two such trees.
#pragma once

#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/image/snapshot.h"

namespace proa::oci::image {

// `before`, `after`: layers in overlayfs's form, the topmost first. What both share is not walked.
Result<std::vector<Change>> compare_trees(const std::vector<Fd>& before, const std::vector<Fd>& after);

}  // namespace proa::oci::image
