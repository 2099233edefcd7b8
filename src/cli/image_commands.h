// What `proa image COMMAND` does: flags into oci/image/images.h, results out.
#pragma once

#include <optional>

#include "base/error.h"
#include "cli/invocation.h"
#include "oci/image/images.h"

namespace proa::cli {

Result<int> image_create(const Invocation&);
Result<int> image_diff(const Invocation&);
Result<int> image_export(const Invocation&);
Result<int> image_history(const Invocation&);
Result<int> image_import(const Invocation&);
Result<int> image_inspect(const Invocation&);
Result<int> image_load(const Invocation&);
Result<int> image_ls(const Invocation&);
Result<int> image_prune(const Invocation&);
Result<int> image_rm(const Invocation&);
Result<int> image_save(const Invocation&);
Result<int> image_tag(const Invocation&);
Result<int> image_tree(const Invocation&);
// image_remote.cc
Result<int> image_pull(const Invocation&);
Result<int> image_push(const Invocation&);
Result<int> program_login(const Invocation&);
Result<int> program_logout(const Invocation&);

// The store of --root, $PROA_ROOT, or this user.
Result<oci::image::Images> open_images(const Invocation&);
// --platform.
Result<std::optional<oci::image::Platform>> platform_of(const Invocation&);

}  // namespace proa::cli
