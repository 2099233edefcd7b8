// Lists of CPUs and memory nodes, "0-3,7", as bit masks for the kernel.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::oci {

inline constexpr unsigned kMaxCpus = 8192;         // the kernel's largest CONFIG_NR_CPUS
inline constexpr unsigned kMaxMemoryNodes = 1024;  // ... and 1 << CONFIG_NODES_SHIFT

// Bit n of the mask (word n / 64) is number n; no trailing empty words, so an empty list gives an empty
// mask. Spaces around entries are fine. Fails on anything that is not a list, on a range that runs
// backwards and on numbers from `limit` up.
Result<std::vector<uint64_t>> parse_number_list(std::string_view text, unsigned limit);

}  // namespace proa::oci
