// Texts of flag values to what they mean; errors say what was expected.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace proa {

// 1, t, T, TRUE, true, True and their opposites, as Go's strconv.ParseBool.
Result<bool> parse_bool(std::string_view text);
// Decimal, or with 0x, 0o or 0b in front.
Result<int64_t> parse_integer(std::string_view text);
Result<uint64_t> parse_unsigned(std::string_view text);
// Go's time.ParseDuration, in seconds: "1h15m", "1.5s", "-20us", "0".
Result<double> parse_duration(std::string_view text);
// Docker's sizes, in powers of 1024: "512m", "1.5 GiB", "64kb", "100"; "-1" is -1.
Result<int64_t> parse_bytes(std::string_view text);

}  // namespace proa
