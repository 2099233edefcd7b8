// overlayfs, mounted detached from folders by descriptor.
#pragma once

#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::oci::image {

struct Overlay {
  std::vector<Fd> lower;  // the topmost first
  Fd upper, work;         // none: read-only
  bool volatile_upper = false;
  bool user_xattrs = false;
  bool one_string = false;
};

Result<Fd> mount_overlay(const Overlay& overlay);

}  // namespace proa::oci::image
