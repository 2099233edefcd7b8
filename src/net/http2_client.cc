// The client's side of HTTP/2: requests as streams of one shared connection.
#include <algorithm>

#include "base/text.h"
#include "net/client_state.h"
#include "net/http2.h"

namespace proa::net {

namespace {

Http2Connection::Settings client_settings() {
  return {.server = false, .stream_window = 4 << 20, .connection_window = 16 << 20, .max_header_bytes = 256 << 10};
}

// The request's stream. The connection holds it until it closes.
class ClientStream final : public Http2Stream {
 public:
  explicit ClientStream(Http2Connection& connection)
      : Http2Stream(connection), timer_(connection.stream().loop(), expired, this) {
    fields_ = &head.headers;
  }

  // Until the head is there, or there will be none.
  struct Head {
    ClientStream& stream;
    bool await_ready() const { return stream.answered_ || stream.failed() || stream.closed(); }
    void await_suspend(std::coroutine_handle<> handle) const { stream.waiting_ = handle; }
    void await_resume() const {}
  };
  Head wait_head(Duration timeout) {
    if (timeout.count() > 0) timer_.set_after(timeout);
    return {*this};
  }
  bool answered() const { return answered_; }

  ResponseHead head;
  Headers trailers;

 protected:
  bool on_pseudo(std::string_view name, std::string_view value) override {
    if (name == ":status") head.status = parse_number<int>(value).value_or(0);
    return true;
  }
  void on_block(bool) override {
    if (answered_) return;
    if (head.status < 200) {  // interim
      head.headers.clear();
      return;
    }
    answered_ = true;
    head.version = 20;
    fields_ = &trailers;
  }
  void on_awake() override {
    if (!waiting_ || !(answered_ || closed() || failed())) return;
    timer_.clear();
    std::exchange(waiting_, nullptr).resume();
  }

 private:
  static void expired(void* self) {
    auto& stream = *static_cast<ClientStream*>(self);
    stream.set_error(Error::from_errno(ETIMEDOUT, cat("wait for an answer from ", stream.connection_.stream().peer())));
    if (stream.waiting_) std::exchange(stream.waiting_, nullptr).resume();
  }
  bool answered_ = false;
  std::coroutine_handle<> waiting_;
  Timer timer_;
};

}  // namespace

class Http2Client final : public Http2Connection {
 public:
  Http2Client(std::shared_ptr<Client::State> state, std::unique_ptr<Stream> stream, std::string key)
      : Http2Connection(std::move(stream), client_settings()), state_(std::move(state)), key_(std::move(key)) {}

  static Task<> live(std::shared_ptr<Http2Client> self) {
    co_await self->run();
    self->state_->http2_ended(self->key_, self.get());
  }
  std::shared_ptr<ClientStream> open(const ClientRequest& request);
  const Client::Options& options() const { return state_->options; }
  Duration idle() const { return std::chrono::duration_cast<Duration>(Clock::now() - idle_since_); }
  void end() { stream().abort(Error("the client has closed the connection", ECANCELED)); }

 private:
  void on_stream_count() override {
    idle_since_ = Clock::now();
    if (state_->closed && stream_count() == 0) end();
  }
  std::shared_ptr<Client::State> state_;
  std::string key_;
  Clock::time_point idle_since_ = Clock::now();
};

namespace {

class Http2ClientExchange final : public ClientExchange {
 public:
  Http2ClientExchange(std::shared_ptr<Http2Client> client, std::shared_ptr<ClientStream> stream)
      : ClientExchange(client->stream().loop()), client_(std::move(client)), stream_(std::move(stream)) {}
  ~Http2ClientExchange() override {
    if (!stream_->closed()) stream_->reset(Http2Connection::kCancel);
  }
  Task<Result<std::string_view>> read_body() override { return stream_->read_body(client_->options().body_timeout); }
  const Headers& trailers() const override { return stream_->trailers; }
  Task<Result<>> write_body(std::string_view piece) override { co_return co_await stream_->send(piece); }
  void cancel() override {
    if (!stream_->closed()) stream_->reset(Http2Connection::kCancel);
  }
  Result<std::unique_ptr<Stream>> take_stream() override { return fail("an HTTP/2 connection cannot be taken over"); }

