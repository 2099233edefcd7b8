#include "kube/validation/cron.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/text.h"
#include "kube/codec/time.h"

namespace proa::kube {
namespace {

struct Range {
  std::string_view name;
  unsigned least, most;
  std::string_view names;  // three letters each, from `least`
};

constexpr Range kMinute = {"minute", 0, 59, ""}, kHour = {"hour", 0, 23, ""}, kDay = {"day of month", 1, 31, ""},
                kMonth = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
                kWeekday = {"day of week", 0, 6, "sunmontuewedthufrisat"};

std::optional<unsigned> number_of(const Range& range, std::string_view word) {
  std::string lower(word);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (lower.size() == 3)
    for (size_t i = 0; i < range.names.size(); i += 3)
      if (range.names.substr(i, 3) == lower) return range.least + static_cast<unsigned>(i / 3);
  return parse_number<unsigned>(word);
}

// "*", "*/5", "3", "3-9/2".
Result<uint64_t> part(const Range& range, std::string_view text) {
  std::string_view step_text = text;
  const std::string_view span = cut(step_text, '/');
  const bool stepped = text.find('/') != std::string_view::npos;
  unsigned first = range.least, last = range.most;
  if (span != "*" && span != "?") {
    std::string_view end = span;
    const auto from = number_of(range, cut(end, '-'));
    const bool open = span.find('-') == std::string_view::npos;
    const auto to = open ? (stepped ? std::optional(range.most) : from) : number_of(range, end);
    if (!from || !to) return fail("failed to parse int from ", span);
    first = *from;
    last = *to;
  }
  const auto step = stepped ? parse_number<unsigned>(step_text) : std::optional(1u);
  if (!step) return fail("failed to parse int from ", step_text);
  if (*step == 0) return fail("step of range should be a positive number: ", text);
  if (first < range.least) return fail("beginning of range (", first, ") below minimum (", range.least, "): ", text);
  if (last > range.most) return fail("end of range (", last, ") above maximum (", range.most, "): ", text);
  if (first > last) return fail("beginning of range (", first, ") beyond end of range (", last, "): ", text);
  uint64_t bits = 0;
  for (unsigned i = first; i <= last; i += *step) bits |= uint64_t{1} << i;
  return bits;
}

Result<uint64_t> field(const Range& range, std::string_view text) {
  uint64_t bits = 0;
  std::string_view rest = text;
  do bits |= TRY(part(range, cut(rest, ',')));
  while (!rest.empty());
  return bits;
}

}  // namespace

Result<CronSchedule> CronSchedule::parse(std::string_view text) {
  static constexpr std::pair<std::string_view, std::string_view> kNamed[] = {
      {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
      {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"}};
  if (text.empty()) return fail("empty spec string");
  CronSchedule out;
  if (text.starts_with("@every ")) {
    const int64_t nanos = TRY_CTX(parse_duration(text.substr(7)), "failed to parse duration ", text);
    out.every_ = std::max<int64_t>(1, nanos / 1'000'000'000);
    return out;
  }
  std::string_view spec = text;
  if (text.starts_with('@')) {
    const auto named = std::ranges::find(kNamed, text, &std::pair<std::string_view, std::string_view>::first);
    if (named == std::end(kNamed)) return fail("unrecognized descriptor: ", text);
    spec = named->second;
  }
  const std::vector<std::string_view> fields = split(spec, ' ');
  if (fields.size() != 5) return fail("expected exactly 5 fields, found ", fields.size(), ": [", text, "]");
  out.minutes_ = TRY(field(kMinute, fields[0]));
  out.hours_ = TRY(field(kHour, fields[1]));
  out.days_ = TRY(field(kDay, fields[2]));
  out.months_ = TRY(field(kMonth, fields[3]));
  out.weekdays_ = TRY(field(kWeekday, fields[4]));
  out.any_day_ = fields[2].starts_with('*') || fields[2] == "?";
  out.any_weekday_ = fields[4].starts_with('*') || fields[4] == "?";
  return out;
}

bool CronSchedule::matches(int minute, int hour, int day, int month, int weekday) const {
  const auto has = [](uint64_t bits, int at) { return (bits >> at & 1) != 0; };
  if (!has(minutes_, minute) || !has(hours_, hour) || !has(months_, month)) return false;
  const bool day_matches = has(days_, day), weekday_matches = has(weekdays_, weekday);
  // With both given, either is enough.
  return any_day_ || any_weekday_ ? day_matches && weekday_matches : day_matches || weekday_matches;
}

}  // namespace proa::kube
