// Reading the kernel's line-and-word formats.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>

namespace proa::kernel::cgroup {

// Takes the text up to `separator` off `rest`, the separator too.
inline std::string_view cut(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  const std::string_view head = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
  return head;
}

// The whole text as a decimal number.
template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || text.empty() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace proa::kernel::cgroup
