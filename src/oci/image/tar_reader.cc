#include "oci/image/tar_reader.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/text.h"
#include "oci/image/tar_format.h"

namespace proa::oci::image {
namespace {

// Extended headers before one entry; a stream of nothing but headers is a loop.
constexpr int kMostExtensions = 16;
constexpr size_t kLongestPath = 4095;
constexpr size_t kMostExtents = 1u << 20;
constexpr uint64_t kLargestFile = uint64_t{1} << 62;
constexpr uint32_t kMostId = 0xfffffffe;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<uint32_t> id_of(std::optional<int64_t> number, std::string_view what) {
  if (!number || *number < 0 || *number > kMostId) return fail(what, " is not between 0 and ", kMostId);
  return static_cast<uint32_t>(*number);
}

Result<uint64_t> size_of(std::optional<int64_t> number, std::string_view what) {
  if (!number || *number < 0 || static_cast<uint64_t>(*number) > kLargestFile) return fail(what, " is not valid");
  return static_cast<uint64_t>(*number);
}

}  // namespace

struct TarReader::Block {
  std::array<std::byte, tar::kBlockSize> bytes;

  std::string_view all() const { return as_text(bytes); }
  std::string_view raw(tar::Field field) const { return all().substr(field.offset, field.size); }
  std::string_view text(tar::Field field) const { return tar::text_of(raw(field)); }
  std::optional<int64_t> number(tar::Field field) const { return tar::number_of(raw(field)); }
  char type() const { return raw(tar::kType)[0]; }
  bool zero() const {
    return std::ranges::all_of(bytes, [](std::byte each) { return each == std::byte{0}; });
  }
  bool posix() const { return raw(tar::kMagic).starts_with(std::string_view("ustar\0", 6)); }
  bool gnu() const { return raw(tar::kMagic).starts_with("ustar "); }
  bool star() const { return posix() && all().substr(508, 4) == std::string_view("tar\0", 4); }

  // The sum of the header's bytes, its own field taken as blanks; old programs added signed ones.
  bool sound() const {
    int64_t sum = 0, signed_sum = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      const bool own = i >= tar::kChecksum.offset && i < tar::kChecksum.offset + tar::kChecksum.size;
      const auto byte = own ? static_cast<unsigned char>(' ') : static_cast<unsigned char>(bytes[i]);
      sum += byte;
      signed_sum += static_cast<signed char>(byte);
    }
    const auto stored = number(tar::kChecksum);
    return stored && (*stored == sum || *stored == signed_sum);
  }
  std::string path() const {
    const std::string_view name = text(tar::kName);
    const std::string_view prefix = star() ? text(tar::kStarPrefix) : posix() ? text(tar::kPrefix) : "";
    return prefix.empty() ? std::string(name) : cat(prefix, "/", name);
  }
};

Result<uint64_t> TarReader::count(uint64_t bytes) {
  total_ += bytes;
  if (total_ > limits_.most_bytes) return fail("more than ", limits_.most_bytes, " bytes in one layer");
  return total_;
}

Result<> TarReader::read_exactly(std::span<std::byte> into) {
  while (!into.empty()) {
    const auto ahead = TRY(source_.peek());
    if (ahead.empty()) return fail("archive ends too early");
    const size_t size = std::min(ahead.size(), into.size());
    std::memcpy(into.data(), ahead.data(), size);
    source_.consume(size);
    into = into.subspan(size);
  }
  return {};
}

// False at the end: two blocks of zeros, or the stream's end.
Result<bool> TarReader::read_header(Block& block) {
  for (int zeros = 0; zeros < 2; ++zeros) {
    const auto ahead = TRY(source_.peek());
    if (ahead.empty()) return false;
    TRY(read_exactly(block.bytes));
    TRY(count(tar::kBlockSize));
    if (block.zero()) continue;
    if (!block.sound()) return fail("header's checksum is wrong: damaged, or not a tar archive");
    return true;
  }
  return false;
}

Result<std::string> TarReader::read_extension(const Block& block, uint64_t size) {
  if (size > limits_.longest_header) return fail("extended header of ", size, " bytes is too large");
  std::string text(size, '\0');
  TRY(read_exactly(std::as_writable_bytes(std::span(text))));
  std::array<std::byte, tar::kBlockSize> padding;
  TRY(read_exactly(std::span(padding).first(tar::padding_of(size))));
  TRY(count(size));
  if (block.type() == 'L' || block.type() == 'K') text.resize(tar::text_of(text).size());
  return text;
}

