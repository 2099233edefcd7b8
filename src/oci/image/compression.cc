#include "oci/image/compression.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <future>
#include <thread>

#include "oci/image/types.h"

namespace proa::oci::image {
namespace {

constexpr size_t kInput = 128u << 10;
constexpr size_t kBlock = 1u << 20;

struct Magic {
  std::string_view bytes, name;
};
constexpr Magic kForeign[] = {{{"\xfd"
                                "7zXZ\0",
                                6},
                               "xz"},
                              {"BZh", "bzip2"},
                              {{"\x04\x22\x4d\x18", 4}, "lz4"}};

bool starts(std::span<const std::byte> head, std::string_view magic) {
  return head.size() >= magic.size() && std::memcmp(head.data(), magic.data(), magic.size()) == 0;
}

// Input in a buffer, the bytes already peeked at first.
class Input {
 public:
  Input(Reader& reader, std::vector<std::byte> head) : reader_(reader), buffer_(std::move(head)) {
    used_ = buffer_.size();
    buffer_.resize(std::max(buffer_.size(), kInput));
  }
  // Bytes ahead; empty at the end.
  Result<std::span<std::byte>> ahead() {
    if (at_ == used_) {
      at_ = 0;
      used_ = TRY(reader_.read(buffer_));
      total_ += used_;
    }
    return std::span(buffer_).subspan(at_, used_ - at_);
  }
  void consume(size_t bytes) { at_ += bytes; }
  uint64_t total() const { return std::max<uint64_t>(total_, used_); }

 private:
  Reader& reader_;
  std::vector<std::byte> buffer_;
  size_t at_ = 0, used_ = 0;
  uint64_t total_ = 0;
};

class PlainReader : public Reader {
 public:
  PlainReader(Reader& reader, std::vector<std::byte> head) : input_(reader, std::move(head)) {}
  Result<size_t> read(std::span<std::byte> into) override {
    const auto ahead = TRY(input_.ahead());
    const size_t count = std::min(ahead.size(), into.size());
    std::memcpy(into.data(), ahead.data(), count);
    input_.consume(count);
    return count;
  }

 private:
  Input input_;
};

class Expanding : public Reader {
 public:
  Expanding(Reader& reader, std::vector<std::byte> head, const RatioLimit& limit)
      : input_(reader, std::move(head)), limit_(limit) {}
  Result<size_t> read(std::span<std::byte> into) override {
    const size_t got = TRY(expand(into));
    out_ += got;
    if (out_ > limit_.free_bytes && out_ / limit_.most_ratio > input_.total())
      return fail("decompressed content is more than ", limit_.most_ratio, " times the compressed one (",
                  input_.total(), " bytes)");
    return got;
  }

 protected:
  virtual Result<size_t> expand(std::span<std::byte> into) = 0;
  Input input_;

 private:
  RatioLimit limit_;
  uint64_t out_ = 0;
};

class GzipReader : public Expanding {
 public:
  using Expanding::Expanding;
  ~GzipReader() override {
    if (open_) inflateEnd(&stream_);
  }
  Result<> start() {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) return fail("gzip: out of memory");
    open_ = true;
    return {};
  }

 private:
  Result<size_t> expand(std::span<std::byte> into) override {
    stream_.next_out = reinterpret_cast<Bytef*>(into.data());
    stream_.avail_out = static_cast<uInt>(into.size());
    while (stream_.avail_out == into.size()) {
      const auto ahead = TRY(input_.ahead());
      if (ahead.empty()) {
        if (between_) return 0;
        return fail("gzip: content ends too early");
      }
      if (between_ && !next_member(ahead)) return 0;
      stream_.next_in = reinterpret_cast<Bytef*>(ahead.data());
      stream_.avail_in = static_cast<uInt>(ahead.size());
      const int status = ::inflate(&stream_, Z_NO_FLUSH);
      input_.consume(ahead.size() - stream_.avail_in);
      if (status == Z_STREAM_END)
        between_ = true;
      else if (status != Z_OK && status != Z_BUF_ERROR)
        return fail("gzip: content is damaged", stream_.msg == nullptr ? "" : cat(" (", stream_.msg, ")"));
    }
    return into.size() - stream_.avail_out;
  }
  // Another member follows, or padding that gzip(1) passes over too.
  bool next_member(std::span<std::byte> ahead) {
    if (ahead[0] != std::byte{0x1f}) return false;
    inflateReset(&stream_);
    between_ = false;
    return true;
  }

  z_stream stream_{};
  bool open_ = false, between_ = false;
};

class ZstdReader : public Expanding {
 public:
  using Expanding::Expanding;
  ~ZstdReader() override { ZSTD_freeDStream(stream_); }
  Result<> start() {
    stream_ = ZSTD_createDStream();
    if (stream_ == nullptr) return fail("zstd: out of memory");
    return {};
  }

