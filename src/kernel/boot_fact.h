// Facts about this host that take time to find out and hold until it boots again.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace proa::kernel {

// The kernel's random id of this boot; "" where /proc does not tell.
std::string boot_id();

// What was remembered since the host booted; nothing when nobody could.
std::optional<std::string> recall_fact(std::string_view name, const std::string& folder = "/run/proa/facts");
// For later processes; without the right to write there nothing happens. One line.
void remember_fact(std::string_view name, std::string_view value, const std::string& folder = "/run/proa/facts");

}  // namespace proa::kernel
