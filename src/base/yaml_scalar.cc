#include "base/yaml_scalar.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

namespace proa::yaml {
namespace {

constexpr std::string_view kTagPrefix = "tag:yaml.org,2002:";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

template <size_t N>
bool one_of(std::string_view text, const std::string_view (&words)[N]) {
  return std::ranges::find(words, text) != std::end(words);
}

// The words of YAML 1.1; nothing when `text` is none of them.
std::optional<Scalar> resolve_word(std::string_view text) {
  static constexpr std::string_view kNull[] = {"", "~", "null", "Null", "NULL"};
  static constexpr std::string_view kTrue[] = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"};
  static constexpr std::string_view kFalse[] = {"n",     "N",     "no",  "No",  "NO", "false",
                                                "False", "FALSE", "off", "Off", "OFF"};
  static constexpr std::string_view kNan[] = {".nan", ".NaN", ".NAN"};
  static constexpr std::string_view kInfinity[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"};
  static constexpr std::string_view kMinusInfinity[] = {"-.inf", "-.Inf", "-.INF"};
  if (text.size() > 5) return std::nullopt;
  if (one_of(text, kNull)) return Scalar(std::monostate());
  if (one_of(text, kTrue)) return Scalar(true);
  if (one_of(text, kFalse)) return Scalar(false);
  if (one_of(text, kNan)) return Scalar(std::numeric_limits<double>::quiet_NaN());
  if (one_of(text, kInfinity)) return Scalar(std::numeric_limits<double>::infinity());
  if (one_of(text, kMinusInfinity)) return Scalar(-std::numeric_limits<double>::infinity());
  return std::nullopt;
}

// Digits with the prefixes Go takes at base 0: 0x, 0o, 0b, and a plain 0 for octal.
std::optional<Scalar> resolve_integer(std::string_view text) {
  const bool negative = text.starts_with('-');
  const bool signed_text = negative || text.starts_with('+');
  if (signed_text) text.remove_prefix(1);
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    const char kind = static_cast<char>(text[1] | 0x20);
    base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
    text.remove_prefix(kind == 'x' || kind == 'b' || kind == 'o' ? 2 : 1);
  }
  uint64_t magnitude = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), magnitude, base);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  constexpr uint64_t kLimit = uint64_t{1} << 63;
  if (negative) {
    if (magnitude > kLimit) return std::nullopt;
    return Scalar(static_cast<int64_t>(0 - magnitude));
  }
  if (magnitude < kLimit) return Scalar(static_cast<int64_t>(magnitude));
  if (signed_text) return std::nullopt;
  return Scalar(magnitude);
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool looks_like_float(std::string_view text) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t start = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    return i - start;
  };
  const auto is = [&](std::string_view set) { return i < text.size() && set.find(text[i]) != std::string_view::npos; };
  if (is("+-")) ++i;
  const size_t whole = digits();
  size_t fraction = 0;
  if (is(".")) {
    ++i;
    fraction = digits();
  }
  if (whole == 0 && fraction == 0) return false;
  if (is("eE")) {
    ++i;
    if (is("+-")) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

// Out of range is no number, as for Go; too small is zero.
std::optional<Scalar> resolve_float(std::string_view text) {
  if (!looks_like_float(text)) return std::nullopt;
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec == std::errc::result_out_of_range) {
    // from_chars does not say which way; only a negative exponent can be too small.
    const size_t exponent = text.find_first_of("eE");
    const bool tiny = exponent == std::string_view::npos ? text.find_first_of("123456789") > text.find('.')
                                                         : text[exponent + 1] == '-';
    if (!tiny) return std::nullopt;
    return Scalar(text.starts_with('-') ? -0.0 : 0.0);
  }
  if (ec != std::errc()) return std::nullopt;
  return Scalar(value);
}

Scalar resolve_plain(std::string_view text) {
  if (auto word = resolve_word(text)) return *std::move(word);
  const char first = text.front();
  if (is_digit(first) || std::string_view("+-.").find(first) != std::string_view::npos) {
    std::string digits(text);
    std::erase(digits, '_');
    if (auto number = resolve_integer(digits)) return *std::move(number);
    if (auto number = resolve_float(digits)) return *std::move(number);
  }
  return std::string(text);
}

