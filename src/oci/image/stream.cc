#include "oci/image/stream.h"

#include <sys/sendfile.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "kernel/file.h"

namespace proa::oci::image {
namespace {

constexpr size_t kPiece = 256u << 10;
constexpr size_t kPieces = 6;

}  // namespace

Result<size_t> FdReader::read(std::span<std::byte> into) {
  for (;;) {
    const ssize_t got = ::read(fd_, into.data(), into.size());
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return fail_errno(errno, "read");
  }
}

Result<size_t> RangeReader::read(std::span<std::byte> into) {
  const size_t want = static_cast<size_t>(std::min<uint64_t>(into.size(), left_));
  for (;;) {
    const ssize_t got = ::pread(fd_, into.data(), want, static_cast<off_t>(offset_));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read");
    offset_ += static_cast<uint64_t>(got);
    left_ -= static_cast<uint64_t>(got);
    return static_cast<size_t>(got);
  }
}

Result<size_t> MemoryReader::read(std::span<std::byte> into) {
  const size_t count = std::min(into.size(), text_.size());
  std::memcpy(into.data(), text_.data(), count);
  text_.remove_prefix(count);
  return count;
}

Result<size_t> read_full(Reader& reader, std::span<std::byte> into) {
  size_t used = 0;
  while (used < into.size()) {
    const size_t got = TRY(reader.read(into.subspan(used)));
    if (got == 0) break;
    used += got;
  }
  return used;
}

Result<std::span<const std::byte>> CountedSource::peek() {
  if (ahead_.empty()) {
    ahead_ = TRY(next());
    bytes_ += ahead_.size();
    if (hasher_) hasher_->update(ahead_);
  }
  return ahead_;
}

Result<std::span<const std::byte>> BufferedSource::next() {
  const size_t got = TRY(reader_.read(buffer_));
  return std::span<const std::byte>(buffer_).first(got);
}

ThreadedSource::ThreadedSource(Reader& reader, bool hash) : CountedSource(hash) {
  for (size_t i = 0; i < kPieces; ++i) empty_.emplace_back();
  try {
    thread_ = std::thread([this, &reader] { fill(reader); });
  } catch (const std::system_error& error) {
    error_ = Error::from_errno(error.code().value(), "start a thread");
    end_ = true;
  }
}

ThreadedSource::~ThreadedSource() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ThreadedSource::fill(Reader& reader) {
  for (;;) {
    Buffer buffer;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || !empty_.empty(); });
      if (stop_) return;
      buffer = std::move(empty_.front());
      empty_.pop_front();
    }
    buffer.resize(kPiece);
    const auto got = read_full(reader, buffer);
    const std::lock_guard lock(mutex_);
    if (!got) error_ = got.error();
    end_ = !got || *got < kPiece;
    if (got && *got > 0) {
      buffer.resize(*got);
      full_.push_back(std::move(buffer));
    }
    changed_.notify_all();
    if (end_) return;
  }
}

Result<std::span<const std::byte>> ThreadedSource::next() {
  std::unique_lock lock(mutex_);
  if (!current_.empty()) {
    empty_.push_back(std::move(current_));
    current_ = {};
    changed_.notify_all();
  }
  changed_.wait(lock, [&] { return end_ || !full_.empty(); });
  if (!full_.empty()) {
    current_ = std::move(full_.front());
    full_.pop_front();
    return std::span<const std::byte>(current_);
  }
  if (error_) return std::unexpected(*error_);
  return std::span<const std::byte>();
}

Result<> Sink::write_from(int fd, uint64_t bytes) {
  FdReader reader(fd);
  std::vector<std::byte> buffer(static_cast<size_t>(std::min<uint64_t>(bytes, kPiece)));
  while (bytes > 0) {
    const auto want = std::span(buffer).first(static_cast<size_t>(std::min<uint64_t>(bytes, buffer.size())));
    const size_t got = TRY(reader.read(want));
    if (got == 0) return fail("file has shrunk while it was read");
    TRY(write(std::span<const std::byte>(want).first(got)));
    bytes -= got;
  }
  return {};
}

Result<> FdSink::write(std::span<const std::byte> bytes) {
  return kernel::write_all(fd_, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Result<> FdSink::write_from(int fd, uint64_t bytes) {
  while (bytes > 0) {
    const ssize_t sent = ::sendfile(fd_, fd, nullptr, static_cast<size_t>(std::min<uint64_t>(bytes, 1u << 30)));
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EINVAL || errno == ENOSYS)) return Sink::write_from(fd, bytes);
    if (sent < 0) return fail_errno(errno, "write");
    if (sent == 0) return fail("file has shrunk while it was read");
    bytes -= static_cast<uint64_t>(sent);
  }
  return {};
}

Result<> BufferedSink::write(std::span<const std::byte> bytes) {
  if (pending_.empty() && bytes.size() >= kPiece) return function_(bytes);
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  return pending_.size() >= kPiece ? flush() : Result<>();
}

Result<> BufferedSink::flush() {
  if (pending_.empty()) return {};
  TRY(function_(pending_));
  pending_.clear();
  return {};
}

Result<uint64_t> copy(Reader& reader, Sink& sink) {
  std::vector<std::byte> buffer(kPiece);
  uint64_t total = 0;
  for (;;) {
    const size_t got = TRY(reader.read(buffer));
    if (got == 0) return total;
    TRY(sink.write(std::span<const std::byte>(buffer).first(got)));
    total += got;
  }
}

}  // namespace proa::oci::image
