#include "oci/spec/number_list.h"

#include <charconv>
#include <optional>

#include "base/json.h"

namespace proa::oci {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\n')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n')) text.remove_suffix(1);
  return text;
}

std::optional<unsigned> number(std::string_view text, unsigned limit) {
  unsigned out = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || ec != std::errc() || end != text.data() + text.size() || out >= limit) return std::nullopt;
  return out;
}

}  // namespace

Result<std::vector<uint64_t>> parse_number_list(std::string_view text, unsigned limit) {
  std::vector<uint64_t> mask;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view entry = trimmed(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    if (entry.empty()) continue;
    const size_t dash = entry.find('-');
    const std::optional<unsigned> first = number(entry.substr(0, dash), limit);
    const std::optional<unsigned> last = dash == std::string_view::npos ? first : number(entry.substr(dash + 1), limit);
    if (!first || !last || *first > *last)
      return fail(json::quote(entry), " is not a number or a range FIRST-LAST below ", limit);
    if (mask.size() <= *last / 64) mask.resize(*last / 64 + 1);
    for (unsigned n = *first; n <= *last; ++n) mask[n / 64] |= uint64_t{1} << (n % 64);
  }
  return mask;
}

}  // namespace proa::oci
