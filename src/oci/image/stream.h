// Streams of bytes: readers that fill a buffer, sources whose bytes are looked at in place, sinks.
// None is thread-safe.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/image/digest.h"

namespace proa::oci::image {

class Reader {
 public:
  virtual ~Reader() = default;
  // At least one byte unless at the end (0) or `into` is empty.
  virtual Result<size_t> read(std::span<std::byte> into) = 0;
};

// Of a file, a pipe, a socket. Does not own `fd`.
class FdReader : public Reader {
 public:
  explicit FdReader(int fd) : fd_(fd) {}
  Result<size_t> read(std::span<std::byte> into) override;

 private:
  int fd_;
};

// Of a part of a file, by pread(2): others may read the same descriptor.
class RangeReader : public Reader {
 public:
  RangeReader(int fd, uint64_t offset, uint64_t length) : fd_(fd), offset_(offset), left_(length) {}
  Result<size_t> read(std::span<std::byte> into) override;

 private:
  int fd_;
  uint64_t offset_, left_;
};

class MemoryReader : public Reader {
 public:
  explicit MemoryReader(std::string_view text) : text_(text) {}
  Result<size_t> read(std::span<std::byte> into) override;

 private:
  std::string_view text_;
};

// Until `into` is full or the end is reached.
Result<size_t> read_full(Reader& reader, std::span<std::byte> into);

class Source {
 public:
  virtual ~Source() = default;
  // Bytes ahead, at least one unless at the end; they stay until consume().
  virtual Result<std::span<const std::byte>> peek() = 0;
  virtual void consume(size_t bytes) = 0;
};

// One that says what came by.
class CountedSource : public Source {
 public:
  // `hash`: digest() will be asked for.
  explicit CountedSource(bool hash) {
    if (hash) hasher_.emplace();
  }
  Result<std::span<const std::byte>> peek() override;
  void consume(size_t bytes) override { ahead_ = ahead_.subspan(bytes); }
  // Bytes brought in so far; all of them once peek() said it is at the end.
  uint64_t bytes() const { return bytes_; }
  Digest digest() { return hasher_->finish(); }

 protected:
  // The next piece, valid until the next call; empty at the end.
  virtual Result<std::span<const std::byte>> next() = 0;

 private:
  std::span<const std::byte> ahead_;
  uint64_t bytes_ = 0;
  std::optional<Hasher> hasher_;
};

// Reads when asked.
class BufferedSource : public CountedSource {
 public:
  explicit BufferedSource(Reader& reader, bool hash = false, size_t buffer = 256u << 10)
      : CountedSource(hash), reader_(reader), buffer_(buffer) {}

 private:
  Result<std::span<const std::byte>> next() override;
  Reader& reader_;
  std::vector<std::byte> buffer_;
};

// A thread of its own reads (and decompresses) ahead, a bounded way.
class ThreadedSource : public CountedSource {
 public:
  explicit ThreadedSource(Reader& reader, bool hash = false);
  ~ThreadedSource() override;

 private:
  using Buffer = std::vector<std::byte>;
  Result<std::span<const std::byte>> next() override;
  void fill(Reader& reader);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Buffer> full_, empty_;  // guarded by mutex_
  bool stop_ = false, end_ = false;
  std::optional<Error> error_;
  Buffer current_;
  std::thread thread_;
};

class Sink {
 public:
  virtual ~Sink() = default;
  virtual Result<> write(std::span<const std::byte> bytes) = 0;
  Result<> write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  // `bytes` of a file from its position on.
  virtual Result<> write_from(int fd, uint64_t bytes);
};

// Into a file, a pipe, a socket; files' content does not pass through this process. Does not own `fd`.
class FdSink : public Sink {
 public:
  using Sink::write;
  explicit FdSink(int fd) : fd_(fd) {}
  Result<> write(std::span<const std::byte> bytes) override;
  Result<> write_from(int fd, uint64_t bytes) override;

 private:
  int fd_;
};

// Any function as a sink.
class FunctionSink : public Sink {
 public:
  using Sink::write;
  using Function = std::function<Result<>(std::span<const std::byte>)>;
  explicit FunctionSink(Function function) : function_(std::move(function)) {}
  Result<> write(std::span<const std::byte> bytes) override { return function_(bytes); }

 private:
  Function function_;
};

// Small writes gathered into large ones.
class BufferedSink : public Sink {
 public:
  using Sink::write;
  explicit BufferedSink(FunctionSink::Function function) : function_(std::move(function)) {}
  Result<> write(std::span<const std::byte> bytes) override;
  // To be called at the end.
  Result<> flush();

 private:
  FunctionSink::Function function_;
  std::vector<std::byte> pending_;
};

// A function on a thread of its own; where there can be none, when its result is asked for.
template <typename Function>
auto in_background(Function function) {
  // Shared, as an attempt that fails would have moved it away.
  const auto shared = std::make_shared<Function>(std::move(function));
  const auto work = [shared] { return (*shared)(); };
  try {
    return std::async(std::launch::async, work);
  } catch (const std::system_error&) {
    return std::async(std::launch::deferred, work);
  }
}

// Everything that `reader` has.
Result<uint64_t> copy(Reader& reader, Sink& sink);

}  // namespace proa::oci::image
