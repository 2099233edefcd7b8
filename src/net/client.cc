#include "net/client.h"

#include <algorithm>

#include "net/base64.h"
#include "net/body.h"
#include "net/client_state.h"
#include "net/http1.h"

namespace proa::net {

namespace {

Duration until(Clock::time_point deadline) {
  return std::max(Duration(1), std::chrono::duration_cast<Duration>(deadline - Clock::now()));
}

bool idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" || method == "OPTIONS";
}

// Errors name the host, once.
Error with_host(Error error, const Url& url, const std::string& socket_path) {
  const std::string place = socket_path.empty() ? url.authority() : cat("unix://", socket_path);
  if (error.message().find(place) != std::string::npos) return error;
  return std::move(error).with_context(place);
}

}  // namespace

BodySource blocking_source(std::function<Result<std::string_view>()> function) {
  return [function = std::move(function)]() -> Task<Result<std::string_view>> {
    co_return co_await blocking([&] { return function(); });
  };
}

std::string connection_key(const Url& url, const std::string& socket_path) {
  return socket_path.empty() ? url.origin() : cat("unix:", socket_path);
}

// --- the pool -------------------------------------------------------------------------------------------------

Task<Result<Client::State::Connection>> Client::State::acquire(const Url& url, const std::string& socket_path,
                                                               bool fresh, bool http1_only) {
  Host& host = hosts[connection_key(url, socket_path)];
  for (;;) {
    if (host.http2 && !http1_only && http2_usable(*host.http2))
      co_return Connection{.stream = nullptr, .http2 = host.http2, .reused = true};
    while (!fresh && !host.kept.empty()) {
      // The latest first: the others may grow old.
      Kept kept = std::move(host.kept.back());
      host.kept.pop_back();
      kept.stream->forget_hangup();
      char byte;
      if (kept.stream->try_read({&byte, 1}).kind == Stream::Got::kNothing)
        co_return Connection{
            .stream = std::move(kept.stream), .http2 = nullptr, .reused = true, .to_proxy = kept.to_proxy};
      --host.open;
    }
    const bool wait_for_protocol = host.dialing && !host.known_http1 && !http1_only;
    if (!wait_for_protocol && host.open < options.max_connections_per_host) break;
    Event turn;
    host.waiting.push_back(&turn);
    co_await turn.wait();
    if (closed) co_return fail("the client has been closed");
    if (cancelled) co_return fail_errno(ECANCELED, "request");
  }
  ++host.open;
  host.dialing = true;
  auto made = co_await dial(url, socket_path, http1_only);
  host.dialing = false;
  const bool http2 = made && !http1_only &&
                     (made->stream->tls() ? made->stream->tls()->protocol() == "h2"
                                          : options.http2_prior_knowledge && !made->to_proxy);
  if (!made) {
    --host.open;
  } else if (http2) {
    host.http2 = made->http2 =
        start_http2(shared_from_this(), std::move(made->stream), connection_key(url, socket_path));
    arm_sweeper();
  } else if (!http1_only) {
    host.known_http1 = true;
  }
  // All who wait may go on, or dial themselves.
  for (size_t waiting = host.waiting.size(); waiting > 0; --waiting) wake_one(host);
  co_return made;
}

void Client::State::wake_one(Host& host) {
  if (host.waiting.empty()) return;
  Event* const turn = host.waiting.front();
  host.waiting.pop_front();
  turn->notify();
}

void Client::State::give_back(const std::string& key, std::unique_ptr<Stream> stream, bool to_proxy) {
  if (closed || stream->failed() || stream->unsent() > 0 || stream->has_unread()) return ended(key);
  Host& host = hosts[key];
  Kept& kept = host.kept.emplace_back(std::move(stream), to_proxy);
  kept.stream->watch_hangup({[](void* self) {
                               Kept& gone = *static_cast<Kept*>(self);
                               Host& of = *gone.host;
                               --of.open;
                               of.kept.remove_if([&](const Kept& other) { return &other == &gone; });
                             },
                             &kept});
  kept.host = &host;
  arm_sweeper();
  wake_one(host);
}

void Client::State::arm_sweeper() {
  if (!sweeper) sweeper = std::make_unique<Timer>(loop, [](void* self) { static_cast<State*>(self)->sweep(); }, this);
  if (!sweeper->is_set()) sweeper->set_after(options.idle_timeout);
}

void Client::State::http2_ended(const std::string& key, const Http2Client* client) {
  Host& host = hosts[key];
  if (host.http2.get() == client) host.http2.reset();
  ended(key);
  --http2_running;
  http2_gone.notify();
}

void Client::State::ended(const std::string& key) {
  Host& host = hosts[key];
  --host.open;
  wake_one(host);
}

void Client::State::sweep() {
  const Clock::time_point oldest = Clock::now() - options.idle_timeout;
  bool left = false;
  for (auto& [key, host] : hosts) {
    host.open -= host.kept.remove_if([&](const Kept& kept) { return kept.since <= oldest; });
    if (host.http2) http2_close_idle(*host.http2, options.idle_timeout);
    left = left || !host.kept.empty() || host.http2;
  }
  if (left) sweeper->set_after(options.idle_timeout / 2);
}

