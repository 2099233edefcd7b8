// Interfaces, addresses and the way out, by the ioctls of netdevice(7).
#pragma once

#include "shim/text.h"

namespace proa::guest {

void interface_up(std::string_view name);
// "DEVICE ADDRESS/PREFIX"
shim::Result<> add_address(std::string_view value);
// "ADDRESS"
shim::Result<> add_gateway(std::string_view value);

}  // namespace proa::guest