Result<Scalar> decode_base64(std::string_view text) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  size_t held = 0, padding = 0, symbols = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r') continue;
    ++symbols;
    if (c == '=') {
      ++padding;
      continue;
    }
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos || padding > 0) return fail("!!binary value is not base64");
    bits = bits << 6 | static_cast<uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>(bits >> held & 0xff);
    }
  }
  if (symbols % 4 != 0 || padding > 2) return fail("!!binary value is not base64");
  return Scalar(std::move(out));
}

// YAML 1.1 reads 1:20 as 80: [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?
bool looks_like_base60(std::string_view text) {
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || !is_digit(text[0])) return false;
  const size_t point = text.rfind('.');
  if (point != std::string_view::npos) {
    if (text.substr(point + 1).find_first_not_of("0123456789_") != std::string_view::npos) return false;
    text = text.substr(0, point);
  }
  if (text.substr(0, colon).find_first_not_of("0123456789_") != std::string_view::npos) return false;
  for (text.remove_prefix(std::min(colon, text.size())); !text.empty();) {
    text.remove_prefix(1);
    const std::string_view part = text.substr(0, text.find(':'));
    const bool legal =
        (part.size() == 1 || (part.size() == 2 && part[0] <= '5')) && std::ranges::all_of(part, is_digit);
    if (!legal) return false;
    text.remove_prefix(part.size());
  }
  return true;
}

// YYYY-M-D, alone or before a time of day.
bool looks_like_date(std::string_view text) {
  const auto digits = [&](size_t least, size_t most) {
    size_t count = 0;
    while (count < text.size() && is_digit(text[count])) ++count;
    if (count < least || count > most) return false;
    text.remove_prefix(count);
    return true;
  };
  const auto sign = [&](std::string_view set) {
    if (text.empty() || set.find(text.front()) == std::string_view::npos) return false;
    text.remove_prefix(1);
    return true;
  };
  if (!digits(4, 4) || !sign("-") || !digits(1, 2) || !sign("-") || !digits(1, 2)) return false;
  return text.empty() || (sign("Tt ") && digits(1, 2) && sign(":"));
}

std::string_view type_name(const Scalar& value) {
  static constexpr std::string_view kNames[] = {"null", "bool", "int", "int", "float", "str"};
  return kNames[value.index()];
}

std::string format_general(std::string_view scientific) {
  // "-d.ddde+XX" from to_chars: the digits and the exponent decide the form.
  std::string out;
  if (scientific.starts_with('-')) {
    out = "-";
    scientific.remove_prefix(1);
  }
  const size_t mark = scientific.find('e');
  std::string digits(scientific.substr(0, mark));
  std::erase(digits, '.');
  int exponent = 0;
  std::string_view tail = scientific.substr(mark + 1);
  if (tail.starts_with('+')) tail.remove_prefix(1);
  std::from_chars(tail.data(), tail.data() + tail.size(), exponent);
  if (exponent < -4 || exponent >= 6) return out.append(scientific);
  if (exponent < 0) return cat(out, "0.", std::string(static_cast<size_t>(-exponent - 1), '0'), digits);
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return cat(out, digits, std::string(whole - digits.size(), '0'));
  return cat(out, digits.substr(0, whole), ".", digits.substr(whole));
}

template <typename T>
std::string format_as(T value) {
  if (std::isnan(value)) return ".nan";
  if (std::isinf(value)) return value > 0 ? ".inf" : "-.inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  return format_general(std::string_view(buffer, static_cast<size_t>(end - buffer)));
}

}  // namespace

Result<Scalar> resolve(std::string_view text, std::string_view tag, bool plain) {
  if (tag.empty()) return plain ? resolve_plain(text) : Scalar(std::string(text));
  if (!tag.starts_with(kTagPrefix)) return Scalar(std::string(text));
  const std::string_view type = tag.substr(kTagPrefix.size());
  if (type == "binary") return decode_base64(text);
  if (type != "bool" && type != "int" && type != "float" && type != "null") return Scalar(std::string(text));
  Scalar value = resolve_plain(text);
  if (type == type_name(value)) return value;
  if (type == "float") {
    if (const auto* number = std::get_if<int64_t>(&value)) return Scalar(static_cast<double>(*number));
  }
  return fail("'", text, "' is not a ", type);
}

bool plain_is_string(std::string_view text) {
  return std::holds_alternative<std::string>(resolve_plain(text)) && text != "<<" && !looks_like_base60(text) &&
         !looks_like_date(text);
}

std::string format_float(double value) { return format_as(value); }
std::string format_float32(double value) { return format_as(static_cast<float>(value)); }

}  // namespace proa::yaml