void Client::State::cancel() {
  cancelled = true;
  for (Stream* const stream : running) stream->abort(Error::from_errno(ECANCELED, "request"));
  for (auto& [key, host] : hosts) {
    if (host.http2) http2_cancel(*host.http2);
    while (!host.waiting.empty()) wake_one(host);
  }
}

void Client::State::close() {
  closed = true;
  sweeper.reset();
  for (auto& [key, host] : hosts) {
    host.kept.clear();
    if (host.http2) http2_close_idle(*host.http2, Duration(0));
    while (!host.waiting.empty()) wake_one(host);
  }
}

size_t Client::State::http2_in_use() const {
  return static_cast<size_t>(std::ranges::count_if(
      hosts, [](const auto& entry) { return entry.second.http2 && !http2_idle(*entry.second.http2); }));
}

// --- making connections ---------------------------------------------------------------------------------------

Task<Result<Client::State::Connection>> Client::State::dial(const Url& url, const std::string& socket_path,
                                                            bool http1_only) {
  const Clock::time_point deadline = Clock::now() + options.connect_timeout;
  Connection made;
  if (!socket_path.empty()) {
    Fd socket = CO_TRY(connect_unix_stream(socket_path));
    made.stream = std::make_unique<Stream>(loop, std::move(socket), cat("unix://", socket_path));
    co_return made;
  }
  const std::optional<Url> proxy = CO_TRY(proxy_for(url, proxies));
  if (proxy && url.is_tls()) {
    made.stream = CO_TRY_CTX(co_await tunnel(*proxy, url, deadline), "proxy ", proxy->authority());
  } else {
    const Url& next = proxy ? *proxy : url;
    Fd socket = CO_TRY(co_await connect_tcp(next.host, next.port, until(deadline)));
    made.stream = std::make_unique<Stream>(loop, std::move(socket), next.authority());
    made.to_proxy = proxy.has_value();
  }
  if (url.is_tls()) made.stream = CO_TRY(co_await secure(std::move(made.stream), url, deadline, http1_only));
  co_return made;
}

Task<Result<std::unique_ptr<Stream>>> Client::State::tunnel(const Url& proxy, const Url& url,
                                                            Clock::time_point deadline) {
  Fd socket = CO_TRY(co_await connect_tcp(proxy.host, proxy.port, until(deadline)));
  Stream stream(loop, std::move(socket), proxy.authority());
  const std::string target = join_host_port(url.host, url.port);
  std::string head = cat("CONNECT ", target, " HTTP/1.1\r\nHost: ", target, "\r\n");
  if (!proxy.user.empty())
    head.append(cat("Proxy-Authorization: Basic ", base64_encode(cat(proxy.user, ":", proxy.password)), "\r\n"));
  CO_TRY(co_await stream.write(head.append("\r\n")));
  bool received = false;
  const ResponseHead answer = CO_TRY(co_await read_response_head(stream, until(deadline), received));
  if (answer.status / 100 != 2)
    co_return fail("CONNECT ", target, ": ", answer.status, " ", reason_phrase(answer.status));
  if (stream.has_unread()) co_return fail("CONNECT ", target, ": the proxy sent data of its own");
  co_return std::make_unique<Stream>(loop, stream.release_socket(), url.authority());
}

Task<Result<std::unique_ptr<Stream>>> Client::State::secure(std::unique_ptr<Stream> plain, const Url& url,
                                                            Clock::time_point deadline, bool http1_only) {
  if (!tls) {
    // The system's authorities are many: some milliseconds.
    auto made = CO_TRY(co_await blocking([&] { return TlsClient::create(options.tls); }));
    if (!tls) tls = std::move(made);
  }
  auto session = CO_TRY(tls->session(plain->fd(), url.host, options.http2 && !http1_only));
  auto stream = std::make_unique<Stream>(loop, plain->release_socket(), url.authority(), std::move(session));
  CO_TRY(co_await stream->handshake(until(deadline)));
  co_return stream;
}

// --- Client ---------------------------------------------------------------------------------------------------

Client::Client(Loops& loops, Options options) : state_(std::make_shared<State>(loops.next(), std::move(options))) {}

Client::~Client() {
  if (state_->loop.is_current()) {
    state_->close();
    return;
  }
  Loops::wait(state_->loop, [](State& state) -> Task<bool> {
    state.close();
    // Connections that responses still read from end with those.
    while (state.http2_running > state.http2_in_use()) co_await state.http2_gone.wait();
    co_return true;
  }(*state_));
}

Loop& Client::loop() const { return state_->loop; }

void Client::cancel() {
  state_->loop.post([state = state_] { state->cancel(); });
}

