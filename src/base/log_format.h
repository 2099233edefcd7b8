// The lines that log.h writes, in logrus's two formats byte for byte.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"

namespace proa::log {

// One line with its newline. `level` is logrus's name of it.
std::string format_line(Format format, std::string_view level, std::string_view message, WallTime time);

// As Go's strconv.Quote.
std::string go_quote(std::string_view text);
// As Go's encoding/json writes a string: also escapes <, >, & and U+2028/9; bytes that are not UTF-8
// become U+FFFD.
std::string go_json_string(std::string_view text);

}  // namespace proa::log
