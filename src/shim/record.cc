#include "shim/record.h"

#include <string.h>

namespace proa::shim {
namespace {

char* put(char* to, std::string_view text) {
  memcpy(to, text.data(), text.size());
  return to + text.size();
}

char* put_digits(char* to, uint64_t value, int width) {
  for (int i = width; i-- > 0; value /= 10) to[i] = static_cast<char>('0' + value % 10);
  return to + width;
}

std::string_view name_of(Stream stream) { return stream == Stream::err ? "stderr" : "stdout"; }

size_t encode_json(char* to, Stream stream, std::string_view time, std::string_view piece, std::string_view attrs) {
  char* at = put(to, "{\"log\":\"");
  at += escape_json(at, piece);
  at = put(at, "\",\"stream\":\"");
  at = put(at, name_of(stream));
  if (!attrs.empty()) {
    at = put(at, "\",\"attrs\":");
    at = put(at, attrs);
    at = put(at, ",\"time\":\"");
  } else {
    at = put(at, "\",\"time\":\"");
  }
  at = put(at, time);
  at = put(at, "\"}\n");
  return static_cast<size_t>(at - to);
}

size_t encode_cri(char* to, Stream stream, std::string_view time, std::string_view piece) {
  const bool whole = !piece.empty() && piece.back() == '\n';
  if (whole) piece.remove_suffix(1);
  char* at = put(to, time);
  *at++ = ' ';
  at = put(at, name_of(stream));
  at = put(at, whole ? " F " : " P ");
  at = put(at, piece);
  *at++ = '\n';
  return static_cast<size_t>(at - to);
}

}  // namespace

Timestamp format_time(timespec time) {
  // Days since 0000-03-01 to a date of the Gregorian calendar, whose years then end with February.
  const int64_t days = time.tv_sec / 86400, rest = time.tv_sec % 86400;
  const int64_t shifted = days + 719468, era = shifted / 146097, of_era = shifted % 146097;
  const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * of_year + 2) / 153;
  const int64_t day = of_year - (153 * month_from_march + 2) / 5 + 1;
  const int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);

  char text[] = "0000-00-00T00:00:00.000000000Z";
  put_digits(text, static_cast<uint64_t>(year), 4);
  put_digits(text + 5, static_cast<uint64_t>(month), 2);
  put_digits(text + 8, static_cast<uint64_t>(day), 2);
  put_digits(text + 11, static_cast<uint64_t>(rest / 3600), 2);
  put_digits(text + 14, static_cast<uint64_t>(rest / 60 % 60), 2);
  put_digits(text + 17, static_cast<uint64_t>(rest % 60), 2);
  put_digits(text + 20, static_cast<uint64_t>(time.tv_nsec), 9);
  return Timestamp(text);
}

size_t encode_record(LogFormat format, char* to, Stream stream, const Timestamp& time, std::string_view piece,
                     std::string_view attrs) {
  return format == LogFormat::cri ? encode_cri(to, stream, time.view(), piece)
                                  : encode_json(to, stream, time.view(), piece, attrs);
}

}  // namespace proa::shim
