// The client's side of HTTP/1.1: one request on one connection.
#include "net/client_state.h"
#include "net/http1_body.h"

namespace proa::net {

namespace {

constexpr size_t kMaxHead = 256 << 10;

class Http1ClientExchange final : public ClientExchange {
 public:
  Http1ClientExchange(std::shared_ptr<Client::State> state, Client::State::Connection connection, std::string key)
      : ClientExchange(state->loop),
        state_(std::move(state)),
        stream_(std::move(connection.stream)),
        key_(std::move(key)),
        to_proxy_(connection.to_proxy) {
    state_->running.insert(stream_.get());
    // The connection may have been made meanwhile.
    if (state_->cancelled) stream_->abort(Error::from_errno(ECANCELED, "request"));
  }
  ~Http1ClientExchange() override { release(); }

  Task<Result<Answer>> run(ClientRequest& request, std::shared_ptr<ClientExchange> self, bool& unanswered);
  Task<Result<std::string_view>> read_body() override;
  const Headers& trailers() const override { return trailers_; }
  Result<std::unique_ptr<Stream>> take_stream() override;

 private:
  std::string head(const ClientRequest& request) const;
  Task<Result<>> send_request(ClientRequest& request);
  Task<Result<>> upload(ClientRequest& request);
  void release();

