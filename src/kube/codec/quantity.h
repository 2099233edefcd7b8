// Quantities: "500m", "1.5Gi", "1e3"; amounts of resources, exact to a billionth.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace proa::kube {

class Quantity {
 public:
  enum class Format : uint8_t { kDecimal, kBinary, kExponent };

  Quantity() = default;
  explicit Quantity(int64_t units, Format format = Format::kDecimal)
      : nanos_(static_cast<__int128>(units) * 1'000'000'000), format_(format) {}
  static Quantity milli(int64_t thousandths) {
    Quantity out;
    out.nanos_ = static_cast<__int128>(thousandths) * 1'000'000;
    return out;
  }
  // What is more precise than a billionth is rounded away from zero; what is over 2^63-1 is that. Errors are worded
  // as upstream's.
  static Result<Quantity> parse(std::string_view text);

  // The canonical form: the largest suffix with a whole number before it.
  std::string text() const;
  // Rounded up.
  int64_t units() const { return divide(1'000'000'000); }
  int64_t millis() const { return divide(1'000'000); }
  bool is_zero() const { return nanos_ == 0; }
  bool negative() const { return nanos_ < 0; }
  bool whole() const { return nanos_ % 1'000'000'000 == 0; }
  Format format() const { return format_; }

  auto operator<=>(const Quantity& other) const { return nanos_ <=> other.nanos_; }
  bool operator==(const Quantity& other) const { return nanos_ == other.nanos_; }
  Quantity& operator+=(const Quantity& other);
  Quantity& operator-=(const Quantity& other);

 private:
  int64_t divide(int64_t by) const;

  __int128 nanos_ = 0;
  Format format_ = Format::kDecimal;
};

}  // namespace proa::kube
