#include "base/utf8.h"

namespace proa::utf8 {
namespace {

size_t length_from(uint32_t first) {
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  if (first >= 0xf0 && first < 0xf5) return 4;
  return 0;
}

}  // namespace

Rune decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t first = byte(0);
  if (first < 0x80) return {first, 1, true};
  const size_t length = length_from(first);
  if (length == 0 || text.size() < length) return {};
  uint32_t value = first & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3f);
  }
  static constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return {};
  return {value, length, true};
}

bool valid(std::string_view text) {
  while (!text.empty()) {
    const Rune rune = decode(text);
    if (!rune.valid) return false;
    text.remove_prefix(rune.length);
  }
  return true;
}

std::string mended(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Rune rune = decode(text);
    out += rune.valid ? text.substr(0, rune.length) : std::string_view("\xef\xbf\xbd");
    text.remove_prefix(rune.length);
  }
  return out;
}

}  // namespace proa::utf8