 private:
  std::shared_ptr<Http2Client> client_;
  std::shared_ptr<ClientStream> stream_;
};

// Sends the body until it is complete or the server has answered before.
Task<Result<>> upload(ClientStream& stream, ClientRequest& request) {
  uint64_t left = request.content_length.value_or(UINT64_MAX);
  while (!stream.answered() && !stream.closed()) {
    const auto piece = co_await request.source();
    if (!piece) {
      stream.reset(Http2Connection::kCancel);
      co_return std::unexpected(Error(piece.error()).with_context("request body"));
    }
    if (piece->size() > left || (piece->empty() && left > 0 && request.content_length)) {
      stream.reset(Http2Connection::kCancel);
      co_return std::unexpected(Error("the request's body has another length than was announced", ECANCELED));
    }
    if (piece->empty()) {
      stream.end();
      break;
    }
    left -= piece->size();
    static_cast<void>(co_await stream.send(*piece));
  }
  co_return Result<>();
}

}  // namespace

std::shared_ptr<ClientStream> Http2Client::open(const ClientRequest& request) {
  auto stream = std::make_shared<ClientStream>(*this);
  Headers headers;
  for (const auto [name, value] : request.headers)
    if (!equals_ignoring_case(name, "Host") && !equals_ignoring_case(name, "Content-Length")) headers.add(name, value);
  if (!headers.contains("User-Agent") && !options().user_agent.empty()) headers.add("user-agent", options().user_agent);
  const bool expects_body = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (request.source && request.content_length)
    headers.add("content-length", cat(*request.content_length));
  else if (!request.source && !request.keep_sending && (!request.body.empty() || expects_body))
    headers.add("content-length", cat(request.body.size()));
  const bool is_unix = request.url.scheme == "unix";
  const std::string target = !request.target.empty() ? request.target : is_unix ? "/" : request.url.target();
  const std::string authority = request.headers.contains("Host") ? std::string(request.headers.get("Host"))
                                : is_unix                        ? "localhost"
                                                                 : request.url.authority();
  stream->submit_head({{":method", request.method},
                       {":scheme", this->stream().tls() ? "https" : "http"},
                       {":authority", authority},
                       {":path", target}},
                      headers, request.body, !request.source && !request.keep_sending);
  if (stream->id() > 0) adopt(stream, stream->id());
  return stream;
}

std::shared_ptr<Http2Client> start_http2(std::shared_ptr<Client::State> state, std::unique_ptr<Stream> stream,
                                         std::string key) {
  ++state->http2_running;
  auto client = std::make_shared<Http2Client>(std::move(state), std::move(stream), std::move(key));
  Loop::start(Http2Client::live(client));
  return client;
}

bool http2_usable(const Http2Client& client) { return !client.going_away(); }
bool http2_idle(const Http2Client& client) { return client.stream_count() == 0; }
void http2_cancel(Http2Client& client) { client.end(); }

void http2_close_idle(Http2Client& client, Duration idle) {
  if (http2_idle(client) && client.idle() >= idle) client.end();
}

Task<Result<Answer>> exchange_http2(std::shared_ptr<Http2Client> client, ClientRequest& request, bool& unanswered) {
  const std::shared_ptr<ClientStream> stream = client->open(request);
  auto exchange = std::make_shared<Http2ClientExchange>(client, stream);
  if (request.source) CO_TRY(co_await upload(*stream, request));
  co_await stream->wait_head(request.response_timeout.value_or(client->options().response_timeout));
  if (!stream->answered()) {
    const Result<> why = stream->status();
    unanswered = why || why.error().code() != ETIMEDOUT;
    // A server that does not answer may have gone without a word: the next request tries a new connection.
    if (!unanswered && client->stream_count() <= 1) client->end();
    if (why) co_return fail_errno(ECONNRESET, "wait for an answer from ", client->stream().peer());
    co_return std::unexpected(why.error());
  }
  co_return Answer{.head = std::move(stream->head), .exchange = std::move(exchange)};
}

}  // namespace proa::net