Result<> TarReader::skip_rest() {
  uint64_t skip = left_ + padding_;
  while (skip > 0) {
    const auto ahead = TRY(source_.peek());
    if (ahead.empty()) return fail("archive ends too early");
    const auto size = static_cast<size_t>(std::min<uint64_t>(skip, ahead.size()));
    source_.consume(size);
    skip -= size;
  }
  left_ = padding_ = 0;
  return {};
}

namespace {

Result<EntryType> type_of(char type, std::string_view path, bool posix_or_gnu) {
  switch (type) {
    case '\0':
    case '0':
    case '7': return path.ends_with('/') && (type == '\0' || !posix_or_gnu) ? EntryType::kDirectory : EntryType::kFile;
    case 'S': return EntryType::kFile;
    case '1': return EntryType::kHardlink;
    case '2': return EntryType::kSymlink;
    case '3': return EntryType::kCharDevice;
    case '4': return EntryType::kBlockDevice;
    case '5':
    case 'D': return EntryType::kDirectory;
    case '6': return EntryType::kFifo;
    case 'M': return fail("is a part of a multi-volume archive");
    default: return fail("has the unknown type ", type >= ' ' && type <= '~' ? cat("'", type, "'") : cat(int{type}));
  }
}

Result<std::map<std::string, std::string, std::less<>>> records_of(std::string_view text) {
  std::map<std::string, std::string, std::less<>> out;
  tar::Record record;
  // The sparse map's form 0.0 repeats its keys; they are joined as form 0.1 has them.
  std::string map;
  while (TRY_CTX(tar::next_record(text, record), "extended header")) {
    if (record.key == "GNU.sparse.offset" || record.key == "GNU.sparse.numbytes") {
      if (!map.empty()) map += ',';
      map += record.value;
    } else {
      out[std::string(record.key)] = record.value;
    }
  }
  if (!map.empty()) out["GNU.sparse.map"] = map;
  return out;
}

}  // namespace

Result<bool> TarReader::next(TarEntry& entry) {
  entry = {};
  auto more = next_raw(entry);
  if (!more)
    return std::unexpected(std::move(more).error().with_context(
        entry.path.empty() ? cat("tar entry ", entries_ + 1) : cat("tar entry \"", entry.path, "\"")));
  if (*more) ++entries_;
  return more;
}

Result<bool> TarReader::next_raw(TarEntry& entry) {
  TRY(skip_rest());
  if (ended_) return false;
  if (entries_ >= limits_.most_entries) return fail("more than ", limits_.most_entries, " entries in one layer");
  Block block;
  Records records = global_;
  std::string long_name, long_link;
  for (int extensions = 0;; ++extensions) {
    if (extensions > kMostExtensions) return fail("more than ", kMostExtensions, " extended headers in a row");
    if (!TRY(read_header(block))) {
      ended_ = true;
      return false;
    }
    const uint64_t size = TRY(size_of(block.number(tar::kSize), "size"));
    if (block.type() == 'x' || block.type() == 'X') {
      const std::string text = TRY(read_extension(block, size));
      for (auto& [key, value] : TRY(records_of(text))) records[key] = std::move(value);
    } else if (block.type() == 'g') {
      const std::string text = TRY(read_extension(block, size));
      for (auto& [key, value] : TRY(records_of(text))) records[key] = global_[key] = std::move(value);
    } else if (block.type() == 'L') {
      long_name = TRY(read_extension(block, size));
    } else if (block.type() == 'K') {
      long_link = TRY(read_extension(block, size));
    } else if (block.type() == 'V') {
      TRY(read_extension(block, size));
    } else {
      break;
    }
  }

  entry.path = long_name.empty() ? block.path() : long_name;
  entry.link = long_link.empty() ? std::string(block.text(tar::kLink)) : long_link;
  uint64_t stored = TRY(size_of(block.number(tar::kSize), "size"));
  if (const auto path = records.find("path"); path != records.end() && !path->second.empty()) entry.path = path->second;
  entry.type = TRY(type_of(block.type(), entry.path, block.posix() || block.gnu()));
  const auto mode = block.number(tar::kMode);
  if (!mode) return fail("mode is not valid");
  entry.mode = static_cast<mode_t>(*mode & 07777);
  if (!records.contains("uid")) entry.uid = TRY(id_of(block.number(tar::kUid), "uid"));
  if (!records.contains("gid")) entry.gid = TRY(id_of(block.number(tar::kGid), "gid"));
  const auto mtime = block.number(tar::kMtime);
  if (!mtime) return fail("mtime is not valid");
  entry.mtime.tv_sec = *mtime;
  if (block.posix() || block.gnu()) {
    entry.uname = block.text(tar::kUname);
    entry.gname = block.text(tar::kGname);
  }
  if (entry.type == EntryType::kCharDevice || entry.type == EntryType::kBlockDevice) {
    entry.major = TRY(id_of(block.number(tar::kMajor), "device number"));
    entry.minor = TRY(id_of(block.number(tar::kMinor), "device number"));
  }
  TRY(apply_records(entry, records, stored));
  if (entry.path.empty()) return fail("has no name");
  if (entry.path.size() > kLongestPath || entry.link.size() > kLongestPath)
    return fail("name of more than ", kLongestPath, " bytes");
  if (entry.path.find('\0') != std::string::npos || entry.link.find('\0') != std::string::npos)
    return fail("name contains a NUL");
  // Only files and GNU's directory listings have content, whatever the size says.
  const bool has_content = entry.type == EntryType::kFile || block.type() == 'D';
  left_ = has_content ? stored : 0;
  padding_ = tar::padding_of(left_);
  TRY(count(left_));
  entry.size = entry.type == EntryType::kFile ? stored : 0;
  if (block.type() == 'D') TRY(skip_rest());
  if (entry.type == EntryType::kFile && block.type() == 'S') TRY(read_old_gnu_map(entry, block));
  if (entry.type == EntryType::kFile) TRY(apply_sparse(entry, records));
  return true;
}

