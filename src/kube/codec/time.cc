#include "kube/codec/time.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <optional>

#include "base/text.h"

namespace proa::kube {
namespace {

// Days since 1970 of a proleptic Gregorian date, and back (Howard Hinnant's algorithms).
int64_t days_of(int64_t year, unsigned month, unsigned day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const auto year_of_era = static_cast<unsigned>(year - era * 400);
  const unsigned day_of_year = (153 * (month + (month > 2 ? -3u : 9u)) + 2) / 5 + day - 1;
  const unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + static_cast<int64_t>(day_of_era) - 719468;
}

struct Date {
  int64_t year;
  unsigned month, day;
};

Date date_of(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const auto day_of_era = static_cast<unsigned>(days - era * 146097);
  const unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted = (5 * day_of_year + 2) / 153;
  const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {static_cast<int64_t>(year_of_era) + era * 400 + (month <= 2 ? 1 : 0), month,
          day_of_year - (153 * shifted + 2) / 5 + 1};
}

unsigned days_in(int64_t year, unsigned month) {
  constexpr std::array<unsigned, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

// Takes exactly `count` digits off.
std::optional<unsigned> digits(std::string_view& rest, size_t count) {
  if (rest.size() < count || rest.substr(0, count).find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  const auto value = parse_number<unsigned>(rest.substr(0, count));
  rest.remove_prefix(count);
  return value;
}

bool take(std::string_view& rest, char c) {
  if (!rest.starts_with(c)) return false;
  rest.remove_prefix(1);
  return true;
}

struct Fault {
  std::string_view at;
  std::string_view expected;
};

std::optional<Instant> read_time(std::string_view text, Fault& fault) {
  std::string_view rest = text;
  const auto wants = [&](std::string_view expected) {
    fault = {rest, expected};
    return std::nullopt;
  };
  const auto year = digits(rest, 4);
  if (!year) return wants("2006");
  if (!take(rest, '-')) return wants("-");
  const auto month = digits(rest, 2);
  if (!month || *month < 1 || *month > 12) return wants("01");
  if (!take(rest, '-')) return wants("-");
  const auto day = digits(rest, 2);
  if (!day || *day < 1 || *day > days_in(*year, *month)) return wants("02");
  if (!take(rest, 'T')) return wants("T");
  const auto hour = digits(rest, 2);
  if (!hour || *hour > 23) return wants("15");
  if (!take(rest, ':')) return wants(":");
  const auto minute = digits(rest, 2);
  if (!minute || *minute > 59) return wants("04");
  if (!take(rest, ':')) return wants(":");
  const auto second = digits(rest, 2);
  if (!second || *second > 59) return wants("05");
  Instant out;
  if ((rest.starts_with('.') || rest.starts_with(',')) && rest.size() > 1 && rest[1] >= '0' && rest[1] <= '9') {
    rest.remove_prefix(1);
    int32_t unit = 100'000'000;
    for (; !rest.empty() && rest[0] >= '0' && rest[0] <= '9'; rest.remove_prefix(1), unit /= 10)
      out.nanos += (rest[0] - '0') * unit;
  }
  int64_t offset = 0;
  if (!take(rest, 'Z')) {
    const bool minus = rest.starts_with('-');
    if (!minus && !rest.starts_with('+')) return wants("Z07:00");
    std::string_view zone = rest.substr(1);
    const auto hours = digits(zone, 2);
    const bool colon = take(zone, ':');
    const auto minutes = digits(zone, 2);
    if (!hours || !colon || !minutes || *hours > 24 || *minutes > 60) return wants("Z07:00");
    offset = (static_cast<int64_t>(*hours) * 3600 + *minutes * 60) * (minus ? -1 : 1);
    rest = zone;
  }
  if (!rest.empty()) return wants("");
  out.seconds = days_of(*year, *month, *day) * 86400 + *hour * 3600 + *minute * 60 + *second - offset;
  return out;
}

// `count` digits, with zeroes in front.
void put_digits(char*& at, size_t count, unsigned value) {
  for (size_t i = count; i-- > 0; value /= 10) at[i] = static_cast<char>('0' + value % 10);
  at += count;
}

// "2006-01-02T15:04:05": made for every object that is written, so without the C library's printing.
std::string print_time(int64_t seconds) {
  const int64_t days = (seconds >= 0 ? seconds : seconds - 86399) / 86400;
  const auto rest = static_cast<unsigned>(seconds - days * 86400);
  const Date date = date_of(days);
  if (date.year < 0 || date.year > 9999) {  // of no instant that RFC 3339 can tell
    char out[64];
    std::snprintf(out, sizeof out, "%04lld-%02u-%02uT%02u:%02u:%02u", static_cast<long long>(date.year), date.month,
                  date.day, rest / 3600, rest / 60 % 60, rest % 60);
    return out;
  }
  std::string out(19, '-');
  char* at = out.data();
  const auto put = [&](size_t count, unsigned value, char after) {
    put_digits(at, count, value);
    if (after != 0) *at++ = after;
  };
  put(4, static_cast<unsigned>(date.year), '-');
  put(2, date.month, '-');
  put(2, date.day, 'T');
  put(2, rest / 3600, ':');
  put(2, rest / 60 % 60, ':');
  put(2, rest % 60, 0);
  return out;
}

}  // namespace

Result<Instant> parse_time(std::string_view text) {
  Fault fault;
  if (const auto time = read_time(text, fault)) return *time;
  const std::string where = cat("parsing time \"", text, "\" as \"2006-01-02T15:04:05Z07:00\": ");
  if (fault.expected.empty()) return fail("parsing time \"", text, "\": extra text: \"", fault.at, "\"");
  return fail(where, "cannot parse \"", fault.at, "\" as \"", fault.expected, "\"");
}

std::string format_time(int64_t seconds) { return print_time(seconds) + 'Z'; }

std::string format_micro_time(Instant time) {
  std::string out = print_time(time.seconds);
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%06dZ", time.nanos / 1000 % 1'000'000);
  return out + fraction;
}

Result<int64_t> parse_duration(std::string_view text) {
  static constexpr std::pair<std::string_view, int64_t> kUnits[] = {
      {"ns", 1},         {"us", 1000},         {"µs", 1000},          {"μs", 1000},
      {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}};
  const auto bad = [&] { return fail("time: invalid duration \"", text, "\""); };
  std::string_view rest = text;
  const bool minus = rest.starts_with('-');
  if (minus || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return 0;
  if (rest.empty()) return bad();
  __int128 total = 0;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find_first_not_of("0123456789."), rest.size());
    const std::string_view number = rest.substr(0, end);
    rest.remove_prefix(end);
    const size_t unit_end = std::min(rest.find_first_of("0123456789."), rest.size());
    const std::string_view unit = rest.substr(0, unit_end);
    rest.remove_prefix(unit_end);
    if (number.empty() || number == ".") return bad();
    if (unit.empty()) return fail("time: missing unit in duration \"", text, "\"");
    const auto found = std::ranges::find(kUnits, unit, &std::pair<std::string_view, int64_t>::first);
    if (found == std::end(kUnits)) return fail("time: unknown unit \"", unit, "\" in duration \"", text, "\"");
    std::string_view fraction = number;
    const std::string_view whole = cut(fraction, '.');
    const auto units = whole.empty() ? std::optional<int64_t>(0) : parse_number<int64_t>(whole);
    if (!units || fraction.find('.') != std::string_view::npos) return bad();
    total += static_cast<__int128>(*units) * found->second;
    __int128 part = found->second;
    for (const char c : fraction) {
      if (part == 0) break;
      total += (c - '0') * part / 10 % found->second;
      part /= 10;
    }
    if (total > std::numeric_limits<int64_t>::max()) return bad();
  }
  return static_cast<int64_t>(minus ? -total : total);
}

std::string format_duration(int64_t nanos) {
  if (nanos == 0) return "0s";
  const bool minus = nanos < 0;
  uint64_t left = minus ? 0 - static_cast<uint64_t>(nanos) : static_cast<uint64_t>(nanos);
  const auto with_fraction = [](uint64_t value, uint64_t unit, std::string_view suffix) {
    std::string out = cat(value / unit);
    if (value % unit != 0) {
      std::string fraction = cat(unit + value % unit).substr(1);
      fraction.erase(fraction.find_last_not_of('0') + 1);
      out += cat(".", fraction);
    }
    return cat(out, suffix);
  };
  std::string out = minus ? "-" : "";
  if (left < 1000) return cat(out, left, "ns");
  if (left < 1'000'000) return out + with_fraction(left, 1000, "µs");
  if (left < 1'000'000'000) return out + with_fraction(left, 1'000'000, "ms");
  const uint64_t minutes = left / 60'000'000'000;
  left %= 60'000'000'000;
  if (minutes >= 60) out += cat(minutes / 60, "h");
  if (minutes > 0) out += cat(minutes % 60, "m");
  return out + with_fraction(left, 1'000'000'000, "s");
}

// HumanDuration of apimachinery: two units where the larger one alone says too little.
std::string human_duration(int64_t seconds) {
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  const int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
  const auto two = [](int64_t large, char unit, int64_t small, char small_unit) {
    return small == 0 ? cat(large, unit) : cat(large, unit, small, small_unit);
  };
  if (seconds < 120) return cat(seconds, "s");
  if (minutes < 10) return two(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return cat(minutes, "m");
  if (hours < 8) return two(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return cat(hours, "h");
  if (days < 8) return two(days, 'd', hours % 24, 'h');
  if (days < 365 * 2) return cat(days, "d");
  const int64_t years = days / 365;
  if (years < 8) return two(years, 'y', days % 365, 'd');
  return cat(years, "y");
}

}  // namespace proa::kube
