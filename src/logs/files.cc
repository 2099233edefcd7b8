#include "logs/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/text.h"
#include "kernel/file.h"

namespace proa::logs {
namespace {

constexpr int kGzipWindow = 15 + 16;  // zlib's way to say: gzip, not zlib
constexpr char kCommentFlag = 0x10;
constexpr size_t kPiece = 128u << 10;

// Inode numbers are used again: the time it was made tells them apart.
uint64_t identity_of(int fd, const char* path) {
  struct statx info{};
  if (::statx(fd, path, AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &info) != 0) return 0;
  const uint64_t born = static_cast<uint64_t>(info.stx_btime.tv_sec) * 1000000000 + info.stx_btime.tv_nsec;
  const uint64_t identity = (info.stx_ino * 0x9e3779b97f4a7c15) ^ (born * 0xff51afd7ed558ccd);
  return identity == 0 ? 1 : identity;
}

Result<LogFile> open_plain(const std::string& path) {
  LogFile out{.fd = TRY(kernel::open(path.c_str(), O_RDONLY))};
  out.identity = identity_of(out.fd.get(), "");
  out.size = TRY(kernel::stat_fd(out.fd.get())).st_size;
  return out;
}

// RFC 1952: compress() keeps the identity as the header's comment, which follows ten bytes.
uint64_t kept_identity(int fd) {
  std::array<char, 40> head{};
  if (::pread(fd, head.data(), head.size(), 0) < 12 || head[3] != kCommentFlag) return 0;
  head.back() = 0;
  const std::string_view text(head.data() + 10);
  return parse_number<uint64_t>(text).value_or(0);
}

std::string folder_of(const std::string& path) {
  const size_t end = path.rfind('/');
  return end == std::string::npos ? "." : path.substr(0, end + 1);
}

// Plain or compressed.
Result<LogFile> open_older(const std::string& path) {
  if (auto plain = open_plain(path)) return plain;
  LogFile out{.fd = TRY(kernel::open((path + ".gz").c_str(), O_RDONLY)), .compressed = folder_of(path)};
  out.identity = kept_identity(out.fd.get());
  return out;
}

// Nothing to clean up, however the process ends.
Result<Fd> nameless_in(const std::string& folder) {
  auto made = kernel::open(folder.c_str(), O_RDWR | O_TMPFILE, 0600);
  if (made) return made;
  Fd memory(::memfd_create("log", MFD_CLOEXEC));
  if (!memory) return fail_errno(errno, "memfd");
  return memory;
}

struct EndDeflate {
  void operator()(z_stream* stream) const { ::deflateEnd(stream); }
};
struct EndInflate {
  void operator()(z_stream* stream) const { ::inflateEnd(stream); }
};

Result<> deflate_all(int from, int to, std::string comment) {
  z_stream stream{};
  if (::deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return fail("gzip: no memory");
  const std::unique_ptr<z_stream, EndDeflate> end(&stream);
  gz_header header{};
  header.comment = reinterpret_cast<Bytef*>(comment.data());
  ::deflateSetHeader(&stream, &header);
  std::vector<char> in(kPiece), out(kPiece);
  for (bool last = false; !last;) {
    const ssize_t got = ::read(from, in.data(), in.size());
    if (got < 0) return fail_errno(errno, "read");
    last = got == 0;
    stream.next_in = reinterpret_cast<Bytef*>(in.data());
    stream.avail_in = static_cast<uInt>(got);
    do {
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      ::deflate(&stream, last ? Z_FINISH : Z_NO_FLUSH);
      TRY(kernel::write_all(to, {out.data(), out.size() - stream.avail_out}));
    } while (stream.avail_out == 0);
  }
  return {};
}

Result<> inflate_all(int from, int to) {
  z_stream stream{};
  if (::inflateInit2(&stream, kGzipWindow) != Z_OK) return fail("gzip: no memory");
  const std::unique_ptr<z_stream, EndInflate> end(&stream);
  std::vector<char> in(kPiece), out(kPiece);
  for (;;) {
    const ssize_t got = ::read(from, in.data(), in.size());
    if (got < 0) return fail_errno(errno, "read");
    if (got == 0) return fail("gzip: the file ends within its data");
    stream.next_in = reinterpret_cast<Bytef*>(in.data());
    stream.avail_in = static_cast<uInt>(got);
    do {
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      const int done = ::inflate(&stream, Z_NO_FLUSH);
      if (done != Z_OK && done != Z_STREAM_END && done != Z_BUF_ERROR) return fail("gzip: the data is damaged");
      TRY(kernel::write_all(to, {out.data(), out.size() - stream.avail_out}));
      if (done == Z_STREAM_END) return {};
    } while (stream.avail_out == 0);
  }
}

}  // namespace

uint64_t identity_at(const std::string& path) { return identity_of(AT_FDCWD, path.c_str()); }

Result<> LogFile::unpack() {
  if (compressed.empty()) return {};
  Fd content = TRY(nameless_in(compressed));
  TRY_CTX(inflate_all(fd.get(), content.get()), "a compressed log");
  size = ::lseek(content.get(), 0, SEEK_CUR);
  if (::lseek(content.get(), 0, SEEK_SET) < 0) return fail_errno(errno, "seek");
  fd = std::move(content);
  compressed.clear();
  return {};
}

// From the newest on: a rotation meanwhile shows a file twice, never hides one.
Result<std::vector<LogFile>> open_files(const std::string& path) {
  std::vector<LogFile> out;
  auto newest = open_plain(path);
  if (newest)
    out.push_back(std::move(*newest));
  else if (newest.error().code() != ENOENT)
    return std::unexpected(newest.error());
  int missing = 0;
  for (int i = 1; missing < 2; ++i) {
    auto older = open_older(cat(path, ".", i));
    // A rotation that was killed, or is under way, leaves one number out.
    missing = older ? 0 : missing + 1;
    if (older && std::ranges::none_of(out, [&](const LogFile& file) { return file.identity == older->identity; }))
      out.push_back(std::move(*older));
  }
  std::ranges::reverse(out);
  return out;
}

Result<std::vector<LogFile>> open_newer(const std::string& path, uint64_t identity) {
  std::vector<LogFile> out = TRY(open_files(path));
  const auto known = std::ranges::find(out, identity, &LogFile::identity);
  if (known != out.end()) out.erase(out.begin(), known + 1);
  return out;
}

Result<> compress(const std::string& path) {
  const Fd from = TRY(kernel::open(path.c_str(), O_RDONLY));
  const std::string made = path + ".gz", part = made + ".new";
  const Fd to = TRY(kernel::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0640));
  TRY_CTX(deflate_all(from.get(), to.get(), std::to_string(identity_of(from.get(), ""))), "compress ", path);
  if (::rename(part.c_str(), made.c_str()) != 0) return fail_errno(errno, "rename to ", made);
  return kernel::unlink_at(AT_FDCWD, path.c_str());
}

}  // namespace proa::logs
