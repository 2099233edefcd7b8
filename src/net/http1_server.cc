// The server's side of HTTP/1.x: one connection, one request after the other.
#include <algorithm>

#include "base/log.h"
#include "net/exchange.h"
#include "net/http1_body.h"

namespace proa::net {

namespace {

constexpr size_t kSmall = 16 << 10;       // copied into one write with what goes before it
constexpr size_t kDiscarded = 256 << 10;  // of a body nobody read, to keep the connection
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\n";

int status_for(const Error& error) {
  if (error.code() == EMSGSIZE) return 431;
  if (error.code() != ENOTSUP) return 400;
  return error.message().starts_with("HTTP version") ? 505 : 501;
}

}  // namespace

class Http1Connection final : public ServerConnection {
 public:
  Http1Connection(Shard& shard, std::unique_ptr<Stream> stream, const Peer& peer)
      : ServerConnection(shard), owned_(std::move(stream)), stream_(owned_.get()), peer_(peer) {
    stream_->observe(&stream_);
  }

  ~Http1Connection() override {
    if (stream_) stream_->observe(nullptr);
  }

  Task<std::unique_ptr<Stream>> run();
  void drain() override;
  void abort() override;

 private:
  class Http1Exchange;

  Task<bool> read_head();
  Result<> begin_request(Http1Exchange& exchange);
  Task<bool> end_request(Http1Exchange& exchange, bool proper);
  Task<> reject(Error error);

  std::unique_ptr<Stream> owned_;
  Stream* stream_;  // null once it was handed over and has ended
  const Peer& peer_;
  Http1Exchange* exchange_ = nullptr;
  std::string partial_;    // of a head
  std::string_view head_;  // whole; in the loop's scratch or partial_, until the coroutine suspends
  bool first_ = true;
  bool idle_ = true;
  bool keep_alive_ = true;
  bool unread_body_ = false;
};

class Http1Connection::Http1Exchange final : public Exchange {
 public:
  explicit Http1Exchange(Http1Connection& connection) : connection_(connection) {}

  Loop& loop() const override { return connection_.shard_.loop; }
  bool stopping() const override { return connection_.shard_.stopping; }
  Outlet& outlet() override {
    if (connection_.stream_) return *connection_.stream_;
    return gone_;
  }
  Task<Result<std::string_view>> read_body() override;
  Outlet::Wait begin(std::string_view body, bool last) override;
  Outlet::Wait send(std::string_view body) override;
  Task<Result<>> send_file(int file, uint64_t offset, uint64_t size) override;
  Task<Result<std::unique_ptr<Stream>>> hand_over(std::string_view protocol) override;
  void watch_close() override;
  void end();

  Http1Body body;
  bool expects_continue = false;
  bool chunked = false;
  bool handed_over = false;
  bool watching = false;

 private:
  struct Gone final : Outlet {
    Gone() { set_error(Error("the connection has been closed", EPIPE)); }
  };
  static void hung_up(void* self) { static_cast<Http1Exchange*>(self)->tell_closed(); }
  std::string head(bool last);
  void append_chunk(std::string& out, std::string_view data) const;

