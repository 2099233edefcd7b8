#include "net/http2.h"

#include <nghttp2/nghttp2.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace proa::net {

namespace {

constexpr size_t kPumpBatch = 64 << 10;    // framed at a time
constexpr size_t kMostUnsent = 128 << 10;  // on the socket, before streams keep theirs
constexpr Duration kGoAwayPause{100};      // a round trip, for requests under way

nghttp2_nv field(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

// Of one connection only, and none of HTTP/2's (RFC 9113, 8.2.2).
bool connection_specific(std::string_view name) {
  for (const std::string_view other : {"connection", "transfer-encoding", "keep-alive", "proxy-connection", "upgrade"})
    if (equals_ignoring_case(name, other)) return true;
  return false;
}

// The fields with names in lower case, as nghttp2 takes them; `names` holds the changed ones.
std::vector<nghttp2_nv> block(const std::vector<Headers::Field>& pseudo, const Headers& headers, std::string& names) {
  size_t size = 0;
  for (const auto [name, value] : headers) size += name.size();
  names.reserve(size);
  std::vector<nghttp2_nv> fields;
  fields.reserve(pseudo.size() + headers.size());
  for (const auto& [name, value] : pseudo) fields.push_back(field(name, value));
  for (const auto [name, value] : headers) {
    if (connection_specific(name)) continue;
    const size_t at = names.size();
    for (const char c : name) names += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    fields.push_back(field(std::string_view(names).substr(at), value));
  }
  return fields;
}

Error closed_error(uint32_t code, const std::string& peer) {
  if (code == NGHTTP2_NO_ERROR) return Error(cat("HTTP/2 stream with ", peer, ": ended early"), ECONNRESET);
  // EAGAIN: refused before anything was done for it (RFC 9113, 8.7).
  if (code == NGHTTP2_REFUSED_STREAM) return Error(cat("HTTP/2 stream with ", peer, ": refused"), EAGAIN);
  return Error(cat("HTTP/2 stream with ", peer, ": reset: ", nghttp2_http2_strerror(code)), ECONNRESET);
}

}  // namespace

// --- nghttp2's callbacks ----------------------------------------------------------------------------------------

struct Http2Connection::Callbacks {
  static Http2Connection& self(void* user) { return *static_cast<Http2Connection*>(user); }
  static Http2Stream* find(Http2Connection& connection, int32_t id) {
    return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(connection.session_, id));
  }

  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Connection& connection = self(user);
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    auto stream = connection.on_new_stream();
    if (!stream) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream.get());
    connection.adopt(std::move(stream), frame->hd.stream_id);
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                    const uint8_t* value, size_t value_size, uint8_t, void* user) {
    Http2Connection& connection = self(user);
    Http2Stream* const stream = find(connection, frame->hd.stream_id);
    if (!stream) return 0;
    const std::string_view key(reinterpret_cast<const char*>(name), name_size);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    stream->fields_size_ += name_size + value_size + 32;  // as RFC 9113, 6.5.2 counts
    if (!connection.settings_.server && stream->fields_size_ > connection.settings_.max_header_bytes)
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (key.starts_with(':')) return stream->on_pseudo(key, text) ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (stream->fields_size_ <= connection.settings_.max_header_bytes && stream->fields_)
      stream->fields_->add(key, text);
    return 0;
  }

  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Http2Connection& connection = self(user);
    const bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type == NGHTTP2_GOAWAY) connection.remote_going_away_ = true;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    Http2Stream* const stream = find(connection, frame->hd.stream_id);
    if (!stream) return 0;
    if (ended) stream->in_ended_ = true;
    if (frame->hd.type == NGHTTP2_HEADERS) {
      stream->on_block(ended);
      if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) connection.begun_.push_back(stream->shared_from_this());
    }
    connection.wake(*stream);
    return 0;
  }

  static int data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size, void* user) {
    Http2Connection& connection = self(user);
    Http2Stream* const stream = find(connection, id);
    if (!stream) {
      nghttp2_session_consume_connection(connection.session_, size);
      return 0;
    }
    if (stream->in_.empty()) stream->in_ = connection.stream_->loop().take_buffer();
    stream->in_.append(reinterpret_cast<const char*>(bytes), size);
    connection.wake(*stream);
    return 0;
  }

  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    // The answer is complete and the request is not: no more of it is wanted (RFC 9113, 8.1).
    const Http2Connection& connection = self(user);
    const bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (connection.settings_.server && ended && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
  }

  static int stream_closed(nghttp2_session*, int32_t id, uint32_t code, void* user) {
    Http2Connection& connection = self(user);
    const auto found = connection.streams_.find(id);
    if (found == connection.streams_.end()) return 0;
    const std::shared_ptr<Http2Stream> stream = found->second;
    stream->close(code);
    connection.wake(*stream);
    connection.streams_.erase(found);
    connection.on_stream_count();
    return 0;
  }

  static ssize_t fill(nghttp2_session* session, int32_t id, uint8_t* buffer, size_t size, uint32_t* flags,
                      nghttp2_data_source* source, void* user) {
    auto& stream = *static_cast<Http2Stream*>(source->ptr);
    bool ended = false;
    const ssize_t moved = stream.fill(reinterpret_cast<char*>(buffer), size, ended);
    if (moved < 0) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (stream.unsent_ == 0) self(user).wake(stream);
    if (ended) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (stream.out_trailers_) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        std::string names;
        const auto fields = block({}, *stream.out_trailers_, names);
        nghttp2_submit_trailer(session, id, fields.data(), fields.size());
      }
      return moved;
    }
    if (moved == 0) {
      stream.deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    return moved;
  }

  static nghttp2_session_callbacks* all() {
    static nghttp2_session_callbacks* const callbacks = [] {
      nghttp2_session_callbacks* made = nullptr;
      nghttp2_session_callbacks_new(&made);
      nghttp2_session_callbacks_set_on_begin_headers_callback(made, begin_headers);
      nghttp2_session_callbacks_set_on_header_callback(made, header);
      nghttp2_session_callbacks_set_on_frame_recv_callback(made, frame_received);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, data);
      nghttp2_session_callbacks_set_on_frame_send_callback(made, frame_sent);
      nghttp2_session_callbacks_set_on_stream_close_callback(made, stream_closed);
      return made;
    }();
    return callbacks;
  }
};

