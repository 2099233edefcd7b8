// The root file system as criu wants to find it: a mount point, with a place for every mount it is
// going to make. All of it in a mount namespace of criu's own, so that nothing can be left on the host.
#pragma once

#include <string>

#include "base/error.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {

// A relative source is relative to the bundle.
std::string absolute_source(const std::string& bundle, const Mount& mount);

// In criu's process: binds `rootfs` on the folder `place` and makes the mount points that are missing, as
// `create` would have made them.
Result<> prepare_root_for_restore(const Spec& spec, const std::string& bundle, const std::string& rootfs,
                                  const std::string& place);

}  // namespace proa::oci::runtime
