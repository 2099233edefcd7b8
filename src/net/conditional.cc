#include "net/conditional.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/text.h"
#include "net/headers.h"

namespace proa::net {

namespace {

constexpr size_t kMaxElements = 128;
constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";

// Up to the separator, which does not count inside quotes.
std::string_view cut_unquoted(std::string_view& rest, char separator) {
  bool quoted = false;
  for (size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] == '\\' && quoted)
      ++i;
    else if (rest[i] == '"')
      quoted = !quoted;
    else if (rest[i] == separator && !quoted) {
      const std::string_view head = rest.substr(0, i);
      rest.remove_prefix(i + 1);
      return head;
    }
  }
  return std::exchange(rest, {});
}

std::string unquoted(std::string_view text) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return std::string(text);
  std::string out;
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] == '\\' && i + 2 < text.size()) ++i;
    out += text[i];
  }
  return out;
}

// Thousandths of "0.8"; 1000 when malformed.
int quality(std::string_view text) {
  if (text.empty() || (text[0] != '0' && text[0] != '1')) return 1000;
  int value = (text[0] - '0') * 1000;
  if (text.size() < 3 || text[1] != '.') return value;
  for (size_t i = 2, unit = 100; i < std::min<size_t>(text.size(), 5); ++i, unit /= 10) {
    if (text[i] < '0' || text[i] > '9') return 1000;
    value += (text[i] - '0') * static_cast<int>(unit);
  }
  return std::min(value, 1000);
}

// How exactly a range of media types means this one: 0 not at all, 1 "*/*", 2 "type/*", 3 itself.
int specificity(const MediaType& range, std::string_view essence) {
  if (range.type == "*" && range.subtype == "*") return 1;
  const std::string_view type = essence.substr(0, essence.find('/'));
  if (range.type != type) return 0;
  if (range.subtype == "*") return 2;
  return range.essence() == essence ? 3 : 0;
}

}  // namespace

std::optional<MediaType> MediaType::parse(std::string_view text) {
  const std::string_view essence = trimmed(cut_unquoted(text, ';'));
  const size_t slash = essence.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  MediaType media{.type = ascii_lower(essence.substr(0, slash)), .subtype = ascii_lower(essence.substr(slash + 1))};
  if (!is_token(media.type) || !is_token(media.subtype)) return std::nullopt;
  while (!text.empty() && media.parameters.size() < kMaxElements) {
    std::string_view parameter = trimmed(cut_unquoted(text, ';'));
    const std::string_view name = trimmed(cut(parameter, '='));
    if (!name.empty()) media.parameters.emplace_back(ascii_lower(name), unquoted(trimmed(parameter)));
  }
  return media;
}

std::string_view MediaType::get(std::string_view name) const {
  for (const auto& [key, value] : parameters)
    if (key == name) return value;
  return {};
}

std::optional<std::string_view> negotiate(std::string_view accept, const std::vector<std::string_view>& offered) {
  if (offered.empty()) return std::nullopt;
  if (trimmed(accept).empty()) return offered.front();
  std::vector<MediaType> ranges;
  while (!accept.empty() && ranges.size() < kMaxElements)
    if (auto range = MediaType::parse(cut_unquoted(accept, ','))) ranges.push_back(std::move(*range));
  std::optional<std::string_view> best;
  int best_quality = 0;
  for (const std::string_view essence : offered) {
    int exact = 0;
    int value = 0;
    for (const MediaType& range : ranges) {
      const int how = specificity(range, essence);
      if (how <= exact) continue;
      exact = how;
      value = quality(range.get("q").empty() ? "1" : range.get("q"));
    }
    if (value > best_quality) {
      best = essence;
      best_quality = value;
    }
  }
  return best;
}

std::string ByteRange::content_range(uint64_t total) const { return cat("bytes ", first, "-", last, "/", total); }