  Http1Connection& connection_;
  Gone gone_;
};

// --- the connection -------------------------------------------------------------------------------------------

Task<std::unique_ptr<Stream>> Http1Connection::run() {
  while (co_await read_head()) {
    if (first_ && options().http2 && !stream_->tls() && head_ == kPreface) {
      stream_->unread(head_);
      co_return std::move(owned_);
    }
    first_ = false;
    auto exchange = std::make_unique<Http1Exchange>(*this);
    if (Result<> begun = begin_request(*exchange); !begun) {
      co_await reject(std::move(begun).error());
      break;
    }
    exchange_ = exchange.get();
    const bool proper = co_await exchange->run_handler(shard_.server.handler);
    const bool more = co_await end_request(*exchange, proper);
    exchange_ = nullptr;
    if (!more) break;
  }
  if (owned_ && !stream_->failed()) {
    if (unread_body_)
      co_await stream_->linger();
    else
      static_cast<void>(co_await stream_->shutdown_write());
  }
  co_return nullptr;
}

// Waits for a request, with no memory of its own until its first bytes are there.
Task<bool> Http1Connection::read_head() {
  partial_.clear();
  idle_ = true;
  stream_->set_read_deadline(first_ ? options().header_timeout : options().idle_timeout, "read a request from");
  for (;;) {
    if (shard_.stopping && idle_ && !stream_->has_unread()) co_return false;
    if (!co_await stream_->readable()) co_return false;
    const std::span<char> buffer = stream_->loop().scratch();
    const Stream::Got got = stream_->try_read(buffer);
    if (got.kind == Stream::Got::kNothing) continue;
    if (got.kind != Stream::Got::kData) co_return false;
    std::string_view text(buffer.data(), got.size);
    const size_t seen = partial_.size();
    if (seen > 0) text = partial_.append(text);
    // An empty line before a request is passed over (RFC 9112, 2.2).
    while (text.starts_with("\r\n")) text.remove_prefix(2);
    const size_t size = Http1Parser::head_size(text, text.size() == seen + got.size ? seen : 0);
    if (size > options().max_header_bytes || (size == 0 && text.size() > options().max_header_bytes)) {
      co_await reject(Error(cat("request head of more than ", options().max_header_bytes, " bytes"), EMSGSIZE));
      co_return false;
    }
    if (size > 0) {
      idle_ = false;
      stream_->clear_read_deadline();
      head_ = text.substr(0, size);
      if (text.size() > size) stream_->unread(text.substr(size));
      co_return true;
    }
    if (idle_ && !text.empty()) stream_->set_read_deadline(options().header_timeout, "read a request head from");
    idle_ = idle_ && text.empty();
    if (seen == 0) partial_.assign(text);
  }
}

Result<> Http1Connection::begin_request(Http1Exchange& exchange) {
  Request& request = exchange.request;
  const Http1Request line = TRY(Http1Parser::request(head_, request.headers_));
  const Framing framing = TRY(request_framing(line, request.headers_));
  request.method_ = line.method;
  request.host_ = request.headers_.get("Host");
  // A whole URL as target, as proxies get it (RFC 9112, 3.2.2): its authority counts.
  std::string_view target = line.target;
  if (!target.starts_with('/') && target != "*" && line.method != "CONNECT") {
    const size_t authority = target.find("://");
    if (authority == std::string_view::npos) return std::unexpected(Error("malformed request target", EBADMSG));
    const size_t path = target.find_first_of("/?", authority + 3);
    request.host_ = target.substr(authority + 3, path - authority - 3);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  request.target_ = target.starts_with('?') ? cat("/", target) : std::string(target);
  request.version_ = line.version;
  request.peer_ = &peer_;
  request.max_body_ = options().max_body_bytes;
  if (framing.kind == Framing::kLength) request.content_length_ = framing.length;
  exchange.body = Http1Body(framing);
  exchange.expects_continue = line.version == 11 && request.headers_.has_token("Expect", "100-continue");
  keep_alive_ = line.version == 11 ? !request.headers_.has_token("Connection", "close")
                                   : request.headers_.has_token("Connection", "keep-alive");
  return {};
}

Task<bool> Http1Connection::end_request(Http1Exchange& exchange, bool proper) {
  if (exchange.handed_over || !stream_) co_return false;
  if (exchange.watching) stream_->forget_hangup();
  if (!proper) stream_->abort(Error("the answer could not be completed"));
  if (stream_->failed()) co_return false;
  exchange.end();
  if (!exchange.body.done()) {
    // What the client still sends would be taken for the next request.
    size_t discarded = 0;
    unread_body_ = true;
    while (keep_alive_ && !exchange.expects_continue && discarded < kDiscarded && unread_body_) {
      const auto piece = co_await exchange.body.read(*stream_, options().body_timeout);
      if (!piece) co_return false;
      discarded += piece->size();
      unread_body_ = !piece->empty();
    }
  }
  if (!keep_alive_ || unread_body_ || shard_.stopping) co_return false;
  co_return (co_await stream_->write({})).has_value();
}

Task<> Http1Connection::reject(Error error) {
  keep_alive_ = false;
  unread_body_ = true;
  const int status = status_for(error);
  const std::string text = cat(error.message(), "\n");
  static_cast<void>(stream_->write(
      cat("HTTP/1.1 ", status, " ", reason_phrase(status), "\r\nDate: ", http_date(),
          "\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ", text.size(),
          "\r\n\r\n", text)));
  co_return;
}

void Http1Connection::drain() {
  if (exchange_) return exchange_->tell_closed();
  if (idle_) abort();
}

void Http1Connection::abort() {
  if (stream_) stream_->abort(Error("the server is stopping"));
  if (exchange_) exchange_->tell_closed();
}

// --- one request ----------------------------------------------------------------------------------------------

Task<Result<std::string_view>> Http1Connection::Http1Exchange::read_body() {
  if (handed_over) co_return fail("the connection was handed over");
  if (expects_continue && !response.begun())
    static_cast<void>(connection_.stream_->write("HTTP/1.1 100 Continue\r\n\r\n"));
  expects_continue = false;
  auto piece = co_await body.read(*connection_.stream_, connection_.options().body_timeout);
  if (piece && piece->empty() && request.trailers().empty()) request.trailers_ = body.trailers();
  if (body.done() && on_close_) watch_close();
  co_return piece;
}

void Http1Connection::Http1Exchange::watch_close() {
  if (connection_.shard_.stopping || connection_.stream_->failed()) return tell_closed();
  if (watching || handed_over || !body.done()) return;
  watching = true;
  connection_.stream_->watch_hangup({hung_up, this});
}

std::string Http1Connection::Http1Exchange::head(bool last) {
  const bool length = response.headers.contains("Content-Length");
  const bool stream_body = !last && !length && !without_body();
  if (response.headers.has_token("Connection", "close") || connection_.shard_.stopping) connection_.keep_alive_ = false;
  if (stream_body && request.version() < 11) connection_.keep_alive_ = false;
  chunked = stream_body && request.version() == 11;
  response.headers.remove("Connection");
  response.headers.remove("Transfer-Encoding");

  std::string out = loop().take_buffer();
  const std::string_view reason = reason_phrase(response.status);
  out.append(cat("HTTP/1.1 ", response.status, " ")).append(reason).append("\r\n");
  if (!response.headers.contains("Date")) out.append("Date: ").append(http_date()).append("\r\n");
  append_fields(out, response.headers);
  if (chunked) out.append("Transfer-Encoding: chunked\r\n");
  if (!connection_.keep_alive_) {
    out.append("Connection: close\r\n");
  } else if (request.version() < 11) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
  response.headers = Headers();
  return out;
}

void Http1Connection::Http1Exchange::append_chunk(std::string& out, std::string_view data) const {
  if (!chunked) {
    out.append(data);
  } else if (!data.empty()) {
    append_chunk_size(out, data.size());
    out.append(data).append("\r\n");
  }
}

Outlet::Wait Http1Connection::Http1Exchange::begin(std::string_view first, bool last) {
  Stream& stream = *connection_.stream_;
  std::string out = head(last);
  if (!chunked || first.size() <= kSmall) {
    if (first.size() <= kSmall) append_chunk(out, std::exchange(first, {}));
    auto sent = stream.write(out, first);
    loop().give_buffer(std::move(out));
    return sent;
  }
  static_cast<void>(stream.write(out));
  loop().give_buffer(std::move(out));
  return send(first);
}

Outlet::Wait Http1Connection::Http1Exchange::send(std::string_view data) {
  Stream& stream = *connection_.stream_;
  if (!chunked) return stream.write(data);
  std::string out = loop().take_buffer();
  if (data.size() <= kSmall) {
    append_chunk(out, data);
    static_cast<void>(stream.write(out));
  } else {
    append_chunk_size(out, data.size());
    static_cast<void>(stream.write(out, data));
    static_cast<void>(stream.write("\r\n"));
  }
  loop().give_buffer(std::move(out));
  return stream.write({});
}

Task<Result<>> Http1Connection::Http1Exchange::send_file(int file, uint64_t offset, uint64_t size) {
  return connection_.stream_->send_file(file, offset, size);
}

void Http1Connection::Http1Exchange::end() {
  if (!chunked) return;
  std::string out = "0\r\n";
  append_fields(out, response.trailers);
  static_cast<void>(connection_.stream_->write(out.append("\r\n")));
}

Task<Result<std::unique_ptr<Stream>>> Http1Connection::Http1Exchange::hand_over(std::string_view protocol) {
  if (request.version() != 11 && !protocol.empty()) co_return fail_errno(EBADMSG, "upgrade in HTTP/1.0");
  if (watching) connection_.stream_->forget_hangup();
  watching = false;
  std::string out = cat("HTTP/1.1 ", response.status, " ", reason_phrase(response.status), "\r\n");
  if (!protocol.empty()) out.append(cat("Connection: Upgrade\r\nUpgrade: ", protocol, "\r\n"));
  append_fields(out, response.headers);
  static_cast<void>(connection_.stream_->write(out.append("\r\n")));
  handed_over = true;
  co_return std::move(connection_.owned_);
}

Task<std::unique_ptr<Stream>> serve_http1(Shard& shard, std::unique_ptr<Stream> stream, const Peer& peer) {
  Http1Connection connection(shard, std::move(stream), peer);
  co_return co_await connection.run();
}

}  // namespace proa::net
