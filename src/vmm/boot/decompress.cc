#include "vmm/boot/decompress.h"

#include <fcntl.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "base/log.h"
#include "kernel/file.h"

namespace proa::vmm {

namespace {

constexpr size_t kBlock = 1 << 20;
constexpr uint32_t kLz4LegacyMagic = 0x184c2102;
constexpr size_t kLz4LegacyBlock = 8 << 20;
constexpr uint64_t kXzMemory = 512ULL << 20;

// Where unpacked bytes go, up to a limit.
class Output {
 public:
  Output(int fd, uint64_t limit) : fd_(fd), left_(limit) {}
  Result<> write(std::string_view bytes) {
    if (bytes.size() > left_) return fail("unpacks to more than is allowed");
    left_ -= bytes.size();
    return kernel::write_all(fd_, bytes);
  }

 private:
  int fd_;
  uint64_t left_;
};

Result<> gunzip(std::string_view data, Output& out) {
  z_stream stream{};
  if (::inflateInit2(&stream, 15 + 16) != Z_OK) return fail("gzip: no memory");
  const std::unique_ptr<z_stream, decltype(&::inflateEnd)> end(&stream, &::inflateEnd);
  std::vector<char> block(kBlock);
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    if (stream.avail_in == 0) {
      const size_t part = std::min<size_t>(data.size(), 1 << 30);
      if (part == 0) return fail("gzip: ends too early");
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
      stream.avail_in = static_cast<uInt>(part);
      data.remove_prefix(part);
    }
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = kBlock;
    status = ::inflate(&stream, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) return fail("gzip: damaged");
    TRY(out.write({block.data(), kBlock - stream.avail_out}));
  }
  return {};
}

Result<> unxz(std::string_view data, Output& out) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (::lzma_stream_decoder(&stream, kXzMemory, 0) != LZMA_OK) return fail("xz: no memory");
  const std::unique_ptr<lzma_stream, decltype(&::lzma_end)> end(&stream, &::lzma_end);
  std::vector<char> block(kBlock);
  stream.next_in = reinterpret_cast<const uint8_t*>(data.data());
  stream.avail_in = data.size();
  lzma_ret status = LZMA_OK;
  while (status == LZMA_OK) {
    stream.next_out = reinterpret_cast<uint8_t*>(block.data());
    stream.avail_out = kBlock;
    status = ::lzma_code(&stream, LZMA_RUN);
    TRY(out.write({block.data(), kBlock - stream.avail_out}));
  }
  if (status != LZMA_STREAM_END) return fail(status == LZMA_BUF_ERROR ? "xz: ends too early" : "xz: damaged");
  return {};
}

Result<> unzstd(std::string_view data, Output& out) {
  const std::unique_ptr<ZSTD_DCtx, decltype(&::ZSTD_freeDCtx)> context(::ZSTD_createDCtx(), &::ZSTD_freeDCtx);
  if (!context) return fail("zstd: no memory");
  // Kernels are packed with windows of up to 128 MiB.
  ::ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 27);
  std::vector<char> block(kBlock);
  ZSTD_inBuffer in{data.data(), data.size(), 0};
  for (;;) {
    ZSTD_outBuffer to{block.data(), block.size(), 0};
    const size_t left = ::ZSTD_decompressStream(context.get(), &to, &in);
    if (::ZSTD_isError(left) != 0) return fail("zstd: ", ::ZSTD_getErrorName(left));
    TRY(out.write({block.data(), to.pos}));
    if (left == 0) return {};
    if (in.pos == in.size && to.pos == 0) return fail("zstd: ends too early");
  }
}

Result<> unlz4(std::string_view data, Output& out) {
  LZ4F_dctx* made = nullptr;
  if (::LZ4F_isError(::LZ4F_createDecompressionContext(&made, LZ4F_VERSION)) != 0) return fail("lz4: no memory");
  const std::unique_ptr<LZ4F_dctx, decltype(&::LZ4F_freeDecompressionContext)> context(
      made, &::LZ4F_freeDecompressionContext);
  std::vector<char> block(kBlock);
  for (;;) {
    size_t got = block.size();
    size_t used = data.size();
    const size_t left = ::LZ4F_decompress(context.get(), block.data(), &got, data.data(), &used, nullptr);
    if (::LZ4F_isError(left) != 0) return fail("lz4: ", ::LZ4F_getErrorName(left));
    TRY(out.write({block.data(), got}));
    data.remove_prefix(used);
    if (left == 0) return {};
    if (data.empty() && got == 0) return fail("lz4: ends too early");
  }
}