// --- the connection -------------------------------------------------------------------------------------------

Http2Connection::Http2Connection(std::unique_ptr<Stream> stream, const Settings& settings)
    : stream_(std::move(stream)), settings_(settings) {
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  if (settings.server) {
    nghttp2_session_server_new2(&session_, Callbacks::all(), this, option);
  } else {
    nghttp2_session_client_new2(&session_, Callbacks::all(), this, option);
  }
  nghttp2_option_del(option);
  std::vector<nghttp2_settings_entry> entries = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.stream_window},
                                                 {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings.max_header_bytes}};
  if (settings.server)
    entries.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.max_streams});
  else
    entries.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, entries.data(), entries.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(settings.connection_window));
  stream_->on_sent({[](void* self) { static_cast<Http2Connection*>(self)->pump(); }, this});
}

Http2Connection::~Http2Connection() {
  *alive_ = false;
  nghttp2_session_del(session_);
}

int32_t Http2Connection::adopt(std::shared_ptr<Http2Stream> stream, int32_t id) {
  stream->id_ = id;
  streams_[id] = std::move(stream);
  on_stream_count();
  return id;
}

Task<> Http2Connection::run() {
  pump();
  while (!stream_->failed()) {
    if (!co_await stream_->readable()) break;
    const std::span<char> buffer = stream_->loop().scratch();
    const Stream::Got got = stream_->try_read(buffer);
    if (got.kind == Stream::Got::kNothing) continue;
    if (got.kind != Stream::Got::kData) break;
    feed({buffer.data(), got.size});
    if (!nghttp2_session_want_read(session_) && !nghttp2_session_want_write(session_)) break;
  }
  if (!stream_->failed())
    stream_->abort(Error(cat("HTTP/2 connection with ", stream_->peer(), " has ended"), ECONNRESET));
  const Error reason = stream_->status().error();
  while (!streams_.empty()) {
    const std::shared_ptr<Http2Stream> stream = streams_.begin()->second;
    streams_.erase(streams_.begin());
    if (!stream->in_ended_ || !stream->out_ended_) stream->set_error(reason);
    stream->close(NGHTTP2_NO_ERROR);
    wake(*stream);
  }
  begun_.clear();
  on_stream_count();
  deliver();
}

void Http2Connection::feed(std::string_view bytes) {
  busy_ = true;
  const ssize_t taken =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) {
    // Told why by GOAWAY where that is due; then the end.
    nghttp2_session_terminate_session(
        session_, taken == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
  }
  deliver();
  busy_ = false;
  pump();
  if (taken < 0)
    stream_->abort(Error(
        cat("HTTP/2 connection with ", stream_->peer(), ": ", nghttp2_strerror(static_cast<int>(taken))), EPROTO));
}

void Http2Connection::wake(Http2Stream& stream) {
  if (!std::exchange(stream.waking_, true)) awake_.push_back(stream.shared_from_this());
}