namespace {

Task<Result<Answer>> attempt(std::shared_ptr<Client::State> state, ClientRequest& request,
                             const std::string& socket_path, bool fresh, bool& repeat) {
  const std::string key = connection_key(request.url, socket_path);
  if (state->cancelled) co_return fail_errno(ECANCELED, "request");
  auto connection = CO_TRY(co_await state->acquire(request.url, socket_path, fresh, !request.upgrade.empty()));
  if (request.keep_sending && !connection.http2) {
    state->give_back(key, std::move(connection.stream), connection.to_proxy);
    co_return fail("the server does not speak HTTP/2");
  }
  if (request.sent) *request.sent = true;
  const bool reused = connection.reused;
  bool unanswered = false;
  auto answer = connection.http2 ? co_await exchange_http2(std::move(connection.http2), request, unanswered)
                                 : co_await exchange_http1(state, std::move(connection), request, key, unanswered);
  // A kept connection may have been closed by the server just before it got the request. What may not be done twice
  // is not repeated, unless the server says that it was not done.
  const bool refused = !answer && answer.error().code() == EAGAIN;
  repeat = (refused || (reused && unanswered && idempotent(request.method))) && !request.source;
  co_return answer;
}

Task<Result<ClientResponse>> send_on(std::shared_ptr<Client::State> state, ClientRequest& request) {
  if (request.url.scheme != "http" && request.url.scheme != "https" && request.url.scheme != "unix" &&
      request.url.scheme != "ws" && request.url.scheme != "wss")
    co_return fail("URL ", request.url.text(), ": scheme is none of http, https and unix");
  if (!is_token(request.method)) co_return fail("HTTP method \"", request.method, "\": not a token");
  const std::string socket_path = request.url.scheme == "unix" ? request.url.path : std::string();
  bool repeat = false;
  auto answer = co_await attempt(state, request, socket_path, false, repeat);
  if (!answer && repeat) answer = co_await attempt(state, request, socket_path, true, repeat);
  if (!answer) co_return std::unexpected(with_host(std::move(answer).error(), request.url, socket_path));
  ClientResponse response(std::move(answer->exchange));
  response.status = answer->head.status;
  response.version = answer->head.version;
  response.headers = std::move(answer->head.headers);
  co_return response;
}

}  // namespace

Task<Result<ClientResponse>> Client::send(ClientRequest request) {
  Loop* const home = Loop::current();
  const std::shared_ptr<State> state = state_;
  co_await state->loop.enter();
  auto response = co_await send_on(state, request);
  if (home) co_await home->enter();
  co_return response;
}

// --- ClientResponse -------------------------------------------------------------------------------------------

ClientResponse::ClientResponse(std::shared_ptr<ClientExchange> exchange) : exchange_(std::move(exchange)) {}

ClientResponse& ClientResponse::operator=(ClientResponse&& other) noexcept {
  std::swap(status, other.status);
  std::swap(version, other.version);
  std::swap(headers, other.headers);
  std::swap(exchange_, other.exchange_);
  return *this;
}

ClientResponse::~ClientResponse() {
  if (!exchange_ || exchange_->loop().is_current()) return;
  Loop& loop = exchange_->loop();
  loop.post([exchange = std::move(exchange_)] {});
}

std::optional<uint64_t> ClientResponse::content_length() const {
  const auto value = headers.find("Content-Length");
  const auto length = value ? parse_content_length(*value) : Result<uint64_t>(fail(""));
  return length ? std::optional(*length) : std::nullopt;
}

Task<Result<std::string_view>> ClientResponse::read() {
  if (!exchange_) co_return fail("the connection was taken from this response");
  Loop* const home = Loop::current();
  co_await exchange_->loop().enter();
  auto piece = co_await exchange_->read_body();
  if (home) co_await home->enter();
  co_return piece;
}

Task<Result<std::string>> ClientResponse::read_all(size_t limit) {
  co_return co_await read_body(*this, limit, "response");
}

Task<Result<>> ClientResponse::write(std::string_view piece) {
  if (!exchange_) co_return fail("the connection was taken from this response");
  Loop* const home = Loop::current();
  co_await exchange_->loop().enter();
  auto written = co_await exchange_->write_body(piece);
  if (home) co_await home->enter();
  co_return written;
}

void ClientResponse::cancel() {
  if (exchange_) exchange_->cancel();
}

const Headers& ClientResponse::trailers() const { return exchange_->trailers(); }

Result<std::unique_ptr<Stream>> ClientResponse::take_stream() { return exchange_->take_stream(); }

// --- redirects ------------------------------------------------------------------------------------------------

Result<std::optional<Redirect>> redirect_target(const Url& from, int status, const Headers& headers) {
  if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
    return std::optional<Redirect>();
  const auto location = headers.find("Location");
  if (!location) return fail("status ", status, " from ", from.authority(), ": no Location");
  Redirect redirect;
  redirect.url = TRY_CTX(from.resolve(*location), "Location from ", from.authority());
  if (redirect.url.scheme != "http" && redirect.url.scheme != "https")
    return fail("Location from ", from.authority(), ": scheme \"", redirect.url.scheme, "\" is neither http nor https");
  if (from.is_tls() && !redirect.url.is_tls())
    return fail("Location from ", from.authority(), ": leads from https to http");
  redirect.same_origin = redirect.url.origin() == from.origin();
  redirect.as_get = status == 303;
  return std::optional(std::move(redirect));
}

}  // namespace proa::net
