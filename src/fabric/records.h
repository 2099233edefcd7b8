// Networks and endpoints as JSON text: the form they have on disk. Versioned; what is malformed is an
// error naming the field.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "fabric/fabric.h"

namespace proa::fabric {

std::string network_text(const Network& network);
Result<Network> parse_network(std::string_view text);
std::string endpoint_text(const Endpoint& endpoint);
Result<Endpoint> parse_endpoint(std::string_view text);

// Fills what a network's options say (bridge, mtu, icc, ...), refusing what is not known.
Result<> apply_options(Network& network);

}  // namespace proa::fabric
