// Content negotiation and conditional requests in small: media types, byte ranges, entity tags (RFC 9110, 8, 12-14).
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace proa::net {

// "application/json; charset=utf-8"
struct MediaType {
  std::string type;                                             // lower case
  std::string subtype;                                          // lower case
  std::vector<std::pair<std::string, std::string>> parameters;  // names in lower case

  static std::optional<MediaType> parse(std::string_view text);
  std::string essence() const { return type + "/" + subtype; }
  std::string_view get(std::string_view name) const;
};

// The best of `offered` (essences) for an Accept header, by its quality values; the first when the header is
// empty or anything goes; nothing when none is acceptable.
std::optional<std::string_view> negotiate(std::string_view accept, const std::vector<std::string_view>& offered);

// One part of a body: [first, last], both included.
struct ByteRange {
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t size() const { return last - first + 1; }
  // "bytes 0-99/200"
  std::string content_range(uint64_t total) const;
};
enum class RangeVerdict : uint8_t { kWhole, kPart, kUnsatisfiable };
// What to send for a Range header, of a body of `total` bytes. Several ranges, other units and malformed headers mean
// the whole, as the RFC allows.
RangeVerdict parse_range(std::string_view range, uint64_t total, ByteRange& part);
// "bytes 0-99/200" or "0-99", as uploads in pieces have it; nothing if malformed.
std::optional<ByteRange> parse_content_range(std::string_view text);

// Whether an If-None-Match or If-Match list ("*", "\"a\", W/\"b\"") has the tag, compared weakly. `tag` with its
// quotes.
bool etag_listed(std::string_view list, std::string_view tag);

// "Sun, 06 Nov 1994 08:49:37 GMT"; nothing for other forms.
std::optional<time_t> parse_http_date(std::string_view text);
std::string format_http_date(time_t time);

}  // namespace proa::net