Result<> TarReader::apply_records(TarEntry& entry, const Records& records, uint64_t& stored) {
  constexpr std::string_view kXattr = "SCHILY.xattr.";
  for (const auto& [key, value] : records) {
    // An empty value takes back what was said before (POSIX pax, "extended header").
    if (value.empty() && !key.starts_with(kXattr)) continue;
    if (key == "linkpath") {
      entry.link = value;
    } else if (key == "size") {
      stored = TRY(size_of(parse_number<int64_t>(value), "size"));
    } else if (key == "uid") {
      entry.uid = TRY(id_of(parse_number<int64_t>(value), "uid"));
    } else if (key == "gid") {
      entry.gid = TRY(id_of(parse_number<int64_t>(value), "gid"));
    } else if (key == "uname") {
      entry.uname = value;
    } else if (key == "gname") {
      entry.gname = value;
    } else if (key == "mtime") {
      const auto time = tar::timestamp_of(value);
      if (!time) return fail("mtime \"", value, "\" is not valid");
      entry.mtime = {.tv_sec = time->seconds, .tv_nsec = time->nanoseconds};
    } else if (key.starts_with(kXattr)) {
      const std::string name = key.substr(kXattr.size());
      if (name.empty() || name.size() > 255 || name.find('\0') != std::string::npos)
        return fail("extended attribute's name is not valid");
      entry.xattrs.emplace_back(name, value);
    }
  }
  return {};
}

namespace {

// The extent that `offset` and `length` say; a last one of no length only marks the end.
Result<> add_extent(std::vector<Extent>& extents, std::optional<int64_t> offset, std::optional<int64_t> length) {
  Extent extent;
  extent.offset = TRY(size_of(offset, "sparse map"));
  extent.length = TRY(size_of(length, "sparse map"));
  if (extents.size() >= kMostExtents) return fail("sparse map has more than ", kMostExtents, " extents");
  if (extent.length > 0) extents.push_back(extent);
  return {};
}

}  // namespace

Result<> TarReader::read_old_gnu_map(TarEntry& entry, const Block& block) {
  entry.sparse = true;
  entry.size = TRY(size_of(block.number({tar::kGnuRealSize, 12}), "sparse file's size"));
  const auto read_map = [&](const Block& from, size_t at, size_t entries) -> Result<> {
    for (size_t i = 0; i < entries; ++i, at += 24) {
      if (from.bytes[at] == std::byte{0}) break;
      TRY(add_extent(entry.extents, from.number({at, 12}), from.number({at + 12, 12})));
    }
    return {};
  };
  TRY(read_map(block, tar::kGnuMap, tar::kGnuMapEntries));
  bool more = block.bytes[tar::kGnuMore] != std::byte{0};
  while (more) {
    Block further;
    TRY(read_exactly(further.bytes));
    TRY(count(tar::kBlockSize));
    TRY(read_map(further, 0, tar::kGnuNextEntries));
    more = further.bytes[tar::kGnuNextMore] != std::byte{0};
  }
  return check_sparse(entry);
}

