// The flags of `run`, `create`, `exec` and `update` to the engine's structs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "cli/invocation.h"
#include "engine/engine.h"

namespace proa::cli {

// The whole command line of run and create. Errors name the flag.
Result<engine::ContainerConfig> read_config(const Invocation& in);
// That of `sandbox create`.
Result<engine::ContainerConfig> read_sandbox_config(const Invocation& in);
// NAME=VALUE of --driver-opt.
Result<> add_driver_option(const std::string& text, engine::NetworkConfig& to);
// no, always, unless-stopped, on-failure[:N]
Result<engine::RestartPolicy> parse_restart(const std::string& text);
// "1.5"
Result<int64_t> parse_nano_cpus(const std::string& text);
// [SOURCE:]DIR[:OPTIONS]
Result<engine::MountConfig> parse_volume(const std::string& text);
// type=...,source=...,target=...
Result<engine::MountConfig> parse_mount(const std::string& text);
// [[IP:]PORT:]PORT[/PROTOCOL], with ranges
Result<std::vector<engine::PortConfig>> parse_publish(const std::string& text);
// --env and --env-file together, in their order on Docker's command line: files first.
Result<std::vector<std::string>> read_env(const Invocation& in);
// RFC 3339, seconds since 1970, or a duration: so long ago.
Result<WallTime> parse_when(const std::string& text);

}  // namespace proa::cli
