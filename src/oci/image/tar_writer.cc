#include "oci/image/tar_writer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "oci/image/tar_format.h"

namespace proa::oci::image {
namespace {

using Block = std::array<char, tar::kBlockSize>;
using Records = std::map<std::string, std::string>;

constexpr uint64_t most_octal(size_t digits) { return (uint64_t{1} << (3 * digits)) - 1; }
constexpr uint64_t kMostId = most_octal(7), kMostSize = most_octal(11);

char letter(EntryType type) {
  switch (type) {
    case EntryType::kFile: return '0';
    case EntryType::kHardlink: return '1';
    case EntryType::kSymlink: return '2';
    case EntryType::kCharDevice: return '3';
    case EntryType::kBlockDevice: return '4';
    case EntryType::kDirectory: return '5';
    case EntryType::kFifo: return '6';
  }
  return '0';
}

void put_text(Block& block, tar::Field field, std::string_view text) {
  std::memcpy(block.data() + field.offset, text.data(), std::min(text.size(), field.size));
}
// Octal with a NUL behind it; what does not fit stands in a pax record, and 0 here.
void put_number(Block& block, tar::Field field, uint64_t number) {
  const size_t digits = field.size - 1;
  if (number > most_octal(digits)) number = 0;
  for (size_t i = digits; i-- > 0; number >>= 3) block[field.offset + i] = static_cast<char>('0' + (number & 7));
}

void seal(Block& block) {
  std::memset(block.data() + tar::kChecksum.offset, ' ', tar::kChecksum.size);
  uint64_t sum = 0;
  for (const char byte : block) sum += static_cast<unsigned char>(byte);
  put_number(block, {tar::kChecksum.offset, 7}, sum);
  block[tar::kChecksum.offset + 6] = '\0';
}

std::string record(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) length = std::to_string(length).size() + rest;
  return cat(length, " ", key, "=", value, "\n");
}

std::string timestamp(const timespec& time) {
  int64_t seconds = time.tv_sec;
  int64_t nanoseconds = time.tv_nsec;
  const bool negative = seconds < 0;
  if (negative && nanoseconds > 0) {
    ++seconds;
    nanoseconds = 1'000'000'000 - nanoseconds;
  }
  std::string out = cat(negative ? "-" : "", negative ? -seconds : seconds);
  if (nanoseconds == 0) return out;
  std::string digits = std::to_string(nanoseconds);
  digits.insert(0, 9 - digits.size(), '0');
  digits.resize(digits.find_last_not_of('0') + 1);
  return out + "." + digits;
}

Records records_for(const TarEntry& entry, std::string_view path, uint64_t size) {
  Records out;
  if (path.size() > tar::kName.size) out["path"] = path;
  if (entry.link.size() > tar::kLink.size) out["linkpath"] = entry.link;
  if (entry.uid > kMostId) out["uid"] = std::to_string(entry.uid);
  if (entry.gid > kMostId) out["gid"] = std::to_string(entry.gid);
  if (size > kMostSize) out["size"] = std::to_string(size);
  if (entry.mtime.tv_nsec != 0 || entry.mtime.tv_sec < 0 || static_cast<uint64_t>(entry.mtime.tv_sec) > kMostSize)
    out["mtime"] = timestamp(entry.mtime);
  for (const auto& [name, value] : entry.xattrs) out["SCHILY.xattr." + name] = value;
  return out;
}

std::string_view base_name(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  return path.substr(path.rfind('/') + 1);
}

std::string sparse_map(const TarEntry& entry) {
  std::string map = cat(entry.extents.size(), "\n");
  for (const Extent& extent : entry.extents) map += cat(extent.offset, "\n", extent.length, "\n");
  map.append(tar::padding_of(map.size()), '\0');
  return map;
}

Block block_for(const TarEntry& entry, char type, std::string_view path, uint64_t size) {
  Block block{};
  put_text(block, tar::kName, path);
  put_number(block, tar::kMode, entry.mode);
  put_number(block, tar::kUid, entry.uid);
  put_number(block, tar::kGid, entry.gid);
  put_number(block, tar::kSize, size);
  put_number(block, tar::kMtime, entry.mtime.tv_sec < 0 ? 0 : static_cast<uint64_t>(entry.mtime.tv_sec));
  block[tar::kType.offset] = type;
  put_text(block, tar::kLink, entry.link);
  put_text(block, tar::kMagic, std::string_view("ustar\00000", 8));
  put_text(block, tar::kUname, entry.uname);
  put_text(block, tar::kGname, entry.gname);
  put_number(block, tar::kMajor, entry.major);
  put_number(block, tar::kMinor, entry.minor);
  seal(block);
  return block;
}

}  // namespace

