#include "oci/image/tar_format.h"

#include "base/text.h"

namespace proa::oci::image::tar {

std::string_view text_of(std::string_view field) { return field.substr(0, field.find('\0')); }

std::optional<int64_t> number_of(std::string_view field) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(field[i]); };
  if ((byte(0) & 0x80) != 0) {
    const bool negative = (byte(0) & 0x40) != 0;
    uint64_t value = negative ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < field.size(); ++i) {
      const uint64_t digit = i == 0 ? (byte(0) & 0x7f) | (negative ? 0x80 : 0) : byte(i);
      const uint64_t sign = negative ? 0xff : 0;
      if ((value >> 56) != sign) return std::nullopt;
      value = value << 8 | digit;
    }
    const auto number = static_cast<int64_t>(value);
    if ((number < 0) != negative) return std::nullopt;
    return number;
  }
  size_t begin = 0, end = field.size();
  while (begin < end && (field[begin] == ' ' || field[begin] == '\0')) ++begin;
  while (end > begin && (field[end - 1] == ' ' || field[end - 1] == '\0')) --end;
  int64_t value = 0;
  for (size_t i = begin; i < end && field[i] != '\0' && field[i] != ' '; ++i) {
    if (field[i] < '0' || field[i] > '7' || value >> 59 != 0) return std::nullopt;
    value = value << 3 | (field[i] - '0');
  }
  return value;
}

Result<bool> next_record(std::string_view& rest, Record& record) {
  if (rest.empty()) return false;
  const size_t blank = rest.substr(0, 20).find(' ');
  const auto length = blank == std::string_view::npos ? std::nullopt : parse_number<size_t>(rest.substr(0, blank));
  if (!length || *length <= blank + 1 || *length > rest.size()) return fail("record has a wrong length");
  std::string_view line = rest.substr(blank + 1, *length - blank - 1);
  if (line.back() != '\n') return fail("record does not end in a newline");
  line.remove_suffix(1);
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos || equals == 0) return fail("record has no key");
  record = {line.substr(0, equals), line.substr(equals + 1)};
  rest.remove_prefix(*length);
  return true;
}

std::optional<Timestamp> timestamp_of(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const std::string_view whole = cut(text, '.');
  const auto seconds = parse_number<uint64_t>(whole);
  if (!seconds || *seconds > (uint64_t{1} << 50)) return std::nullopt;
  int32_t nanoseconds = 0;
  for (size_t i = 0; i < 9; ++i) {
    const char digit = i < text.size() ? text[i] : '0';
    if (digit < '0' || digit > '9') return std::nullopt;
    nanoseconds = nanoseconds * 10 + (digit - '0');
  }
  Timestamp out{static_cast<int64_t>(*seconds), nanoseconds};
  if (negative) {
    out.seconds = -out.seconds;
    if (nanoseconds > 0) out = {out.seconds - 1, 1'000'000'000 - nanoseconds};
  }
  return out;
}

bool is_overlay_xattr(std::string_view name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

}  // namespace proa::oci::image::tar