  std::shared_ptr<Client::State> state_;
  std::unique_ptr<Stream> stream_;
  std::string key_;
  bool to_proxy_;
  bool complete_ = false;  // the request was sent whole
  bool keep_alive_ = false;
  bool chunked_ = false;
  Http1Body body_;
  Headers trailers_;
};

std::string Http1ClientExchange::head(const ClientRequest& request) const {
  const bool is_unix = request.url.scheme == "unix";
  const std::string target = !request.target.empty() ? request.target : is_unix ? "/" : request.url.target();
  const std::string authority = is_unix ? "localhost" : request.url.authority();
  std::string out =
      cat(request.method, " ", to_proxy_ ? request.url.origin() : "", target,
          " HTTP/1.1\r\nHost: ", request.headers.contains("Host") ? request.headers.get("Host") : authority, "\r\n");
  for (const auto [name, value] : request.headers)
    if (!equals_ignoring_case(name, "Host") && !equals_ignoring_case(name, "Content-Length") &&
        !equals_ignoring_case(name, "Transfer-Encoding") && !equals_ignoring_case(name, "Connection"))
      out.append(name).append(": ").append(value).append("\r\n");
  if (!request.headers.contains("User-Agent") && !state_->options.user_agent.empty())
    out.append(cat("User-Agent: ", state_->options.user_agent, "\r\n"));
  if (!request.upgrade.empty()) out.append(cat("Connection: Upgrade\r\nUpgrade: ", request.upgrade, "\r\n"));
  const bool expects_body = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (chunked_)
    out.append("Transfer-Encoding: chunked\r\n");
  else if (request.source)
    out.append(cat("Content-Length: ", *request.content_length, "\r\n"));
  else if (!request.body.empty() || expects_body)
    out.append(cat("Content-Length: ", request.body.size(), "\r\n"));
  return out.append("\r\n");
}

Task<Result<>> Http1ClientExchange::send_request(ClientRequest& request) {
  chunked_ = request.source && !request.content_length;
  const std::string start = head(request);
  if (!request.source) {
    CO_TRY(co_await stream_->write(start, request.body));
    complete_ = true;
    co_return Result<>();
  }
  CO_TRY(co_await stream_->write(start));
  co_return co_await upload(request);
}

// Sends the body until it is complete or the server has answered before.
Task<Result<>> Http1ClientExchange::upload(ClientRequest& request) {
  uint64_t left = request.content_length.value_or(UINT64_MAX);
  for (;;) {
    const auto piece = co_await request.source();
    if (!piece) {
      stream_->abort(Error("the request's body could not be read", ECANCELED));
      co_return std::unexpected(Error(piece.error()).with_context("request body"));
    }
    if (piece->empty() || piece->size() > left) {
      if (piece->size() > left || (left > 0 && !chunked_)) {
        stream_->abort(Error("the request's body has another length than was announced", ECANCELED));
        co_return stream_->status();
      }
      break;
    }
    left -= piece->size();
    if (chunked_) {
      std::string size;
      append_chunk_size(size, piece->size());
      static_cast<void>(stream_->write(size, *piece));
      CO_TRY(co_await stream_->write("\r\n"));
    } else {
      CO_TRY(co_await stream_->write(*piece));
    }
    char first;
    const Stream::Got early = stream_->try_read({&first, 1});
    if (early.kind == Stream::Got::kData) {
      stream_->unread({&first, 1});
      co_return Result<>();
    }
    if (early.kind != Stream::Got::kNothing) co_return fail_errno(ECONNRESET, "write to ", stream_->peer());
  }
  if (chunked_) CO_TRY(co_await stream_->write("0\r\n\r\n"));
  complete_ = true;
  co_return Result<>();
}

Task<Result<Answer>> Http1ClientExchange::run(ClientRequest& request, std::shared_ptr<ClientExchange> self,
                                              bool& unanswered) {
  if (Result<> sent = co_await send_request(request); !sent) {
    unanswered = true;
    co_return std::unexpected(std::move(sent).error());
  }
  bool received = false;
  auto read = co_await read_response_head(*stream_, request.response_timeout.value_or(state_->options.response_timeout),
                                          received);
  if (!read) {
    unanswered = !received && read.error().code() != ETIMEDOUT;
    co_return std::unexpected(std::move(read).error());
  }
  ResponseHead& answer = *read;
  const Http1Response line{.status = answer.status, .version = answer.version};
  const Framing framing =
      CO_TRY_CTX(response_framing(line, answer.headers, request.method), "answer from ", stream_->peer());
  body_ = Http1Body(framing);
  keep_alive_ = complete_ && framing.kind != Framing::kUntilClose && answer.status != 101 &&
                (answer.version == 11 ? !answer.headers.has_token("Connection", "close")
                                      : answer.headers.has_token("Connection", "keep-alive"));
  if (body_.done() && answer.status != 101 && request.upgrade.empty()) release();
  co_return Answer{.head = std::move(answer), .exchange = std::move(self)};
}

Task<Result<std::string_view>> Http1ClientExchange::read_body() {
  if (!stream_) co_return std::string_view();
  auto piece = co_await body_.read(*stream_, state_->options.body_timeout);
  if (piece && piece->empty()) {
    trailers_ = body_.trailers();
    release();
  }
  co_return piece;
}

Result<std::unique_ptr<Stream>> Http1ClientExchange::take_stream() {
  if (!stream_) return fail("the connection is not this response's any more");
  state_->running.erase(stream_.get());
  state_->ended(key_);
  return std::move(stream_);
}

void Http1ClientExchange::release() {
  if (!stream_) return;
  state_->running.erase(stream_.get());
  if (keep_alive_ && body_.done()) return state_->give_back(key_, std::move(stream_), to_proxy_);
  stream_.reset();
  state_->ended(key_);
}

}  // namespace

Task<Result<ResponseHead>> read_response_head(Stream& stream, Duration timeout, bool& received) {
  if (timeout.count() > 0) stream.set_read_deadline(timeout, "wait for an answer from");
  std::string text;
  for (;;) {
    const size_t size = Http1Parser::head_size(text, 0);
    if (size > 0) {
      ResponseHead head;
      const Http1Response line = CO_TRY_CTX(Http1Parser::response(std::string_view(text).substr(0, size), head.headers),
                                            "answer from ", stream.peer());
      head.status = line.status;
      head.version = line.version;
      text.erase(0, size);
      if (head.status < 200 && head.status != 101) continue;
      stream.clear_read_deadline();
      if (!text.empty()) stream.unread(text);
      co_return head;
    }
    if (text.size() > kMaxHead)
      co_return fail_errno(EMSGSIZE, "answer from ", stream.peer(), ": head of more than ", kMaxHead, " bytes");
    CO_TRY(co_await stream.readable());
    const std::span<char> buffer = stream.loop().scratch().first(kMaxHead / 4);
    const Stream::Got got = stream.try_read(buffer);
    if (got.kind == Stream::Got::kFailed) co_return std::unexpected(stream.status().error());
    if (got.kind == Stream::Got::kEnd) co_return fail_errno(ECONNRESET, "wait for an answer from ", stream.peer());
    text.append(buffer.data(), got.size);
    received = received || got.size > 0;
  }
}

Task<Result<Answer>> exchange_http1(std::shared_ptr<Client::State> state, Client::State::Connection connection,
                                    ClientRequest& request, std::string key, bool& unanswered) {
  auto exchange = std::make_shared<Http1ClientExchange>(std::move(state), std::move(connection), std::move(key));
  Http1ClientExchange& run = *exchange;
  co_return co_await run.run(request, std::move(exchange), unanswered);
}

}  // namespace proa::net
