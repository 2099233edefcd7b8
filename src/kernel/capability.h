// Capabilities: names and numbers, what the running kernel and process have, and setting a process's
// five sets. A set is a mask, bit n = capability n of capabilities(7).
//
// Threads: sets belong to the calling thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::kernel {

// "CAP_CHOWN" (0) to "CAP_CHECKPOINT_RESTORE" (40), in the order of their numbers.
std::span<const std::string_view> capability_names();
// Takes "CAP_NET_ADMIN", "NET_ADMIN" and lower case.
std::optional<int> capability_number(std::string_view name);
// Empty for a number we have no name for.
std::string_view capability_name(int number);

// Names that are none of ours go to `unknown` when given.
uint64_t capability_mask(std::span<const std::string> names, std::vector<std::string>* unknown = nullptr);
std::vector<std::string> capability_names_of(uint64_t mask);

// Number of the newest capability this kernel has; asks it.
int last_capability();
// Every capability of this kernel.
uint64_t all_capabilities();
// This thread's bounding set.
uint64_t bounding_capabilities();

struct CapabilitySets {
  uint64_t effective = 0, permitted = 0, inheritable = 0;
};
Result<CapabilitySets> get_capabilities();
Result<> set_capabilities(const CapabilitySets& sets);
// Drops from the bounding set all that is not in `keep`. Needs CAP_SETPCAP.
Result<> limit_bounding_capabilities(uint64_t keep);
// Makes the ambient set exactly `mask`; those neither permitted nor inheritable cannot be raised and
// come back as the result.
Result<uint64_t> set_ambient_capabilities(uint64_t mask);

}  // namespace proa::kernel
