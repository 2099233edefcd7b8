// What this build is.
#pragma once

#include <string>
#include <string_view>

namespace proa::cli {

extern const std::string_view kVersion;      // "0.1.0"
extern const std::string_view kCommit;       // git's hash, with "-dirty" when files were changed; "unknown" outside git
extern const std::string_view kSpecVersion;  // OCI runtime-spec

// As `runc --version` writes it; podman, containerd and docker read these lines.
std::string runc_version_text(std::string_view program);

}  // namespace proa::cli
