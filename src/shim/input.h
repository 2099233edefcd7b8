// The container's standard input: what clients send, through one small buffer.
#pragma once

#include <cstddef>

#include "shim/poller.h"

namespace proa::shim {

class Input {
 public:
  explicit Input(Poller& poller) : poller_(poller) {}

  // `fd`: the pipe's writing end or the terminal's master; -1 for a container without standard input.
  void open(int fd, bool terminal, bool once);
  bool exists() const { return exists_; }
  bool is_open() const { return fd_ >= 0; }
  // Whether there is something that the container has not taken yet; then nothing more may be read.
  bool full() const { return begin_ != end_; }

  // Where the next bytes go, and how many fit. Only while !full().
  char* buffer() { return bytes_; }
  static constexpr size_t capacity() { return kSize; }
  // Sends `size` bytes of buffer() on; bytes for a closed input are thrown away.
  void take(size_t size);
  // Call when the descriptor can be written. Returns whether the buffer has become empty.
  bool flush();
  // The end of a client that wrote.
  void client_ended() {
    if (once_) close();
  }
  // Closes the input once the container has what was sent before. A terminal has no end.
  void close();

 private:
  void close_now();

  static constexpr size_t kSize = 16 * 1024;

  Poller& poller_;
  int fd_ = -1;
  bool exists_ = false, terminal_ = false, once_ = false, closing_ = false, watched_ = false;
  size_t begin_ = 0, end_ = 0;
  char bytes_[kSize];
};

}  // namespace proa::shim
