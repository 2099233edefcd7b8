#include "kube/codec/quantity.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <optional>

#include "base/text.h"

namespace proa::kube {
namespace {

constexpr __int128 kNano = 1'000'000'000;
constexpr __int128 kLargest = static_cast<__int128>(std::numeric_limits<int64_t>::max()) * kNano;

struct Scale {
  int decimal = 0;  // power of ten
  int binary = 0;   // power of two
  Quantity::Format format = Quantity::Format::kDecimal;
};

std::optional<Scale> scale_of(std::string_view suffix) {
  static constexpr std::pair<std::string_view, int> kBinary[] = {{"Ki", 10}, {"Mi", 20}, {"Gi", 30},
                                                                 {"Ti", 40}, {"Pi", 50}, {"Ei", 60}};
  static constexpr std::pair<std::string_view, int> kDecimal[] = {
      {"n", -9}, {"u", -6}, {"m", -3}, {"", 0}, {"k", 3}, {"M", 6}, {"G", 9}, {"T", 12}, {"P", 15}, {"E", 18}};
  for (const auto& [name, power] : kBinary)
    if (name == suffix) return Scale{0, power, Quantity::Format::kBinary};
  for (const auto& [name, power] : kDecimal)
    if (name == suffix) return Scale{power, 0, Quantity::Format::kDecimal};
  if (suffix.size() > 1 && (suffix[0] == 'e' || suffix[0] == 'E')) {
    std::string_view number = suffix.substr(1);
    if (number.starts_with('+')) number.remove_prefix(1);
    if (const auto power = parse_number<int>(number)) return Scale{*power, 0, Quantity::Format::kExponent};
  }
  return std::nullopt;
}

Failure malformed() {
  return fail("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
}

// digits * 10^power in nanos, rounded up in magnitude and capped.
__int128 scaled(__int128 digits, int power) {
  power += 9;
  for (; power > 0 && digits != 0; --power) {
    if (digits > kLargest) return kLargest;
    digits *= 10;
  }
  bool rest = false;
  for (; power < 0 && digits != 0; ++power) {
    rest |= digits % 10 != 0;
    digits /= 10;
  }
  return std::min(digits + (rest ? 1 : 0), kLargest);
}

}  // namespace

Result<Quantity> Quantity::parse(std::string_view text) {
  if (text.empty()) return malformed();
  std::string_view rest = text;
  const bool negative = rest[0] == '-';
  if (rest[0] == '-' || rest[0] == '+') rest.remove_prefix(1);
  const size_t number_end = std::min(rest.find_first_not_of("0123456789."), rest.size());
  std::string_view number = rest.substr(0, number_end);
  const std::string_view suffix = rest.substr(number_end);
  if (number.empty()) return malformed();
  if (suffix.find_first_not_of("eEinumkKMGTP+-0123456789") != std::string_view::npos) return malformed();
  const size_t point = number.find('.');
  if (point != std::string_view::npos && number.find('.', point + 1) != std::string_view::npos)
    return fail("unable to parse numeric part of quantity");
  if (number == ".") return fail("unable to parse numeric part of quantity");
  const auto scale = scale_of(suffix);
  if (!scale) return fail("unable to parse quantity's suffix");

  __int128 digits = 0;
  int power = scale->decimal;
  bool cut_off = false;
  bool fraction = false;
  for (const char c : number) {
    if (c == '.') {
      fraction = true;
      continue;
    }
    if (digits > kLargest) {  // more digits change nothing that is kept
      cut_off |= c != '0';
      if (!fraction) ++power;
      continue;
    }
    digits = digits * 10 + (c - '0');
    if (fraction) --power;
  }
  if (cut_off) ++digits;
  Quantity out;
  out.format_ = scale->format;
  if (scale->binary > 0) {
    // Multiplied while whole, then divided: at most 2^94 * 2^30 twice.
    __int128 value = digits;
    for (int left = scale->binary; left > 0; left -= 10) {
      if (value > (static_cast<__int128>(1) << 116)) break;
      value <<= 10;
    }
    out.nanos_ = scaled(value, power);
  } else {
    out.nanos_ = scaled(digits, std::clamp(power, -200, 200));
  }
  if (negative) out.nanos_ = -out.nanos_;
  return out;
}

int64_t Quantity::divide(int64_t by) const {
  const __int128 quotient = nanos_ / by;
  const __int128 up = nanos_ > 0 && nanos_ % by != 0 ? 1 : 0;
  constexpr __int128 kMost = std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(std::clamp(quotient + up, -kMost, kMost));
}

std::string Quantity::text() const {
  if (nanos_ == 0) return "0";
  const bool minus = nanos_ < 0;
  __int128 value = minus ? -nanos_ : nanos_;
  Format format = format_;
  if (format == Format::kBinary && value < 1024 * kNano) format = Format::kDecimal;
  std::string_view suffix;
  int power = -9;
  if (format == Format::kBinary) {
    static constexpr std::string_view kSuffixes[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    value = (value + kNano - 1) / kNano;
    size_t step = 0;
    for (; step < 6 && value % 1024 == 0; ++step) value /= 1024;
    suffix = kSuffixes[step];
  } else {
    for (; value % 1000 == 0 && power < 18; power += 3) value /= 1000;
    static constexpr std::string_view kSuffixes[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
    if (format == Format::kDecimal) suffix = kSuffixes[(power + 9) / 3];
  }
  char digits[48];
  char* at = std::end(digits);
  for (; value > 0; value /= 10) *--at = static_cast<char>('0' + static_cast<int>(value % 10));
  const std::string_view number(at, static_cast<size_t>(std::end(digits) - at));
  std::string out = cat(minus ? "-" : "", number, suffix);
  if (format == Format::kExponent && power != 0) out += cat("e", power);
  return out;
}

Quantity& Quantity::operator+=(const Quantity& other) {
  if (nanos_ == 0) format_ = other.format_;
  nanos_ = std::clamp(nanos_ + other.nanos_, -kLargest, kLargest);
  return *this;
}

Quantity& Quantity::operator-=(const Quantity& other) {
  if (nanos_ == 0) format_ = other.format_;
  nanos_ = std::clamp(nanos_ - other.nanos_, -kLargest, kLargest);
  return *this;
}

}  // namespace proa::kube
