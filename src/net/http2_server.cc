// The server's side of HTTP/2: requests as streams of one connection, each with its handler.
#include "base/log.h"
#include "net/exchange.h"
#include "net/http1.h"
#include "net/http2.h"

namespace proa::net {

namespace {

Http2Connection::Settings settings_for(const Server::Options& options) {
  return {.server = true,
          .max_streams = options.max_streams,
          .max_header_bytes = static_cast<uint32_t>(std::min<size_t>(options.max_header_bytes, UINT32_MAX)),
          .write_timeout = options.write_timeout};
}

}  // namespace

class Http2Server final : public Http2Connection, public ServerConnection {
 public:
  Http2Server(Shard& shard, std::unique_ptr<Stream> stream, const Peer& peer)
      : Http2Connection(std::move(stream), settings_for(shard.server.options)), ServerConnection(shard), peer_(peer) {}

  // Until the connection has ended and every handler has.
  Task<> serve();
  void drain() override;
  void abort() override { stream().abort(Error("the server is stopping")); }

 private:
  class Request2;
  struct HandlersEnded {
    Http2Server& server;
    bool await_ready() const { return server.handlers_ == 0; }
    void await_suspend(std::coroutine_handle<> handle) const { server.ended_ = handle; }
    void await_resume() const {}
  };

  std::shared_ptr<Http2Stream> on_new_stream() override;
  void on_stream_count() override;
  Task<> run_request(std::shared_ptr<Request2> request);

  const Peer& peer_;
  size_t handlers_ = 0;
  std::coroutine_handle<> ended_;
  std::vector<Request2*> running_;
};

class Http2Server::Request2 final : public Exchange, public Http2Stream {
 public:
  explicit Request2(Http2Server& server) : Http2Stream(server), server_(server) {
    fields_ = &request.headers_;
    request.version_ = 20;
    request.peer_ = &server.peer_;
    request.max_body_ = server.options().max_body_bytes;
  }

  // --- Exchange
  Loop& loop() const override { return server_.shard_.loop; }
  bool stopping() const override { return server_.shard_.stopping; }
  Outlet& outlet() override { return *this; }
  Task<Result<std::string_view>> read_body() override { return Http2Stream::read_body(server_.options().body_timeout); }
  Outlet::Wait begin(std::string_view body, bool last) override;
  Outlet::Wait send(std::string_view body) override { return Http2Stream::send(body); }
  Task<Result<>> send_file(int file, uint64_t offset, uint64_t size) override {
    return Http2Stream::send_file(file, offset, size);
  }
  Task<Result<std::unique_ptr<Stream>>> hand_over(std::string_view) override {
    response.status = 501;
    co_return fail("HTTP/2 has no upgrades");
  }
  void watch_close() override {
    if (closed() || stopping()) tell_closed();
  }
  // What is wrong with the head; its status, or 0.
  int verdict();

 protected:
  bool on_pseudo(std::string_view name, std::string_view value) override;
  void on_block(bool ended) override;
  void handle() override;
  void on_closed() override { tell_closed(); }

 private:
  friend class Http2Server;
  Http2Server& server_;
  bool has_head_ = false;
};

// --- requests -------------------------------------------------------------------------------------------------

bool Http2Server::Request2::on_pseudo(std::string_view name, std::string_view value) {
  if (name == ":method")
    request.method_ = value;
  else if (name == ":path")
    request.target_ = value;
  else if (name == ":authority")
    request.host_ = value;
  return true;
}

void Http2Server::Request2::on_block(bool ended) {
  if (has_head_) return;
  has_head_ = true;
  if (request.host_.empty()) request.host_ = request.headers_.get("host");
  if (const auto length = request.headers_.find("content-length")) {
    if (const auto number = parse_content_length(*length)) request.content_length_ = *number;
  }
  if (ended && !request.content_length_) request.content_length_ = 0;
  fields_ = &request.trailers_;
}

int Http2Server::Request2::verdict() {
  if (fields_size_ > server_.options().max_header_bytes) return 431;
  if (request.method_ == "CONNECT") return 501;
  if (!is_token(request.method_) || request.target_.empty() || (request.target_[0] != '/' && request.target_ != "*"))
    return 400;
  return 0;
}

void Http2Server::Request2::handle() {
  loop().start(server_.run_request(std::static_pointer_cast<Request2>(shared_from_this())));
}

Outlet::Wait Http2Server::Request2::begin(std::string_view body, bool last) {
  char digits[4];
  const int status = response.status >= 100 && response.status <= 999 ? response.status : 500;
  for (int i = 2, rest = status; i >= 0; --i, rest /= 10) digits[i] = static_cast<char>('0' + rest % 10);
  if (!response.headers.contains("Date")) response.headers.add("date", http_date());
  submit_head({{":status", {digits, 3}}}, response.headers, body, last);
  response.headers = Headers();
  return Wait(*this);
}

// --- the connection -------------------------------------------------------------------------------------------

std::shared_ptr<Http2Stream> Http2Server::on_new_stream() {
  // Streams that were reset may have handlers still: they count too.
  if (handlers_ >= 2 * static_cast<size_t>(options().max_streams)) return nullptr;
  return std::make_shared<Request2>(*this);
}

void Http2Server::on_stream_count() {
  if (stream_count() == 0)
    stream().set_read_deadline(options().idle_timeout, "read a request from");
  else
    stream().clear_read_deadline();
}

Task<> Http2Server::run_request(std::shared_ptr<Request2> request) {
  ++handlers_;
  running_.push_back(request.get());
  if (const int status = request->verdict()) {
    static_cast<void>(request->response.send(status, "text/plain; charset=utf-8", cat(reason_phrase(status), "\n")));
  } else {
    const bool proper = co_await request->run_handler(shard_.server.handler);
    if (proper)
      request->end(&request->response.trailers);
    else
      request->reset(kInternalError);
  }
  std::erase(running_, request.get());
  request.reset();
  --handlers_;
  if (handlers_ == 0 && ended_) {
    // Not from here: what follows destroys this.
    stream().loop().post(std::exchange(ended_, nullptr));
  }
}

Task<> Http2Server::serve() {
  stream().set_read_deadline(options().header_timeout, "read a request from");
  if (shard_.stopping) co_return;
  co_await run();
  co_await HandlersEnded{*this};
}

void Http2Server::drain() {
  go_away();
  for (Request2* request : std::vector(running_)) request->tell_closed();
}

Task<> serve_http2(Shard& shard, std::unique_ptr<Stream> stream, const Peer& peer) {
  Http2Server server(shard, std::move(stream), peer);
  co_await server.serve();
}

}  // namespace proa::net
