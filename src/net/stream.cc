#include "net/stream.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

namespace proa::net {

namespace {

constexpr size_t kTlsRecord = 16 << 10;
constexpr size_t kSendfileTurn = 4 << 20;  // then others on this loop get theirs
constexpr size_t kLingerBytes = 4 << 20;
constexpr Duration kLinger{2'000};
constexpr size_t kHangupPeek = 16 << 10;  // unsolicited data that is kept for the next reader

bool would_block(int code) { return code == EAGAIN || code == EWOULDBLOCK; }

}  // namespace

void Outlet::wake_writers() {
  // The list has the latest first.
  Wait* oldest = nullptr;
  for (Wait* wait = std::exchange(waiting_, nullptr); wait;) {
    Wait* const next = wait->next_;
    wait->next_ = std::exchange(oldest, wait);
    wait = next;
  }
  for (Wait* wait = oldest; wait;) {
    Wait* const next = wait->next_;
    wait->handle_.resume();
    wait = next;
  }
}

Stream::Stream(Loop& loop, Fd socket, std::string peer, std::unique_ptr<TlsSession> tls)
    : loop_(loop),
      descriptor_(loop, std::move(socket)),
      tls_(std::move(tls)),
      peer_(std::move(peer)),
      read_timer_(loop, read_expired, this),
      write_timer_(loop, write_expired, this) {}

Stream::~Stream() {
  if (gone_) *gone_ = true;
  if (observer_) *observer_ = nullptr;
}

struct Stream::Ready {
  Stream& stream;
  bool to_write;
  bool await_ready() const { return stream.failed(); }
  void await_suspend(std::coroutine_handle<> handle) const {
    const Waiter waiter{[](void* address) { std::coroutine_handle<>::from_address(address).resume(); },
                        handle.address()};
    if (to_write) {
      stream.descriptor_.wait_writable(waiter, true);
    } else {
      stream.descriptor_.wait_readable(waiter, true);
    }
  }
  void await_resume() const {}
};

void Stream::fail_with(std::string_view step, int code) {
  set_error(Error::from_errno(code, cat(step, " ", peer_)));
  unread_.clear();
}

void Stream::fail_tls(std::string_view step) {
  const bool cut = tls_->error().find("close_notify") != std::string::npos;
  set_error(Error(cat(step, " ", peer_, ": ", tls_->error()), cut ? ECONNRESET : EPROTO));
}

void Stream::abort(Error error) {
  if (failed()) return;
  set_error(std::move(error));
  // Whoever waits for the socket wakes from this, in its own time, and sees the error.
  ::shutdown(fd(), SHUT_RDWR);
}

Task<Result<>> Stream::handshake(Duration timeout) {
  set_read_deadline(timeout, "TLS handshake with");
  for (;;) {
    if (failed()) co_return status();
    const TlsSession::Status now = tls_->handshake();
    if (now == TlsSession::Status::kDone) break;
    if (now == TlsSession::Status::kFailed || now == TlsSession::Status::kEnd) {
      fail_tls("TLS handshake with");
      co_return status();
    }
    co_await Ready{*this, now == TlsSession::Status::kWantWrite};
  }
  clear_read_deadline();
  co_return Result<>();
}

// --- reading --------------------------------------------------------------------------------------------------

Stream::Got Stream::try_read(std::span<char> to) {
  if (failed()) return {Got::kFailed};
  if (!unread_.empty()) {
    const size_t size = std::min(to.size(), unread_.size());
    std::copy_n(unread_.data(), size, to.data());
    unread_.erase(0, size);
    if (unread_.empty()) unread_ = std::string();
    return {Got::kData, size};
  }
  if (tls_) {
    size_t got = 0;
    drained_ = false;
    switch (tls_->read(to, got)) {
      case TlsSession::Status::kDone: drained_ = tls_->drained(); return {Got::kData, got};
      case TlsSession::Status::kWantRead: drained_ = true; return {Got::kNothing};
      case TlsSession::Status::kWantWrite: return {Got::kNothing};
      case TlsSession::Status::kEnd: return {Got::kEnd};
      case TlsSession::Status::kFailed: fail_tls("read from"); return {Got::kFailed};
    }
  }
  for (;;) {
    const ssize_t got = ::recv(fd(), to.data(), to.size(), 0);
    drained_ = got < static_cast<ssize_t>(to.size());
    if (got > 0) return {Got::kData, static_cast<size_t>(got)};
    if (got == 0) return {Got::kEnd};
    if (errno == EINTR) continue;
    if (would_block(errno)) return {Got::kNothing};
    fail_with("read from", errno);
    return {Got::kFailed};
  }
}

void Stream::unread(std::string_view bytes) { unread_.insert(0, bytes); }

bool Stream::Read::attempt() {
  const Got got = stream_.try_read(to_);
  got_ = got.size;
  return got.kind != Got::kNothing;
}

void Stream::Read::await_suspend(std::coroutine_handle<> handle) {
  handle_ = handle;
  stream_.descriptor_.wait_readable({readable, this}, stream_.drained_);
}

void Stream::Read::readable(void* self) {
  Read& read = *static_cast<Read*>(self);
  if (read.attempt()) return read.handle_.resume();
  read.stream_.descriptor_.wait_readable({readable, self}, read.stream_.drained_);
}

Result<size_t> Stream::Read::await_resume() {
  if (stream_.failed()) return std::unexpected(*stream_.error_);
  return got_;
}

void Stream::Readable::await_suspend(std::coroutine_handle<> handle) {
  handle_ = handle;
  stream_.descriptor_.wait_readable({readable, this}, stream_.drained_);
}

void Stream::Readable::readable(void* self) { static_cast<Readable*>(self)->handle_.resume(); }

Result<> Stream::Readable::await_resume() { return stream_.status(); }

void Stream::set_read_deadline(Duration delay, std::string_view what) {
  deadline_for_ = what;
  read_timer_.set_after(delay);
}

void Stream::read_expired(void* self) {
  Stream& stream = *static_cast<Stream*>(self);
  stream.abort(Error::from_errno(ETIMEDOUT, cat(stream.deadline_for_, " ", stream.peer_)));
}

// --- hangup ---------------------------------------------------------------------------------------------------

void Stream::watch_hangup(Waiter waiter) {
  hangup_ = waiter;
  if (unread_.empty()) descriptor_.wait_readable({hangup_readable, this}, drained_);
}

void Stream::forget_hangup() {
  hangup_ = {};
  descriptor_.forget_readable();
}

void Stream::hangup_readable(void* self) {
  Stream& stream = *static_cast<Stream*>(self);
  const std::span<char> buffer = stream.loop_.scratch().first(kHangupPeek);
  const Got got = stream.try_read(buffer);
  if (got.kind == Got::kData) return stream.unread({buffer.data(), got.size});
  if (got.kind == Got::kNothing) return stream.descriptor_.wait_readable({hangup_readable, self}, stream.drained_);
  if (got.kind == Got::kEnd) stream.set_error(Error(cat("connection closed by ", stream.peer_), ECONNRESET));
  if (const Waiter hangup = std::exchange(stream.hangup_, Waiter())) hangup.wake(hangup.context);
}

// --- writing --------------------------------------------------------------------------------------------------

size_t Stream::send_tls(std::string_view data) {
  size_t total = 0;
  while (total < data.size()) {
    size_t sent = 0;
    switch (tls_->write(data.substr(total), sent)) {
      case TlsSession::Status::kDone: total += sent; break;
      case TlsSession::Status::kWantRead:
      case TlsSession::Status::kWantWrite: return total;
      default: fail_tls("write to"); return total;
    }
  }
  return total;
}

size_t Stream::send_some(std::string_view data) {
  if (tls_) return send_tls(data);
  size_t total = 0;
  while (total < data.size()) {
    const ssize_t sent = ::send(fd(), data.data() + total, data.size() - total, MSG_NOSIGNAL);
    if (sent >= 0) {
      total += static_cast<size_t>(sent);
    } else if (errno != EINTR) {
      if (!would_block(errno)) fail_with("write to", errno);
      break;
    }
  }
  return total;
}

void Stream::keep(std::string_view data) {
  if (data.empty()) return;
  if (out_.empty()) out_ = loop_.take_buffer();
  out_.append(data);
  unsent_ += data.size();
}

Outlet::Wait Stream::write(std::string_view first, std::string_view second) {
  if (failed()) return Wait(*this);
  if (unsent_ > 0) {
    keep(first);
    keep(second);
    return Wait(*this);
  }
  if (!second.empty() && (tls_ ? first.size() + second.size() <= kTlsRecord : !first.empty())) {
    // One record, one packet.
    size_t sent = 0;
    if (tls_) {
      std::string both = loop_.take_buffer();
      both.append(first).append(second);
      sent = send_tls(both);
      loop_.give_buffer(std::move(both));
    } else {
      iovec parts[] = {{const_cast<char*>(first.data()), first.size()},
                       {const_cast<char*>(second.data()), second.size()}};
      msghdr message{};
      message.msg_iov = parts;
      message.msg_iovlen = 2;
      const ssize_t done = ::sendmsg(fd(), &message, MSG_NOSIGNAL);
      if (done < 0 && !would_block(errno) && errno != EINTR) fail_with("write to", errno);
      sent = done > 0 ? static_cast<size_t>(done) : 0;
    }
    const size_t of_first = std::min(sent, first.size());
    first.remove_prefix(of_first);
    second.remove_prefix(sent - of_first);
  } else {
    first.remove_prefix(send_some(first));
    if (first.empty() && !failed()) second.remove_prefix(send_some(second));
  }
  if (failed()) return Wait(*this);
  keep(first);
  keep(second);
  if (unsent_ > 0) await_writable();
  return Wait(*this);
}

void Stream::await_writable() {
  if (write_timeout_.count() > 0) write_timer_.set_after(write_timeout_);
  descriptor_.wait_writable({writable, this}, true);
}

// Whether nothing is left to send, or ever will be.
bool Stream::flush() {
  if (failed()) return true;
  const size_t sent = send_some(std::string_view(out_).substr(out_at_));
  out_at_ += sent;
  unsent_ -= sent;
  if (failed()) return true;
  if (unsent_ > 0) return false;
  out_at_ = 0;
  loop_.give_buffer(std::exchange(out_, std::string()));
  return true;
}

void Stream::writable(void* self) {
  Stream& stream = *static_cast<Stream*>(self);
  if (!stream.flush()) return stream.await_writable();
  stream.write_timer_.clear();
  bool gone = false;
  stream.gone_ = &gone;
  if (stream.sent_) stream.sent_.wake(stream.sent_.context);
  if (gone) return;
  stream.gone_ = nullptr;
  stream.wake_writers();
}

void Stream::write_expired(void* self) {
  Stream& stream = *static_cast<Stream*>(self);
  stream.abort(Error::from_errno(ETIMEDOUT, cat("write to ", stream.peer_)));
}

Task<Result<>> Stream::send_file(int file, uint64_t offset, uint64_t size) {
  size_t turn = 0;
  while (size > 0) {
    CO_TRY(co_await drain());
    off_t at = static_cast<off_t>(offset);
    ssize_t moved = 0;
    if (tls_) {
      const std::span<char> buffer = loop_.scratch();
      moved = ::pread(file, buffer.data(), std::min<uint64_t>(size, buffer.size()), at);
      if (moved > 0) static_cast<void>(write({buffer.data(), static_cast<size_t>(moved)}));
    } else {
      moved = ::sendfile(fd(), file, &at, std::min<uint64_t>(size, kSendfileTurn));
    }
    if (moved == 0) {
      abort(Error(cat("write to ", peer_, ": the file is shorter than was announced"), EIO));
      co_return status();
    }
    if (moved < 0 && would_block(errno)) {
      if (write_timeout_.count() > 0) write_timer_.set_after(write_timeout_);
      co_await Ready{*this, true};
      write_timer_.clear();
      continue;
    }
    if (moved < 0) {
      if (errno == EINTR) continue;
      fail_with("write a file to", errno);
      co_return status();
    }
    offset += static_cast<uint64_t>(moved);
    size -= static_cast<uint64_t>(moved);
    if ((turn += static_cast<size_t>(moved)) >= kSendfileTurn) {
      turn = 0;
      co_await Yield();
    }
  }
  co_return status();
}

Task<Result<>> Stream::shutdown_write() {
  CO_TRY(co_await drain());
  if (tls_) static_cast<void>(tls_->shutdown());
  ::shutdown(fd(), SHUT_WR);
  co_return Result<>();
}

Task<> Stream::linger() {
  if (!failed()) co_await drain();
  if (tls_ && !failed()) static_cast<void>(tls_->shutdown());
  ::shutdown(fd(), SHUT_WR);
  const Clock::time_point deadline = Clock::now() + kLinger;
  for (size_t discarded = 0; discarded < kLingerBytes && Clock::now() < deadline;) {
    const std::span<char> buffer = loop_.scratch();
    const ssize_t got = ::recv(fd(), buffer.data(), buffer.size(), 0);
    if (got == 0 || (got < 0 && !would_block(errno))) co_return;
    if (got > 0)
      discarded += static_cast<size_t>(got);
    else if (!co_await ReadyWithin(descriptor_, false, kLinger))
      co_return;
  }
}

}  // namespace proa::net
