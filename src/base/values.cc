#include "base/values.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace proa {
namespace {

// Takes off 0x, 0o, 0b.
int take_base(std::string_view& digits) {
  if (digits.size() < 3 || digits[0] != '0') return 10;
  const int base = digits[1] == 'x' ? 16 : digits[1] == 'o' ? 8 : digits[1] == 'b' ? 2 : 10;
  if (base != 10) digits.remove_prefix(2);
  return base;
}

template <typename T>
std::errc read_all(std::string_view digits, int base, T& out) {
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), out, base);
  if (ec == std::errc() && end != digits.data() + digits.size()) return std::errc::invalid_argument;
  return ec;
}

Failure bad_number(std::string_view text, std::errc ec, std::string_view expected) {
  if (ec == std::errc::result_out_of_range) return fail("'", text, "' is out of range");
  return fail("'", text, "' is not ", expected);
}

// A decimal number without sign or exponent from the front of `text`.
bool take_decimal(std::string_view& text, double& out) {
  const std::string_view digits = text.substr(0, text.find_first_not_of("0123456789."));
  if (digits.empty() || digits == ".") return false;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), out, std::chars_format::fixed);
  if (ec != std::errc() || end != digits.data() + digits.size()) return false;
  text.remove_prefix(digits.size());
  return true;
}

}  // namespace

Result<bool> parse_bool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"})
    if (text == yes) return true;
  for (const std::string_view no : {"0", "f", "F", "FALSE", "false", "False"})
    if (text == no) return false;
  return fail("'", text, "' is neither true nor false");
}

Result<int64_t> parse_integer(std::string_view text) {
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  const int base = take_base(digits);
  uint64_t magnitude = 0;
  std::errc ec = read_all(digits, base, magnitude);
  if (ec == std::errc() && magnitude > (uint64_t{1} << 63) - (negative ? 0 : 1)) ec = std::errc::result_out_of_range;
  if (ec != std::errc()) return bad_number(text, ec, "a whole number");
  return static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
}

Result<uint64_t> parse_unsigned(std::string_view text) {
  std::string_view digits = text;
  const int base = take_base(digits);
  uint64_t value = 0;
  const std::errc ec = read_all(digits, base, value);
  if (ec != std::errc()) return bad_number(text, ec, "a whole number, zero or more");
  return value;
}

Result<double> parse_duration(std::string_view text) {
  static constexpr struct {
    std::string_view name;
    double seconds;
  } kUnits[] = {{"ns", 1e-9}, {"us", 1e-6}, {"\u00b5s", 1e-6}, {"\u03bcs", 1e-6},
                {"ms", 1e-3}, {"s", 1},     {"m", 60},         {"h", 3600}};
  const auto bad = [&] { return fail("'", text, "' is not a duration such as 5s, 500ms or 1m30s"); };
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return 0;
  if (rest.empty()) return bad();
  double total = 0;
  while (!rest.empty()) {
    double number = 0;
    if (!take_decimal(rest, number)) return bad();
    const std::string_view unit = rest.substr(0, std::min(rest.find_first_of("0123456789."), rest.size()));
    double scale = 0;
    for (const auto& known : kUnits)
      if (unit == known.name) scale = known.seconds;
    if (scale == 0) return bad();
    total += number * scale;
    rest.remove_prefix(unit.size());
  }
  if (total > 9.2e9) return fail("'", text, "' is out of range");  // 292 years, what Go can hold
  return negative ? -total : total;
}

Result<int64_t> parse_bytes(std::string_view text) {
  if (text == "-1") return -1;
  const auto bad = [&] { return fail("'", text, "' is not a size such as 512m, 1.5g or 1048576"); };
  std::string_view rest = text;
  double number = 0;
  const bool whole = text.find('.') == std::string_view::npos;
  uint64_t exact = 0;
  if (whole) {
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), exact);
    if (ec != std::errc()) return bad();
    rest.remove_prefix(static_cast<size_t>(end - text.data()));
  } else if (!take_decimal(rest, number)) {
    return bad();
  }
  if (rest.starts_with(' ')) rest.remove_prefix(1);
  unsigned shift = 0;
  if (!rest.empty()) {
    const size_t power = std::string_view("bkmgtp").find(static_cast<char>(rest.front() | 0x20));
    if (power == std::string_view::npos) return bad();
    shift = static_cast<unsigned>(power) * 10;
    if (power > 0) rest.remove_prefix(1);
    if (power > 0 && !rest.empty() && (rest.front() | 0x20) == 'i') rest.remove_prefix(1);
    if (!rest.empty() && (rest.front() | 0x20) == 'b') rest.remove_prefix(1);
    if (!rest.empty()) return bad();
  }
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  if (whole) {
    if (exact > static_cast<uint64_t>(kMost) >> shift) return fail("'", text, "' is out of range");
    return static_cast<int64_t>(exact << shift);
  }
  const double scaled = std::ldexp(number, static_cast<int>(shift));
  if (scaled >= 0x1p63) return fail("'", text, "' is out of range");
  return static_cast<int64_t>(scaled);
}

}  // namespace proa
