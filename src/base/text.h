// Reading line-and-word formats, the kernel's above all. Views into the text given; no copies, no iostreams:
// those would bring their locales into every short-lived process.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace proa {

// Takes the text up to `separator` off `rest`, the separator too.
inline std::string_view cut(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  const std::string_view head = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
  return head;
}

// The pieces between separators; empty ones are left out.
inline std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty())
    if (const std::string_view part = cut(text, separator); !part.empty()) parts.push_back(part);
  return parts;
}

// The whole text as a decimal number.
template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || text.empty() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "." and ".." resolved as text, never above the top: "/../a//./b/" is "/a/b", "a/../../b" is "b". Absolute
// stays absolute; what names nothing is "".
std::string clean_path(std::string_view path);

}  // namespace proa