// The format of `lz4 -l`, which kernels use: blocks of up to 8 MiB, each after its length; the end is the file's, or
// a length that is none (the kernel's build appends the unpacked size).
Result<> unlz4_legacy(std::string_view data, Output& out) {
  data.remove_prefix(4);
  std::vector<char> block(kLz4LegacyBlock);
  while (data.size() >= 4) {
    uint32_t length = 0;
    std::memcpy(&length, data.data(), 4);
    data.remove_prefix(4);
    if (length == kLz4LegacyMagic) continue;
    if (length == 0 || length > data.size()) break;
    const int got =
        ::LZ4_decompress_safe(data.data(), block.data(), static_cast<int>(length), static_cast<int>(block.size()));
    if (got < 0) return fail("lz4: damaged");
    TRY(out.write({block.data(), static_cast<size_t>(got)}));
    data.remove_prefix(length);
  }
  return {};
}

Result<Fd> make_memfd(const char* name) {
  Fd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd) return fail_errno(errno, "memfd_create");
  return fd;
}

}  // namespace

std::string file_identity(const struct stat& about) {
  return cat(about.st_dev, "-", about.st_ino, "-", about.st_size, "-", about.st_mtim.tv_sec, ".", about.st_mtim.tv_nsec,
             "-", about.st_ctim.tv_sec, ".", about.st_ctim.tv_nsec);
}

Compression find_compression(std::string_view data) {
  const auto starts = [&](std::string_view magic) { return data.starts_with(magic); };
  using namespace std::string_view_literals;
  if (starts("\x1f\x8b"sv)) return Compression::kGzip;
  if (starts("\xfd"
             "7zXZ"sv))
    return Compression::kXz;
  if (starts("\x28\xb5\x2f\xfd"sv)) return Compression::kZstd;
  if (starts("\x04\x22\x4d\x18"sv)) return Compression::kLz4;
  if (starts("\x02\x21\x4c\x18"sv)) return Compression::kLz4Legacy;
  if (starts("BZh"sv) || starts("\x5d\x00\x00"sv) || starts("\x89LZO"sv)) return Compression::kUnknown;
  return Compression::kNone;
}

Result<> decompress(std::string_view data, Compression compression, int out, uint64_t limit) {
  Output output(out, limit);
  switch (compression) {
    case Compression::kNone: return output.write(data);
    case Compression::kGzip: return gunzip(data, output);
    case Compression::kXz: return unxz(data, output);
    case Compression::kZstd: return unzstd(data, output);
    case Compression::kLz4: return unlz4(data, output);
    case Compression::kLz4Legacy: return unlz4_legacy(data, output);
    case Compression::kUnknown: break;
  }
  return fail("is compressed by bzip2, LZMA or LZO, which is not supported")
      .hint("use a kernel compressed by gzip, xz, zstd or lz4, or an uncompressed one");
}

Result<FileView> FileView::open(const std::string& path) {
  return map(TRY(kernel::open(path.c_str(), O_RDONLY)), path);
}

Result<FileView> FileView::map(Fd file, std::string name) {
  const struct stat about = TRY(kernel::stat_fd(file.get()));
  if (!S_ISREG(about.st_mode)) return fail(name, ": is not a file");
  if (about.st_size == 0) return fail(name, ": is empty");
  void* at = ::mmap(nullptr, static_cast<size_t>(about.st_size), PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (at == MAP_FAILED) return fail_errno(errno, "map ", name);
  FileView view;
  view.file_ = std::move(file);
  view.name_ = std::move(name);
  view.data_ = static_cast<const char*>(at);
  view.size_ = static_cast<size_t>(about.st_size);
  return view;
}

FileView::FileView(FileView&& other) noexcept { *this = std::move(other); }
FileView& FileView::operator=(FileView&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(name_, other.name_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}
FileView::~FileView() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

Result<FileView> unpack_cached(const FileView& data, std::string_view part, Compression compression,
                               const std::string& cache_folder) {
  const auto offset = static_cast<uint64_t>(part.data() - data.bytes().data());
  std::string path;
  if (!cache_folder.empty()) {
    path = cat(cache_folder, "/", file_identity(TRY(kernel::stat_fd(data.fd()))), "-", offset);
    if (auto kept = kernel::open(path.c_str(), O_RDONLY)) return FileView::map(std::move(*kept), data.name());
  }
  Fd file;
  std::string temporary;
  if (!path.empty() && kernel::make_dirs(cache_folder, 0700)) {
    temporary = cat(path, ".", ::getpid());
    if (auto made = kernel::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600)) file = std::move(*made);
  }
  if (!file) file = TRY(make_memfd("unpacked"));
  Defer clean([&] { ::unlink(temporary.c_str()); });
  TRY_CTX(decompress(part, compression, file.get()), data.name());
  if (temporary.empty() || ::rename(temporary.c_str(), path.c_str()) == 0) clean.dismiss();
  return FileView::map(std::move(file), data.name());
}

}  // namespace proa::vmm
