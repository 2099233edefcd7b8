// HTTP/2 (RFC 9113) by nghttp2: a connection with its streams, either side. One loop's thread only.
//
// Handlers and readers are never resumed from within nghttp2: what its callbacks find out is noted, and delivered
// once it has returned.
#pragma once

#include <coroutine>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/headers.h"
#include "net/stream.h"

struct nghttp2_session;
struct nghttp2_session_callbacks;

namespace proa::net {

class Http2Connection;

// One stream's two bodies. What sends is this as an Outlet; what receives is read_body().
class Http2Stream : public Outlet, public std::enable_shared_from_this<Http2Stream> {
 public:
  explicit Http2Stream(Http2Connection& connection);
  Http2Stream(const Http2Stream&) = delete;
  virtual ~Http2Stream();

  // --- receiving
  Task<Result<std::string_view>> read_body(Duration timeout);
  // All was received, and the peer has ended its side.
  bool body_done() const { return in_ended_ && in_.empty() && held_.empty(); }

  // --- sending; the head comes first
  void submit_head(const std::vector<Headers::Field>& pseudo, const Headers& headers, std::string_view body, bool last);
  Wait send(std::string_view data);
  Task<Result<>> send_file(int file, uint64_t offset, uint64_t size);
  void end(const Headers* trailers = nullptr);
  // RST_STREAM. What is unsent is dropped.
  void reset(uint32_t code);

  int32_t id() const { return id_; }
  bool closed() const { return closed_; }

 protected:
  friend class Http2Connection;
  // A field of the head or the trailers that begins with ':'; false refuses the message.
  virtual bool on_pseudo(std::string_view name, std::string_view value) = 0;
  // A block of fields, head or trailers, is complete; `ended`: nothing follows it. Called within nghttp2.
  virtual void on_block(bool ended) = 0;
  // A new stream of the peer's is to be answered. Not within nghttp2, nor is the next.
  virtual void handle() {}
  // Something has come, or the stream has closed.
  virtual void on_awake() {}
  // Nothing will come or go any more.
  virtual void on_closed() {}

  Http2Connection& connection_;
  Headers* fields_ = nullptr;  // where the fields of the block being received go
  size_t fields_size_ = 0;

 private:
  struct Reading;
  // Moves up to `size` bytes of what is to be sent; -1 when reading the file failed.
  ssize_t fill(char* to, size_t size, bool& ended);
  void close(uint32_t code);
  static void stalled(void* self);
  void touch();

  int32_t id_ = 0;
  bool closed_ = false;
  bool in_ended_ = false;
  bool out_ended_ = false;
  bool deferred_ = false;
  bool waking_ = false;
  std::string in_;
  std::string held_;  // lent to the reader until its next call
  std::coroutine_handle<> reader_;
  std::string out_;
  size_t out_at_ = 0;
  int file_ = -1;
  uint64_t file_at_ = 0;
  uint64_t file_left_ = 0;
  std::unique_ptr<Headers> out_trailers_;
  Timer stall_;  // of what is to be sent
  Timer read_timer_;
};

class Http2Connection {
 public:
  static constexpr uint32_t kNoError = 0, kInternalError = 2, kFlowError = 3, kRefused = 7, kCancel = 8, kCalm = 11;

  struct Settings {
    bool server = false;
    uint32_t max_streams = 256;
    uint32_t stream_window = 1 << 20;
    uint32_t connection_window = 4 << 20;
    uint32_t max_header_bytes = 64 << 10;
    Duration write_timeout{60'000};
  };

  Http2Connection(std::unique_ptr<Stream> stream, const Settings& settings);
  Http2Connection(const Http2Connection&) = delete;
  virtual ~Http2Connection();

  Stream& stream() const { return *stream_; }
  const Settings& settings() const { return settings_; }
  // Reads and delivers until the connection ends; then every stream has been closed.
  Task<> run();
  // Sends what there is to send, soon: several calls in one turn of the loop are one write.
  void pump_soon();
  // GOAWAY, twice (RFC 9113, 6.8): new streams end, running ones go on.
  void go_away();
  bool going_away() const { return going_away_ || remote_going_away_ || stream_->failed(); }
  size_t stream_count() const { return streams_.size(); }

 protected:
  friend class Http2Stream;
  // A peer's new stream; null refuses it.
  virtual std::shared_ptr<Http2Stream> on_new_stream() { return nullptr; }
  // The number of open streams has changed.
  virtual void on_stream_count() {}
  // Nothing is open and we go away: end the connection.
  void finish_if_done();
  int32_t adopt(std::shared_ptr<Http2Stream> stream, int32_t id);

  nghttp2_session* session_ = nullptr;

 private:
  struct Callbacks;
  void feed(std::string_view bytes);
  void deliver();
  void pump();
  void consumed(int32_t id, size_t size);
  void wake(Http2Stream& stream);

  std::unique_ptr<Stream> stream_;
  const Settings settings_;
  std::unordered_map<int32_t, std::shared_ptr<Http2Stream>> streams_;
  std::vector<std::shared_ptr<Http2Stream>> awake_;  // to be told, outside of nghttp2
  std::vector<std::shared_ptr<Http2Stream>> begun_;  // heads to be handled
  std::unique_ptr<Timer> go_away_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool busy_ = false;  // pump is running or will run before the loop's next turn
  bool pump_posted_ = false;
  bool going_away_ = false;
  bool remote_going_away_ = false;
};

}  // namespace proa::net
