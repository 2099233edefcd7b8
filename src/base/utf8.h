// UTF-8 (RFC 3629): decoding one code point, checking and mending texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace proa::utf8 {

struct Rune {
  uint32_t value = 0xfffd;
  size_t length = 1;  // bytes taken; 1 for a byte that is not UTF-8
  bool valid = false;
};

// The first code point of a non-empty text. Surrogates and overlong forms are not valid.
Rune decode(std::string_view text);
bool valid(std::string_view text);
// Each byte that is not UTF-8 becomes U+FFFD, as in Go.
std::string mended(std::string_view text);

}  // namespace proa::utf8
