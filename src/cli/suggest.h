// "Did you mean ...?"
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace proa::cli {

// The candidate nearest to `word` (insertions, deletions, replacements and swaps of neighbours), or
// nothing when none is near enough to be meant.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace proa::cli
