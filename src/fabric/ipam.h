// Which subnet a new network gets, and which address a new endpoint.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fabric/fabric.h"
#include "fabric/store.h"

namespace proa::fabric {

// The first subnet of Docker's default pools that overlaps none of `taken` (other networks, the host's
// routes). `first` is taken into account before the pools, for the default network.
Result<Prefix> choose_ipv4(const std::vector<Prefix>& taken, bool default_network);
// A unique local /64 (RFC 4193) with a random global id.
Result<Prefix> choose_ipv6(const std::vector<Prefix>& taken);
// Checks one as given and fills in its gateway: the first address of the range.
Result<Subnet> complete_subnet(const SubnetSpec& spec, const Prefix& prefix);

// Takes a lease for `endpoint`: of `wanted`, or of the lowest address that is free.
Result<Ip> allocate(const Store& store, const Network& network, const Subnet& subnet, const Ip& wanted,
                    std::string_view endpoint);

}  // namespace proa::fabric