// Tells streams and handlers what has come. They may cause more.
void Http2Connection::deliver() {
  while (!awake_.empty() || !begun_.empty()) {
    for (const auto& stream : std::exchange(awake_, {})) {
      stream->waking_ = false;
      if (stream->closed_) stream->on_closed();
      stream->on_awake();
      if (stream->reader_ && (!stream->in_.empty() || stream->in_ended_ || stream->closed_))
        std::exchange(stream->reader_, nullptr).resume();
      if (stream->unsent_ == 0 || stream->failed()) stream->wake_writers();
    }
    for (const auto& stream : std::exchange(begun_, {})) stream->handle();
  }
}

void Http2Connection::pump_soon() {
  if (busy_ || pump_posted_) return;
  pump_posted_ = true;
  stream_->loop().post([this, alive = alive_] {
    if (!*alive) return;
    pump_posted_ = false;
    pump();
  });
}

void Http2Connection::pump() {
  if (busy_ || stream_->failed()) return;
  busy_ = true;
  for (bool more = true; more && !stream_->failed();) {
    more = false;
    std::string batch = stream_->loop().take_buffer();
    while (batch.size() < kPumpBatch && stream_->unsent() < kMostUnsent) {
      const uint8_t* bytes = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
      if (size <= 0) break;
      batch.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
      more = true;
    }
    if (!batch.empty()) static_cast<void>(stream_->write(batch));
    stream_->loop().give_buffer(std::move(batch));
    if (!awake_.empty() || !begun_.empty()) {
      deliver();
      more = true;
    }
    more = more && stream_->unsent() < kMostUnsent;
  }
  busy_ = false;
  finish_if_done();
}

void Http2Connection::consumed(int32_t id, size_t size) {
  nghttp2_session_consume(session_, id, size);
  pump_soon();
}

void Http2Connection::go_away() {
  if (going_away_) return;
  going_away_ = true;
  nghttp2_submit_shutdown_notice(session_);
  pump_soon();
  go_away_timer_ = std::make_unique<Timer>(
      stream_->loop(),
      [](void* context) {
        auto& self = *static_cast<Http2Connection*>(context);
        nghttp2_submit_goaway(self.session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(self.session_),
                              NGHTTP2_NO_ERROR, nullptr, 0);
        self.pump();
      },
      this);
  go_away_timer_->set_after(kGoAwayPause);
}

void Http2Connection::finish_if_done() {
  if (!stream_->failed() && stream_->unsent() == 0 && !nghttp2_session_want_read(session_) &&
      !nghttp2_session_want_write(session_))
    stream_->abort(Error(cat("HTTP/2 connection with ", stream_->peer(), " has ended"), ECONNRESET));
}

// --- a stream -------------------------------------------------------------------------------------------------

Http2Stream::Http2Stream(Http2Connection& connection)
    : connection_(connection),
      stall_(connection.stream().loop(), stalled, this),
      read_timer_(
          connection.stream().loop(),
          [](void* self) {
            auto& stream = *static_cast<Http2Stream*>(self);
            stream.set_error(
                Error::from_errno(ETIMEDOUT, cat("read a body from ", stream.connection_.stream().peer())));
            if (stream.reader_) std::exchange(stream.reader_, nullptr).resume();
          },
          this) {}

Http2Stream::~Http2Stream() = default;

struct Http2Stream::Reading {
  Http2Stream& stream;
  bool await_ready() const { return !stream.in_.empty() || stream.in_ended_ || stream.failed(); }
  void await_suspend(std::coroutine_handle<> handle) const { stream.reader_ = handle; }
  void await_resume() const {}
};

Task<Result<std::string_view>> Http2Stream::read_body(Duration timeout) {
  Loop& loop = connection_.stream().loop();
  if (!held_.empty()) {
    // What the reader has seen makes room in the window.
    if (!closed_) connection_.consumed(id_, held_.size());
    loop.give_buffer(std::exchange(held_, {}));
  }
  if (timeout.count() > 0) read_timer_.set_after(timeout);
  co_await Reading{*this};
  read_timer_.clear();
  if (in_.empty() && failed() && !in_ended_) co_return std::unexpected(*error_);
  held_ = std::exchange(in_, {});
  co_return std::string_view(held_);
}

