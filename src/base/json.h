// JSON: Boost.JSON behind a narrow door. Code that builds or walks documents includes
// <boost/json.hpp> in its .cc file; everything else sees only these functions.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace proa::json {

struct ParseLimits {
  size_t max_bytes = 16u << 20;
  size_t max_depth = 64;
};

// Parses one document; the value keeps the arena it was parsed into alive. Errors give line and
// column. Of duplicate keys the last one wins, as in encoding/json.
Result<boost::json::value> parse(std::string_view text, const ParseLimits& limits = {});

// One line, no spaces.
std::string to_line(const boost::json::value& value);
// Indented by two spaces, keys in insertion order, newline at the end.
std::string to_pretty(const boost::json::value& value);
// `text` as a JSON string with its quotes.
std::string quote(std::string_view text);

}  // namespace proa::json
