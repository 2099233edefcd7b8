// Writes tar streams, the same bytes for the same entries: ustar, with pax records only for what ustar cannot
// hold, sparse files in GNU's form 1.0. Not thread-safe.
#pragma once

#include <string_view>

#include "base/error.h"
#include "oci/image/stream.h"
#include "oci/image/tar_reader.h"

namespace proa::oci::image {

class TarWriter {
 public:
  explicit TarWriter(Sink& sink) : sink_(sink) {}

  // Then write() the file's bytes, of a sparse file those of its extents in a row.
  Result<> add(const TarEntry& entry);
  Result<> write(std::span<const std::byte> bytes);
  Result<> write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  // ... from a file, from its position on.
  Result<> write_from(int fd, uint64_t bytes);
  // A file in one go, mode 0644 and owner root unless the entry says otherwise.
  Result<> add_file(std::string_view path, std::string_view text, int64_t mtime = 0);
  // The archive's end. Once.
  Result<> finish();

 private:
  Result<> pad();
  Result<> header(const TarEntry& entry, char type, std::string_view path, uint64_t size);
  Sink& sink_;
  uint64_t left_ = 0, padding_ = 0;
};

}  // namespace proa::oci::image
