// The structs of config.h to JSON and back.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "engine/config.h"

namespace proa::engine {

// config.json: everything but the state.
std::string emit_container(const Container& container);
Result<Container> parse_container(std::string_view json);
// state.json
std::string emit_state(const State& state);
Result<State> parse_state(std::string_view json);
std::string emit_exec(const ExecConfig& exec);
Result<ExecConfig> parse_exec(std::string_view json);
std::string emit_health(const Health& health);
Result<Health> parse_health(std::string_view json);

}  // namespace proa::engine