void Http2Stream::submit_head(const std::vector<Headers::Field>& pseudo, const Headers& headers, std::string_view body,
                              bool last) {
  std::string names;
  const auto fields = block(pseudo, headers, names);
  if (!body.empty()) {
    out_ = connection_.stream().loop().take_buffer();
    out_.append(body);
    unsent_ += body.size();
  }
  out_ended_ = last;
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = Http2Connection::Callbacks::fill;
  const nghttp2_data_provider* data = last && body.empty() ? nullptr : &provider;
  if (connection_.settings_.server) {
    if (!closed_ && nghttp2_submit_response(connection_.session_, id_, fields.data(), fields.size(), data) != 0)
      reset(NGHTTP2_INTERNAL_ERROR);
  } else {
    const int32_t id = nghttp2_submit_request(connection_.session_, nullptr, fields.data(), fields.size(), data, this);
    if (id < 0)
      set_error(Error(cat("HTTP/2 request: ", nghttp2_strerror(id)), ECONNRESET));
    else
      id_ = id;
  }
  touch();
  connection_.pump_soon();
}

void Http2Stream::touch() {
  const Duration timeout = connection_.settings_.write_timeout;
  if (unsent_ == 0 && file_left_ == 0)
    stall_.clear();
  else if (timeout.count() > 0)
    stall_.set_after(timeout);
}

Outlet::Wait Http2Stream::send(std::string_view data) {
  if (failed() || out_ended_ || data.empty()) return Wait(*this);
  if (out_.empty()) out_ = connection_.stream().loop().take_buffer();
  out_.append(data);
  unsent_ += data.size();
  touch();
  if (std::exchange(deferred_, false)) nghttp2_session_resume_data(connection_.session_, id_);
  connection_.pump_soon();
  return Wait(*this);
}

Task<Result<>> Http2Stream::send_file(int file, uint64_t offset, uint64_t size) {
  CO_TRY(co_await Wait(*this, true));
  file_ = file;
  file_at_ = offset;
  file_left_ = size;
  unsent_ += size;
  touch();
  if (std::exchange(deferred_, false)) nghttp2_session_resume_data(connection_.session_, id_);
  connection_.pump_soon();
  const Result<> sent = co_await Wait(*this, true);
  file_left_ = 0;
  co_return sent;
}

ssize_t Http2Stream::fill(char* to, size_t size, bool& ended) {
  size_t moved = 0;
  if (out_at_ < out_.size()) {
    moved = std::min(size, out_.size() - out_at_);
    std::memcpy(to, out_.data() + out_at_, moved);
    out_at_ += moved;
    if (out_at_ == out_.size()) {
      out_at_ = 0;
      connection_.stream().loop().give_buffer(std::exchange(out_, {}));
    }
  } else if (file_left_ > 0) {
    const ssize_t got = ::pread(file_, to, std::min<uint64_t>(size, file_left_), static_cast<off_t>(file_at_));
    if (got <= 0) {
      set_error(Error(
          got == 0 ? "send a file: it is shorter than was announced" : cat("send a file: ", errno_text(errno)), EIO));
      return -1;
    }
    moved = static_cast<size_t>(got);
    file_at_ += moved;
    file_left_ -= moved;
  }
  unsent_ -= moved;
  if (moved > 0) touch();
  ended = out_ended_ && unsent_ == 0;
  return static_cast<ssize_t>(moved);
}

void Http2Stream::end(const Headers* trailers) {
  if (failed() || out_ended_) return;
  out_ended_ = true;
  if (trailers && !trailers->empty()) out_trailers_ = std::make_unique<Headers>(*trailers);
  if (std::exchange(deferred_, false)) nghttp2_session_resume_data(connection_.session_, id_);
  connection_.pump_soon();
}

void Http2Stream::reset(uint32_t code) {
  if (closed_ || id_ == 0) return;
  set_error(closed_error(code, connection_.stream().peer()));
  nghttp2_submit_rst_stream(connection_.session_, NGHTTP2_FLAG_NONE, id_, code);
  connection_.pump_soon();
}

void Http2Stream::close(uint32_t code) {
  closed_ = true;
  stall_.clear();
  // The connection's window is shared: what nobody will read must not take room in it.
  if (const size_t left = in_.size() + held_.size(); left > 0)
    nghttp2_session_consume_connection(connection_.session_, left);
  if (!in_ended_ || !out_ended_ || code != NGHTTP2_NO_ERROR || unsent_ > 0)
    set_error(closed_error(code, connection_.stream().peer()));
}

void Http2Stream::stalled(void* self) {
  auto& stream = *static_cast<Http2Stream*>(self);
  stream.set_error(Error::from_errno(ETIMEDOUT, cat("write to ", stream.connection_.stream().peer())));
  if (!stream.closed_)
    nghttp2_submit_rst_stream(stream.connection_.session_, NGHTTP2_FLAG_NONE, stream.id_, NGHTTP2_CANCEL);
  stream.connection_.pump_soon();
  stream.connection_.wake(stream);
}

}  // namespace proa::net
