#include "base/text.h"

namespace proa {

std::string clean_path(std::string_view path) {
  const bool absolute = path.starts_with('/');
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::string_view part = cut(path, '/');
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string out;
  for (const std::string_view part : parts) out.append(out.empty() && !absolute ? "" : "/").append(part);
  return out;
}

bool take_decimal(std::string_view& rest, double& out) {
  const std::string_view digits = rest.substr(0, rest.find_first_not_of("0123456789."));
  if (digits.empty() || digits == ".") return false;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), out, std::chars_format::fixed);
  if (ec != std::errc() || end != digits.data() + digits.size()) return false;
  rest.remove_prefix(digits.size());
  return true;
}

}  // namespace proa
