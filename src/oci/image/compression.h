// gzip and zstd streams. The libraries' headers stay in the .cc file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "oci/image/stream.h"

namespace proa::oci::image {

enum class Compression : uint8_t { kNone, kGzip, kZstd };

// By the first bytes; xz, bzip2 and lz4 are told apart from nothing by an error that names them.
Result<Compression> detect(std::span<const std::byte> head);
std::optional<Compression> compression_named(std::string_view name);  // none, gzip, zstd
std::string_view layer_media_type(Compression compression);           // OCI's

// Decompresses what `inner` gives, whatever it is by its first bytes. Several gzip members or zstd frames in a
// row read as one. Beyond `free_bytes` of output no more than `most_ratio` times the input is given out.
struct RatioLimit {
  uint64_t free_bytes = 1u << 30;
  uint64_t most_ratio = 500;
};
// `inner` must outlive it.
Result<std::unique_ptr<Reader>> decompress(Reader& inner, const RatioLimit& limit = {});

// Compresses into `out` on several threads, in blocks: gzip members or zstd frames in a row. The bytes depend
// on the input and the level only.
class Compressor : public Sink {
 public:
  // Not for kNone. `level` 0: the usual one.
  static std::unique_ptr<Compressor> make(Compression compression, Sink& out, int level = 0);
  // Once, after the last write.
  virtual Result<> finish() = 0;
};

}  // namespace proa::oci::image
