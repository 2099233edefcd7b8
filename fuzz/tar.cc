// Tar streams: every entry that is given out keeps the reader's promises, whatever the bytes.
#include "fuzz.h"
#include "oci/image/compression.h"
#include "oci/image/layer_root.h"
#include "oci/image/tar_reader.h"

namespace {

using namespace proa::oci::image;

void check_entry(const TarEntry& entry) {
  FUZZ_CHECK(!entry.path.empty() && entry.path.find('\0') == std::string::npos);
  FUZZ_CHECK((entry.mode & ~07777u) == 0);
  uint64_t end = 0;
  for (const Extent& extent : entry.extents) {
    FUZZ_CHECK(extent.length > 0 && extent.offset >= end && extent.offset + extent.length <= entry.size);
    end = extent.offset + extent.length;
  }
  if (const auto path = path_in_root(entry.path))
    FUZZ_CHECK(!path->starts_with('/') && !path->starts_with("../") && *path != ".." &&
               path->find("/../") == std::string::npos && !path->ends_with("/.."));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  MemoryReader memory(as_text(data, size));
  const auto plain = decompress(memory, {.free_bytes = 1u << 20, .most_ratio = 100});
  if (!plain) return 0;
  BufferedSource source(**plain);
  TarReader tar(source, {.most_bytes = 4u << 20, .most_entries = 1000, .longest_header = 64u << 10});
  TarEntry entry;
  for (;;) {
    const auto more = tar.next(entry);
    if (!more || !*more) break;
    check_entry(entry);
    uint64_t stored = 0;
    for (;;) {
      const auto piece = tar.data();
      if (!piece || piece->empty()) break;
      stored += piece->size();
      tar.consume(piece->size());
    }
    FUZZ_CHECK(stored <= entry.size);
  }
  static_cast<void>(tar.drain());
  return 0;
}