Result<> TarWriter::header(const TarEntry& entry, char type, std::string_view path, uint64_t size) {
  Records records = records_for(entry, path, size);
  if (entry.sparse) {
    records["GNU.sparse.major"] = "1";
    records["GNU.sparse.minor"] = "0";
    records["GNU.sparse.name"] = entry.path;
    records["GNU.sparse.realsize"] = std::to_string(entry.size);
  }
  if (!records.empty()) {
    std::string text;
    for (const auto& [key, value] : records) text += record(key, value);
    TarEntry extension;
    extension.mode = 0644;
    const std::string name = cat("PaxHeaders.0/", base_name(entry.path).substr(0, 80));
    const Block block = block_for(extension, 'x', name, text.size());
    text.append(tar::padding_of(text.size()), '\0');
    TRY(sink_.write(std::string_view(block.data(), block.size())));
    TRY(sink_.write(text));
  }
  const Block block = block_for(entry, type, path, size);
  return sink_.write(std::string_view(block.data(), block.size()));
}

Result<> TarWriter::add(const TarEntry& entry) {
  TRY(pad());
  if (entry.major > kMostId || entry.minor > kMostId)
    return fail("\"", entry.path, "\": device ", entry.major, ":", entry.minor, " does not fit a tar archive");
  if (!entry.sparse) {
    left_ = entry.type == EntryType::kFile ? entry.size : 0;
    padding_ = tar::padding_of(left_);
    return header(entry, letter(entry.type), entry.path, left_);
  }
  const std::string map = sparse_map(entry);
  left_ = 0;
  for (const Extent& extent : entry.extents) left_ += extent.length;
  padding_ = tar::padding_of(left_);
  TRY(header(entry, '0', cat("GNUSparseFile.0/", base_name(entry.path).substr(0, 80)), map.size() + left_));
  return sink_.write(map);
}

Result<> TarWriter::write(std::span<const std::byte> bytes) {
  if (bytes.size() > left_) return fail("file has grown while it was read");
  left_ -= bytes.size();
  return sink_.write(bytes);
}

Result<> TarWriter::write_from(int fd, uint64_t bytes) {
  if (bytes > left_) return fail("file has grown while it was read");
  left_ -= bytes;
  return sink_.write_from(fd, bytes);
}

Result<> TarWriter::add_file(std::string_view path, std::string_view text, int64_t mtime) {
  TarEntry entry;
  entry.path = path;
  entry.mode = 0644;
  entry.size = text.size();
  entry.mtime.tv_sec = mtime;
  TRY(add(entry));
  return write(text);
}

Result<> TarWriter::pad() {
  if (left_ > 0) return fail("file has shrunk while it was read");
  constexpr Block kZeros{};
  const std::string_view zeros(kZeros.data(), padding_);
  padding_ = 0;
  return zeros.empty() ? Result<>() : sink_.write(zeros);
}

Result<> TarWriter::finish() {
  TRY(pad());
  constexpr Block kZeros{};
  TRY(sink_.write(std::string_view(kZeros.data(), kZeros.size())));
  return sink_.write(std::string_view(kZeros.data(), kZeros.size()));
}

}  // namespace proa::oci::image
