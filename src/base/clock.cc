#include "base/clock.h"

#include <cstdio>

namespace proa {
namespace {

using std::chrono::nanoseconds;

class SystemClock : public Clock {
 public:
  WallTime wall() const override { return std::chrono::time_point_cast<nanoseconds>(std::chrono::system_clock::now()); }
  MonotonicTime monotonic() const override {
    return std::chrono::time_point_cast<nanoseconds>(std::chrono::steady_clock::now());
  }
};

// Reads fixed-width fields from the front of a text.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  bool number(size_t digits, unsigned& out) {
    if (text_.size() < digits) return false;
    out = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (text_[i] < '0' || text_[i] > '9') return false;
      out = out * 10 + static_cast<unsigned>(text_[i] - '0');
    }
    text_.remove_prefix(digits);
    return true;
  }
  bool one_of(std::string_view set) {
    if (text_.empty() || set.find(text_.front()) == std::string_view::npos) return false;
    last_ = text_.front();
    text_.remove_prefix(1);
    return true;
  }
  char last() const { return last_; }
  bool done() const { return text_.empty(); }
  // Digits after the point, as nanoseconds.
  bool fraction(unsigned& out) {
    size_t digits = 0;
    out = 0;
    while (digits < text_.size() && text_[digits] >= '0' && text_[digits] <= '9') {
      if (digits < 9) out = out * 10 + static_cast<unsigned>(text_[digits] - '0');
      ++digits;
    }
    for (size_t i = digits; i < 9; ++i) out *= 10;
    text_.remove_prefix(digits);
    return digits > 0;
  }

 private:
  std::string_view text_;
  char last_ = '\0';
};

struct Fields {
  unsigned year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, nanosecond = 0;
  int offset_minutes = 0;
};

bool read_offset(Reader& in, int& minutes) {
  if (in.one_of("Zz")) return true;
  if (!in.one_of("+-")) return false;
  const bool west = in.last() == '-';
  unsigned hour = 0, minute = 0;
  if (!in.number(2, hour) || !in.one_of(":") || !in.number(2, minute) || hour > 23 || minute > 59) return false;
  minutes = static_cast<int>(hour * 60 + minute) * (west ? -1 : 1);
  return true;
}

bool read_fields(std::string_view text, Fields& f) {
  Reader in(text);
  if (!in.number(4, f.year) || !in.one_of("-") || !in.number(2, f.month) || !in.one_of("-") || !in.number(2, f.day))
    return false;
  if (!in.one_of("Tt ") || !in.number(2, f.hour) || !in.one_of(":") || !in.number(2, f.minute) || !in.one_of(":") ||
      !in.number(2, f.second))
    return false;
  if (in.one_of(".") && !in.fraction(f.nanosecond)) return false;
  return read_offset(in, f.offset_minutes) && in.done();
}

}  // namespace

const Clock& Clock::system() {
  static const SystemClock clock;
  return clock;
}

std::string format_rfc3339(WallTime time, TimePrecision precision) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss<nanoseconds> clock(time - day);
  char buffer[48];
  int length = std::snprintf(buffer, sizeof buffer, "%04d-%02u-%02uT%02ld:%02ld:%02lld", static_cast<int>(date.year()),
                             static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                             static_cast<long>(clock.hours().count()), static_cast<long>(clock.minutes().count()),
                             static_cast<long long>(clock.seconds().count()));
  std::string out(buffer, static_cast<size_t>(length));
  const auto fraction = static_cast<long>(clock.subseconds().count());
  if (precision == TimePrecision::kNanoseconds || (precision == TimePrecision::kShortest && fraction != 0)) {
    length = std::snprintf(buffer, sizeof buffer, ".%09ld", fraction);
    out.append(buffer, static_cast<size_t>(length));
    if (precision == TimePrecision::kShortest) out.erase(out.find_last_not_of('0') + 1);
  }
  return out += 'Z';
}

Result<WallTime> parse_rfc3339(std::string_view text) {
  Fields f;
  const auto bad = [&] { return fail("'", text, "' is not an RFC 3339 time such as 2026-01-02T03:04:05Z"); };
  if (!read_fields(text, f)) return bad();
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(f.year)), std::chrono::month(f.month),
                                         std::chrono::day(f.day));
  if (!date.ok() || f.hour > 23 || f.minute > 59 || f.second > 60) return bad();
  if (f.year < 1678 || f.year > 2261) return fail("'", text, "': only the years 1678 to 2261 can be held");
  return WallTime(std::chrono::sys_days(date)) + std::chrono::hours(f.hour) + std::chrono::minutes(f.minute) +
         std::chrono::seconds(f.second) + nanoseconds(f.nanosecond) - std::chrono::minutes(f.offset_minutes);
}

}  // namespace proa
