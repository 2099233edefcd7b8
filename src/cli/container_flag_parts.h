// The parts that container_flags.cc reads run's and create's flags in, each theme in a file of its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/invocation.h"
#include "engine/engine.h"

namespace proa::cli {

// --network, --publish, --dns and their like: network_flags.cc.
Result<> read_networks(const Invocation& in, engine::ContainerConfig& to);
// Whether all addresses and host names that were read are such.
Result<> check_addresses(const engine::ContainerConfig& config);
// --volume, --mount, --tmpfs and their like: mount_flags.cc.
Result<> read_storage(const Invocation& in, engine::ContainerConfig& to);
// --cpus, --memory and their like: resource_flags.cc.
Result<engine::ResourceConfig> read_resources(const Invocation& in);
// NAME=SOFT[:HARD]
Result<engine::UlimitConfig> parse_ulimit(const std::string& text);
// DEVICE[:PATH][:rwm]
Result<engine::DeviceConfig> parse_device(const std::string& text);

// What they have in common.

Result<std::string> absolute_path(const std::string& path);
// NAME=VALUE; a name alone has no value.
void add_pair(const std::string& text, engine::StringMap& to);
// All of a flag that is given as NAME=VALUE.
Result<engine::StringMap> pairs(const Invocation& in, std::string_view flag);

}  // namespace proa::cli
