// Stream: a connected byte stream, TCP or unix, plain or TLS. What an upgraded connection is handed over as, and
// what HTTP itself runs on.
//
// On its loop's thread only. One coroutine may read while others write; writes are sent in the order of the calls.
// After an error, a timeout or `abort` everything returns that error.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/descriptor.h"
#include "net/loop.h"
#include "net/tls.h"

namespace proa::net {

// What a stream or an HTTP/2 stream owes to its peer, and who waits for it to shrink.
class Outlet {
 public:
  // Writers wait once this much has not been sent.
  static constexpr size_t kHighWater = 64 << 10;

  // co_await of a write: goes on when less than the high-water mark is unsent. The data was taken before, whether
  // or not anybody awaits.
  class [[nodiscard]] Wait {
   public:
    explicit Wait(Outlet& outlet) : outlet_(outlet) {}
    Wait(Outlet& outlet, bool until_sent) : outlet_(outlet), until_sent_(until_sent) {}
    bool await_ready() const {
      return outlet_.failed() || (until_sent_ ? outlet_.unsent_ == 0 : outlet_.unsent_ < kHighWater);
    }
    void await_suspend(std::coroutine_handle<> handle) {
      handle_ = handle;
      next_ = std::exchange(outlet_.waiting_, this);
    }
    Result<> await_resume() const { return outlet_.status(); }

   private:
    friend class Outlet;
    Outlet& outlet_;
    bool until_sent_ = false;
    std::coroutine_handle<> handle_;
    Wait* next_ = nullptr;
  };

  bool failed() const { return error_ != nullptr; }
  Result<> status() const {
    if (error_) return std::unexpected(*error_);
    return {};
  }

 protected:
  ~Outlet() = default;
  // Resumes all waiting writers; for when nothing is unsent, or nothing ever will be sent. They may destroy this.
  void wake_writers();
  void set_error(Error error) {
    if (!error_) error_ = std::make_unique<Error>(std::move(error));
  }

  size_t unsent_ = 0;
  std::unique_ptr<Error> error_;
  Wait* waiting_ = nullptr;
};

class Stream final : public Outlet {
 public:
  // Takes a connected non-blocking socket. With `tls`, call handshake() before anything else. `peer` names the
  // other side in errors.
  Stream(Loop& loop, Fd socket, std::string peer, std::unique_ptr<TlsSession> tls = nullptr);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  Loop& loop() const { return loop_; }
  int fd() const { return descriptor_.fd(); }
  const std::string& peer() const { return peer_; }
  TlsSession* tls() const { return tls_.get(); }

  Task<Result<>> handshake(Duration timeout);

  // At least one byte, or 0 at the end. A TLS stream that ends without close_notify is an error.
  class [[nodiscard]] Read {
   public:
    Read(Stream& stream, std::span<char> to) : stream_(stream), to_(to) {}
    bool await_ready() { return attempt(); }
    void await_suspend(std::coroutine_handle<> handle);
    Result<size_t> await_resume();

   private:
    friend class Stream;
    bool attempt();
    static void readable(void* self);
    Stream& stream_;
    std::span<char> to_;
    std::coroutine_handle<> handle_;
    size_t got_ = 0;
  };
  Read read(std::span<char> to) { return Read(*this, to); }
  // Waits, holding no buffer, until reading is worth a try: try_read may still find nothing.
  class [[nodiscard]] Readable {
   public:
    explicit Readable(Stream& stream) : stream_(stream) {}
    bool await_ready() const { return stream_.has_unread() || stream_.failed(); }
    void await_suspend(std::coroutine_handle<> handle);
    Result<> await_resume();

   private:
    static void readable(void* self);
    Stream& stream_;
    std::coroutine_handle<> handle_;
  };
  Readable readable() { return Readable(*this); }
  struct Got {
    enum { kData, kEnd, kNothing, kFailed } kind;
    size_t size = 0;
  };
  Got try_read(std::span<char> to);
  // Bytes that were read too far come first.
  void unread(std::string_view bytes);
  bool has_unread() const { return !unread_.empty() || (tls_ && tls_->pending()); }

  // Sends now what the socket takes and keeps a copy of the rest: `data` need not outlive the call. Await the
  // result before the next write, so that a slow reader slows the writer.
  Wait write(std::string_view data) { return write(data, {}); }
  Wait write(std::string_view first, std::string_view second);
  // Part of a file after all that was written; sendfile where the stream is plain.
  Task<Result<>> send_file(int file, uint64_t offset, uint64_t size);
  // Until everything was handed to the kernel.
  Wait drain() { return Wait(*this, true); }
  size_t unsent() const { return unsent_; }
  // Called whenever what was unsent has been sent, or the stream has failed; never from within write().
  void on_sent(Waiter waiter) { sent_ = waiter; }

  // No more writes: FIN, and close_notify first on TLS. What is unsent is sent first.
  Task<Result<>> shutdown_write();
  // Ends the connection so that the peer can still read what was sent: closing with bytes unread would reset it.
  // Reads and forgets until the peer closes too, for a short while. Also after errors.
  Task<> linger();
  // Everything waiting fails with this error. The descriptor stays open until the destructor.
  void abort(Error error);
  // Gives the socket away; the stream is of no use any more. Plain streams with nothing unread or unsent only.
  Fd release_socket() { return descriptor_.release(); }
  // The pointer becomes null when the stream is destroyed.
  void observe(Stream** pointer) { observer_ = pointer; }
  // Fails with ETIMEDOUT when the peer takes nothing of what is unsent for this long. Zero: never.
  void set_write_timeout(Duration timeout) { write_timeout_ = timeout; }
  // A read that is to give something by then. clear_read_deadline() once it has.
  void set_read_deadline(Duration delay, std::string_view what);
  void clear_read_deadline() { read_timer_.clear(); }

  // Tells when the peer has gone while nobody reads; the waiter is called once. Unsolicited data ends the watch.
  void watch_hangup(Waiter waiter);
  void forget_hangup();

 private:
  // Suspends until the socket is worth a try in one direction.
  struct Ready;
  bool flush();
  size_t send_some(std::string_view data);
  size_t send_tls(std::string_view data);
  void keep(std::string_view data);
  void await_writable();
  static void writable(void* self);
  static void hangup_readable(void* self);
  static void read_expired(void* self);
  static void write_expired(void* self);
  void fail_with(std::string_view step, int code);
  void fail_tls(std::string_view step);

  Loop& loop_;
  Descriptor descriptor_;
  std::unique_ptr<TlsSession> tls_;
  std::string peer_;
  std::string unread_;
  std::string out_;
  size_t out_at_ = 0;
  Waiter sent_;
  Waiter hangup_;
  bool* gone_ = nullptr;  // set by the destructor while a callback runs
  bool drained_ = false;  // the last read found less than it had room for
  Stream** observer_ = nullptr;
  std::string_view deadline_for_;
  Timer read_timer_;
  Timer write_timer_;
  Duration write_timeout_{60'000};
};

}  // namespace proa::net
