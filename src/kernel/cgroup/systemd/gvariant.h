// GVariant's text form, as annotations give unit properties: 'text', true, uint64 7, ['a', 'b'], @as [].
#pragma once

#include <string_view>

#include "base/error.h"
#include "kernel/cgroup/systemd/message.h"

namespace proa::kernel::cgroup::dbus {

// Basic types and arrays of them; anything deeper is an error. A bare whole number is an int32, one with
// a point a double.
Result<Value> parse_gvariant(std::string_view text);

}  // namespace proa::kernel::cgroup::dbus
