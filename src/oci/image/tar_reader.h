// Reads tar streams: v7, ustar, pax (POSIX.1-2001, global headers too), GNU (long names, sparse files of all four
// forms), star. Every number and length is checked; nothing of the stream is trusted. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "oci/image/stream.h"

namespace proa::oci::image {

enum class EntryType : uint8_t { kFile, kDirectory, kSymlink, kHardlink, kCharDevice, kBlockDevice, kFifo };

struct Extent {
  uint64_t offset = 0, length = 0;
  bool operator==(const Extent&) const = default;
};

struct TarEntry {
  EntryType type = EntryType::kFile;
  std::string path;  // as it stands in the archive
  std::string link;  // target of a symlink or hardlink
  mode_t mode = 0;   // permission bits
  uint32_t uid = 0, gid = 0;
  std::string uname, gname;
  uint64_t size = 0;  // of the file, holes included
  timespec mtime{};
  uint32_t major = 0, minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
  bool sparse = false;
  std::vector<Extent> extents;  // of a sparse file's data, ascending
};

struct TarLimits {
  uint64_t most_bytes = 256ull << 30;  // of the whole stream
  uint64_t most_entries = 8u << 20;
  uint64_t longest_header = 4u << 20;  // of one extended header
};

class TarReader {
 public:
  explicit TarReader(Source& source, const TarLimits& limits = {}) : source_(source), limits_(limits) {}

  // False at the archive's end. What was left of the entry before is passed over.
  Result<bool> next(TarEntry& entry);
  // Of the current entry: stored bytes ahead (a sparse file's extents in a row), empty at their end.
  Result<std::span<const std::byte>> data();
  void consume(size_t bytes);
  // Reads on to the stream's end, behind the archive's.
  Result<> drain();
  uint64_t entries() const { return entries_; }

 private:
  struct Block;
  using Records = std::map<std::string, std::string, std::less<>>;

  Result<> read_exactly(std::span<std::byte> into);
  Result<bool> read_header(Block& block);
  Result<bool> next_raw(TarEntry& entry);
  Result<std::string> read_extension(const Block& block, uint64_t size);
  Result<> skip_rest();
  Result<> apply_records(TarEntry& entry, const Records& records, uint64_t& stored);
  Result<> apply_sparse(TarEntry& entry, const Records& records);
  Result<> read_old_gnu_map(TarEntry& entry, const Block& block);
  Result<> read_pax_map(TarEntry& entry);
  Result<> check_sparse(const TarEntry& entry) const;
  Result<uint64_t> count(uint64_t bytes);

  Source& source_;
  TarLimits limits_;
  Records global_;
  uint64_t entries_ = 0, total_ = 0;
  uint64_t left_ = 0, padding_ = 0;  // of the current entry
  bool ended_ = false;
};

}  // namespace proa::oci::image