RangeVerdict parse_range(std::string_view range, uint64_t total, ByteRange& part) {
  range = trimmed(range);
  if (range.size() < 6 || !equals_ignoring_case(range.substr(0, 6), "bytes=")) return RangeVerdict::kWhole;
  std::string_view last = trimmed(range.substr(6));
  if (last.find(',') != std::string_view::npos || last.find('-') == std::string_view::npos) return RangeVerdict::kWhole;
  const std::string_view first = cut(last, '-');
  const auto from = parse_number<uint64_t>(first);
  const auto to = parse_number<uint64_t>(last);
  if (first.empty()) {  // the last so many bytes
    if (!to) return RangeVerdict::kWhole;
    if (*to == 0 || total == 0) return RangeVerdict::kUnsatisfiable;
    part = {.first = total - std::min(*to, total), .last = total - 1};
    return RangeVerdict::kPart;
  }
  if (!from || (!last.empty() && !to) || (to && *to < *from)) return RangeVerdict::kWhole;
  if (*from >= total) return RangeVerdict::kUnsatisfiable;
  part = {.first = *from, .last = std::min(to.value_or(total - 1), total - 1)};
  return RangeVerdict::kPart;
}

std::optional<ByteRange> parse_content_range(std::string_view text) {
  text = trimmed(text);
  if (text.size() > 6 && equals_ignoring_case(text.substr(0, 6), "bytes ")) text = trimmed(text.substr(6));
  std::string_view last = text.substr(0, text.find('/'));
  const auto from = parse_number<uint64_t>(cut(last, '-'));
  const auto to = parse_number<uint64_t>(last);
  if (!from || !to || *to < *from || *to == UINT64_MAX) return std::nullopt;
  return ByteRange{.first = *from, .last = *to};
}

bool etag_listed(std::string_view list, std::string_view tag) {
  if (trimmed(list) == "*") return true;
  if (tag.starts_with("W/")) tag.remove_prefix(2);
  while (!list.empty()) {
    std::string_view entry = trimmed(cut_unquoted(list, ','));
    if (entry.starts_with("W/")) entry.remove_prefix(2);
    if (entry == tag) return true;
  }
  return false;
}

std::optional<time_t> parse_http_date(std::string_view text) {
  // Sun, 06 Nov 1994 08:49:37 GMT
  if (text.size() != 29 || text.substr(3, 2) != ", " || !text.ends_with(" GMT")) return std::nullopt;
  const size_t month = kMonths.find(text.substr(8, 3));
  const auto number = [&](size_t at, size_t size) { return parse_number<int>(text.substr(at, size)); };
  const auto day = number(5, 2), year = number(12, 4), hour = number(17, 2), minute = number(20, 2),
             second = number(23, 2);
  if (month == std::string_view::npos || month % 3 || !day || !year || !hour || !minute || !second) return std::nullopt;
  tm utc{};
  utc.tm_mday = *day;
  utc.tm_mon = static_cast<int>(month / 3);
  utc.tm_year = *year - 1900;
  utc.tm_hour = *hour;
  utc.tm_min = *minute;
  utc.tm_sec = *second;
  const time_t time = timegm(&utc);
  return time == -1 ? std::nullopt : std::optional(time);
}

std::string format_http_date(time_t time) {
  // Without strftime: the names must not follow the locale.
  tm utc{};
  gmtime_r(&time, &utc);
  const auto two = [](int number) {
    return std::string{static_cast<char>('0' + number / 10 % 10), static_cast<char>('0' + number % 10)};
  };
  const auto year = static_cast<unsigned>(utc.tm_year + 1900) % 10000;
  return cat(kDays.substr(static_cast<size_t>(utc.tm_wday) * 3, 3), ", ", two(utc.tm_mday), " ",
             kMonths.substr(static_cast<size_t>(utc.tm_mon) * 3, 3), " ", two(static_cast<int>(year / 100)),
             two(static_cast<int>(year % 100)), " ", two(utc.tm_hour), ":", two(utc.tm_min), ":", two(utc.tm_sec),
             " GMT");
}

}  // namespace proa::net
