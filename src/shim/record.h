// Log records: one line of a container's output, or a piece of a long one, in a log file's format.
#pragma once

#include <time.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "shim/text.h"

namespace proa::shim {

// The numbers are those of Docker's multiplexed stream (frame.h); `result` is ours.
enum class Stream : uint8_t { in = 0, out = 1, err = 2, result = 3 };

enum class LogFormat : uint8_t {
  json_file,  // {"log":"text\n","stream":"stdout","time":"..."}: Docker's
  cri,        // time stdout F text: Kubernetes' CRI logging format
  raw,        // the bytes as they come, both streams as one
};

// A line longer than this is logged as several records, as Docker and containerd do.
inline constexpr size_t kMaxPiece = 16 * 1024;
inline constexpr size_t kMaxAttrs = 8 * 1024;
inline constexpr size_t kMaxRecord = 6 * kMaxPiece + kMaxAttrs + 128;

using Timestamp = Text<40>;
// RFC 3339 in UTC with nanoseconds, always of one width: 2024-05-06T07:08:09.000000001Z
Timestamp format_time(timespec time);

// Writes the record of `piece` (at most kMaxPiece bytes; ends with '\n' if it ends its line) to `to`,
// which has room for kMaxRecord, and answers its size. Not for LogFormat::raw. `attrs`: a JSON object of at most
// kMaxAttrs bytes, for json_file; empty: none.
size_t encode_record(LogFormat format, char* to, Stream stream, const Timestamp& time, std::string_view piece,
                     std::string_view attrs = {});

}  // namespace proa::shim