 private:
  Result<size_t> expand(std::span<std::byte> into) override {
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    while (out.pos == 0) {
      const auto ahead = TRY(input_.ahead());
      if (ahead.empty() && whole_) return 0;
      ZSTD_inBuffer in{ahead.data(), ahead.size(), 0};
      const size_t status = ZSTD_decompressStream(stream_, &out, &in);
      if (ZSTD_isError(status) != 0) return fail("zstd: content is damaged (", ZSTD_getErrorName(status), ")");
      input_.consume(in.pos);
      whole_ = status == 0;
      if (ahead.empty() && out.pos == 0) return fail("zstd: content ends too early");
    }
    return out.pos;
  }

  ZSTD_DStream* stream_ = nullptr;
  bool whole_ = true;
};

template <typename Kind, typename... Args>
Result<std::unique_ptr<Reader>> started(Args&&... args) {
  auto reader = std::make_unique<Kind>(std::forward<Args>(args)...);
  TRY(reader->start());
  return reader;
}

Result<std::string> gzip_block(std::span<const std::byte> in, int level) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return fail("gzip: out of memory");
  Defer end([&] { deflateEnd(&stream); });
  std::string out(deflateBound(&stream, in.size()), '\0');
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (::deflate(&stream, Z_FINISH) != Z_STREAM_END) return fail("gzip: cannot compress");
  out.resize(stream.total_out);
  return out;
}

Result<std::string> zstd_block(std::span<const std::byte> in, int level) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  if (context == nullptr) return fail("zstd: out of memory");
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  std::string out(ZSTD_compressBound(in.size()), '\0');
  const size_t size = ZSTD_compress2(context.get(), out.data(), out.size(), in.data(), in.size());
  if (ZSTD_isError(size) != 0) return fail("zstd: ", ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

class BlockCompressor : public Compressor {
 public:
  using Block = Result<std::string> (*)(std::span<const std::byte>, int);
  BlockCompressor(Block block, int level, size_t size, Sink& out)
      : block_(block), level_(level), size_(size), out_(out) {}

  Result<> write(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const size_t count = std::min(bytes.size(), size_ - pending_.size());
      pending_.insert(pending_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
      bytes = bytes.subspan(count);
      if (pending_.size() == size_) TRY(start());
    }
    return {};
  }

  Result<> finish() override {
    if (!pending_.empty() || !any_) TRY(start());
    while (!running_.empty()) TRY(take());
    return {};
  }

 private:
  Result<> start() {
    if (running_.size() >= std::max(2u, std::thread::hardware_concurrency())) TRY(take());
    any_ = true;
    running_.push_back(
        in_background([block = block_, level = level_, data = std::move(pending_)] { return block(data, level); }));
    pending_ = {};
    pending_.reserve(size_);
    return {};
  }
  Result<> take() {
    const std::string block = TRY(running_.front().get());
    running_.pop_front();
    return out_.write(std::as_bytes(std::span(block)));
  }

  Block block_;
  int level_;
  size_t size_;
  Sink& out_;
  bool any_ = false;
  std::vector<std::byte> pending_;
  std::deque<std::future<Result<std::string>>> running_;
};

}  // namespace

Result<Compression> detect(std::span<const std::byte> head) {
  if (starts(head, "\x1f\x8b")) return Compression::kGzip;
  if (starts(head, "\x28\xb5\x2f\xfd")) return Compression::kZstd;
  // A skippable frame may come first (zstd:chunked).
  if (head.size() >= 4 && (head[0] & std::byte{0xf0}) == std::byte{0x50} && starts(head.subspan(1), "\x2a\x4d\x18"))
    return Compression::kZstd;
  for (const Magic& foreign : kForeign)
    if (starts(head, foreign.bytes)) return fail("compressed with ", foreign.name, ", not with gzip or zstd");
  return Compression::kNone;
}

std::optional<Compression> compression_named(std::string_view name) {
  if (name == "none") return Compression::kNone;
  if (name == "gzip") return Compression::kGzip;
  if (name == "zstd") return Compression::kZstd;
  return std::nullopt;
}

std::string_view layer_media_type(Compression compression) {
  return compression == Compression::kGzip   ? media::kLayerGzip
         : compression == Compression::kZstd ? media::kLayerZstd
                                             : media::kLayer;
}

Result<std::unique_ptr<Reader>> decompress(Reader& inner, const RatioLimit& limit) {
  std::vector<std::byte> head(kInput);
  size_t used = 0;
  while (used < 6) {
    const size_t got = TRY(inner.read(std::span(head).subspan(used)));
    if (got == 0) break;
    used += got;
  }
  head.resize(used);
  switch (TRY(detect(head))) {
    case Compression::kGzip: return started<GzipReader>(inner, std::move(head), limit);
    case Compression::kZstd: return started<ZstdReader>(inner, std::move(head), limit);
    case Compression::kNone: break;
  }
  return std::make_unique<PlainReader>(inner, std::move(head));
}

std::unique_ptr<Compressor> Compressor::make(Compression compression, Sink& out, int level) {
  if (compression == Compression::kZstd)
    return std::make_unique<BlockCompressor>(zstd_block, level == 0 ? 3 : level, 4 * kBlock, out);
  return std::make_unique<BlockCompressor>(gzip_block, level == 0 ? 4 : level, kBlock, out);
}

}  // namespace proa::oci::image
