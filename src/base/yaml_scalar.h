// Which type a YAML scalar has: the resolver of go-yaml v2, which kubectl uses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"

namespace proa::yaml {

// monostate is null.
using Scalar = std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string>;

// `tag` is the long form ("tag:yaml.org,2002:int") or empty. `plain` says that the scalar stood
// without quotes and without a tag.
Result<Scalar> resolve(std::string_view text, std::string_view tag, bool plain);

// Whether a plain scalar of this text reads back as the string it is.
bool plain_is_string(std::string_view text);

// Go's strconv.FormatFloat(value, 'g', -1, 64): shortest digits, exponent from 1e+06 and below 1e-04.
std::string format_float(double value);
// ... of the nearest float32, the form that keys take.
std::string format_float32(double value);

}  // namespace proa::yaml
