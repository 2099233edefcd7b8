// Compressed kernels and initial RAM disks, unpacked by the monitor: native speed in place of the guest's.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace proa::vmm {

enum class Compression : uint8_t { kNone, kGzip, kXz, kZstd, kLz4, kLz4Legacy, kUnknown };
// By the first bytes. kUnknown: a format that is known and not supported (bzip2, LZMA, LZO).
Compression find_compression(std::string_view data);

// Unpacks into the file (a memfd, say); what follows the compressed stream is ignored. At most `limit` bytes.
Result<> decompress(std::string_view data, Compression compression, int out, uint64_t limit = 2ULL << 30);

// A file's content, mapped read-only.
class FileView {
 public:
  static Result<FileView> open(const std::string& path);
  // Keeps the descriptor.
  static Result<FileView> map(Fd file, std::string name);
  FileView(FileView&& other) noexcept;
  FileView& operator=(FileView&& other) noexcept;
  ~FileView();
  std::string_view bytes() const { return {data_, size_}; }
  const std::string& name() const { return name_; }
  int fd() const { return file_.get(); }

 private:
  FileView() = default;
  Fd file_;
  std::string name_;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

// "device-inode-size-mtime-ctime": a file that changes has another.
std::string file_identity(const struct stat& about);

// The unpacked form of part of a file, from the cache folder when it was unpacked before; keyed by the file's identity
// (device, inode, size, times), so a changed file is unpacked anew. Without a folder ("") nothing is kept.
// `part` is data.bytes() or a part of it.
Result<FileView> unpack_cached(const FileView& data, std::string_view part, Compression compression,
                               const std::string& cache_folder);

}  // namespace proa::vmm
