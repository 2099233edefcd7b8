// Base64 (RFC 4648).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace proa::net {

std::string base64_encode(std::string_view bytes);
// URL-safe alphabet, no padding.
std::string base64url_encode(std::string_view bytes);
// Either alphabet, padded or not; nothing for other characters or stray bits.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace proa::net
