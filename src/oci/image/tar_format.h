// The tar header's layout and numbers, shared by reader and writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace proa::oci::image::tar {

inline constexpr size_t kBlockSize = 512;

struct Field {
  size_t offset, size;
};
inline constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12}, kMtime{136, 12},
    kChecksum{148, 8}, kType{156, 1}, kLink{157, 100}, kMagic{257, 8}, kUname{265, 32}, kGname{297, 32}, kMajor{329, 8},
    kMinor{337, 8}, kPrefix{345, 155}, kStarPrefix{345, 131};
// GNU's old sparse form: four extents in the header, 21 in each further block.
inline constexpr size_t kGnuMap = 386, kGnuMapEntries = 4, kGnuMore = 482, kGnuRealSize = 483;
inline constexpr size_t kGnuNextEntries = 21, kGnuNextMore = 504;

inline uint64_t padding_of(uint64_t size) { return (kBlockSize - size % kBlockSize) % kBlockSize; }

// Up to the first NUL.
std::string_view text_of(std::string_view field);
// Octal, or base 256 (GNU) with the sign's bit; nothing when it is neither. Blank is 0.
std::optional<int64_t> number_of(std::string_view field);

// The records of an extended header ("LENGTH KEY=VALUE\n"), one at a time; false at the end.
struct Record {
  std::string_view key, value;
};
Result<bool> next_record(std::string_view& rest, Record& record);

// "1700000000.123456789", also negative.
struct Timestamp {
  int64_t seconds = 0;
  int32_t nanoseconds = 0;
};
std::optional<Timestamp> timestamp_of(std::string_view text);

// Names of xattrs that are overlayfs's own: a layer may neither bring nor carry them.
bool is_overlay_xattr(std::string_view name);

}  // namespace proa::oci::image::tar