Result<> TarReader::apply_sparse(TarEntry& entry, const Records& records) {
  const auto find = [&](std::string_view key) -> std::string_view {
    const auto at = records.find(key);
    return at == records.end() ? std::string_view() : std::string_view(at->second);
  };
  const std::string_view major = find("GNU.sparse.major");
  const std::string_view map = find("GNU.sparse.map");
  if (major.empty() && map.empty()) return {};
  if (!major.empty() && (major != "1" || find("GNU.sparse.minor") != "0") && map.empty())
    return fail("sparse form ", major, ".", find("GNU.sparse.minor"), " is not known");
  entry.sparse = true;
  if (const auto name = find("GNU.sparse.name"); !name.empty()) entry.path = name;
  const std::string_view size = map.empty() ? find("GNU.sparse.realsize") : find("GNU.sparse.size");
  if (size.empty() && map.empty()) return fail("sparse file has no size");
  if (!size.empty()) entry.size = TRY(size_of(parse_number<int64_t>(size), "sparse file's size"));
  if (map.empty()) {
    TRY(read_pax_map(entry));
  } else {
    const auto numbers = split(map, ',');
    if (numbers.size() % 2 != 0) return fail("sparse map has an odd number of values");
    for (size_t i = 0; i < numbers.size(); i += 2)
      TRY(add_extent(entry.extents, parse_number<int64_t>(numbers[i]), parse_number<int64_t>(numbers[i + 1])));
  }
  return check_sparse(entry);
}

// Form 1.0: decimal lines before the data, padded to whole blocks.
Result<> TarReader::read_pax_map(TarEntry& entry) {
  std::string text;
  size_t at = 0;
  const auto line = [&]() -> Result<std::optional<int64_t>> {
    size_t end = 0;
    while ((end = text.find('\n', at)) == std::string::npos) {
      if (left_ < tar::kBlockSize || text.size() > limits_.longest_header) return fail("sparse map does not end");
      const size_t before = text.size();
      text.resize(before + tar::kBlockSize);
      TRY(read_exactly(std::as_writable_bytes(std::span(text)).subspan(before)));
      left_ -= tar::kBlockSize;
    }
    const auto number = parse_number<int64_t>(std::string_view(text).substr(at, end - at));
    at = end + 1;
    return number;
  };
  const auto number = TRY(line());
  const uint64_t entries = TRY(size_of(number, "sparse map"));
  for (uint64_t i = 0; i < entries; ++i) {
    const auto offset = TRY(line());
    const auto length = TRY(line());
    TRY(add_extent(entry.extents, offset, length));
  }
  padding_ = tar::padding_of(left_);
  return {};
}

Result<> TarReader::check_sparse(const TarEntry& entry) const {
  uint64_t end = 0, stored = 0;
  for (const Extent& extent : entry.extents) {
    if (extent.offset < end || extent.offset > entry.size || extent.length > entry.size - extent.offset)
      return fail("sparse map does not fit a file of ", entry.size, " bytes");
    end = extent.offset + extent.length;
    stored += extent.length;
  }
  if (stored != left_) return fail("sparse map covers ", stored, " bytes, the archive holds ", left_);
  return {};
}

Result<std::span<const std::byte>> TarReader::data() {
  if (left_ == 0) return std::span<const std::byte>();
  const auto ahead = TRY(source_.peek());
  if (ahead.empty()) return fail("archive ends too early");
  return ahead.first(static_cast<size_t>(std::min<uint64_t>(left_, ahead.size())));
}

void TarReader::consume(size_t bytes) {
  source_.consume(bytes);
  left_ -= bytes;
}

Result<> TarReader::drain() {
  for (;;) {
    const auto ahead = TRY(source_.peek());
    if (ahead.empty()) return {};
    TRY(count(ahead.size()));
    source_.consume(ahead.size());
  }
}

}  // namespace proa::oci::image
