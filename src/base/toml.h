// TOML 1.0, read into JSON values: tables are objects whose members stand in the file's order, dates and times are
// strings. For small files of settings: what is larger or nested deeper than anybody writes is refused.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstddef>
#include <string_view>

#include "base/error.h"

namespace proa::toml {

struct ParseLimits {
  size_t max_bytes = 1u << 20;
  size_t max_dots = 64;  // in a line: each of a dotted key's is a level
};

// Errors give line and column.
Result<boost::json::value> parse(std::string_view text, const ParseLimits& limits = {});

}  // namespace proa::toml
