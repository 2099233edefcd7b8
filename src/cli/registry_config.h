// The configuration file of `proa registry serve`, YAML or JSON, and the flags that go before it.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "cli/invocation.h"
#include "oci/registry/server.h"

namespace proa::cli {

// Errors name the field.
Result<> read_registry_config(std::string_view text, oci::registry::ServeSettings& settings);
// File and flags together, checked.
Result<oci::registry::ServeSettings> registry_settings(const Invocation& in);
// The folder that the flag --root, or else the standard, says.
std::string registry_root(const Invocation& in);
// Flags --grace, --untagged and --upload-expiry into `options`, where they are given.
Result<> add_gc_flags(const Invocation& in, oci::registry::CollectOptions& options);

}  // namespace proa::cli
