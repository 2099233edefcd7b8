#include "net/server.h"

#include <sys/socket.h>

#include <charconv>

#include "base/log.h"
#include "net/body.h"
#include "net/exchange.h"
#include "net/http1.h"

namespace proa::net {

namespace {

constexpr int kAcceptTurn = 64;  // connections taken before other work gets its turn
constexpr Duration kAcceptPause{100};

int status_for(const Error& error) {
  switch (error.code()) {
    case EMSGSIZE: return 413;
    case EBADMSG: return 400;
    case ETIMEDOUT: return 408;
    default: return 500;
  }
}

}  // namespace

// --- Request, Response ----------------------------------------------------------------------------------------

std::string_view Request::query() const {
  const size_t mark = target_.find('?');
  return mark == std::string::npos ? std::string_view() : std::string_view(target_).substr(mark + 1);
}

Loop& Request::loop() const { return exchange_->loop(); }

Task<Result<std::string_view>> Request::read() {
  if (max_body_ && content_length_.value_or(0) > max_body_)
    co_return fail_errno(EMSGSIZE, "request body of ", *content_length_, " bytes");
  const std::string_view piece = CO_TRY(co_await exchange_->read_body());
  body_read_ += piece.size();
  if (max_body_ && body_read_ > max_body_)
    co_return fail_errno(EMSGSIZE, "request body of more than ", max_body_, " bytes");
  co_return piece;
}

Task<Result<std::string>> Request::read_all(size_t limit) {
  if (content_length_.value_or(0) > limit)
    co_return fail_errno(EMSGSIZE, "request body of ", *content_length_, " bytes");
  co_return co_await read_body(*this, limit, "request", content_length_.value_or(0));
}

void Request::on_close(Job call) {
  exchange_->on_close_ = std::move(call);
  exchange_->watch_close();
}

bool Request::stopping() const { return exchange_->stopping(); }

Outlet::Wait Response::send(std::string_view body) {
  if (begun_) {
    log::error("internal error: a second answer to ", exchange_->request.method(), " ", exchange_->request.target());
    return Outlet::Wait(exchange_->outlet());
  }
  if (status_has_body(status)) {
    char digits[24];
    const auto [end, ec] = std::to_chars(digits, digits + sizeof digits, body.size());
    if (exchange_->request.method() != "HEAD" || !body.empty() || !headers.contains("Content-Length"))
      headers.set("Content-Length", {digits, end});
  }
  begun_ = ended_ = true;
  return exchange_->begin(exchange_->without_body() ? std::string_view() : body, true);
}

Outlet::Wait Response::send(int code, std::string_view content_type, std::string_view body) {
  status = code;
  headers.set("Content-Type", content_type);
  return send(body);
}

Outlet::Wait Response::write(std::string_view piece) {
  const bool silent = exchange_->without_body();
  if (!begun_) {
    begun_ = true;
    if (const auto length = headers.find("Content-Length")) left_ = parse_content_length(*length).value_or(0);
    if (left_ && !silent) *left_ -= std::min<uint64_t>(*left_, piece.size());
    return exchange_->begin(silent ? std::string_view() : piece, false);
  }
  if (silent || ended_) return Outlet::Wait(exchange_->outlet());
  if (left_) {
    // More than was announced would be read as the next message.
    piece = piece.substr(0, *left_);
    *left_ -= piece.size();
  }
  return piece.empty() ? Outlet::Wait(exchange_->outlet()) : exchange_->send(piece);
}

Task<Result<>> Response::send_file(int file, uint64_t offset, uint64_t size) {
  headers.set("Content-Length", cat(size));
  begun_ = true;
  if (exchange_->without_body()) {
    ended_ = true;
    co_return co_await exchange_->begin({}, true);
  }
  left_ = size;
  if (size > 0) {
    CO_TRY(co_await exchange_->begin({}, false));
    CO_TRY(co_await exchange_->send_file(file, offset, size));
    left_ = 0;
  } else {
    CO_TRY(co_await exchange_->begin({}, true));
    ended_ = true;
  }
  co_return Result<>();
}

Task<Result<std::unique_ptr<Stream>>> Response::upgrade(std::string_view protocol) {
  status = 101;
  begun_ = ended_ = true;
  return exchange_->hand_over(protocol);
}

Task<Result<std::unique_ptr<Stream>>> Response::hijack() {
  begun_ = ended_ = true;
  return exchange_->hand_over({});
}

// --- Exchange -------------------------------------------------------------------------------------------------

bool Exchange::status_allows_body() const { return status_has_body(response.status); }

void Exchange::tell_closed() {
  if (Job call = std::exchange(on_close_, nullptr)) call();
}

Task<bool> Exchange::run_handler(const Server::Handler& handler) {
  Result<> outcome;
  try {
    outcome = co_await handler(request, response);
  } catch (const std::exception& e) {
    outcome = fail("unexpected exception: ", e.what());
  }
  on_close_ = nullptr;
  if (outcome) {
    if (!response.begun()) static_cast<void>(response.send());
    co_return !response.left_ || *response.left_ == 0 || without_body();
  }
  const int status = status_for(outcome.error());
  const bool gone = outlet().failed();
  if (log::enabled(gone ? log::Level::kDebug : log::Level::kWarning))
    log::write(
        gone ? log::Level::kDebug : log::Level::kWarning,
        cat(request.method(), " ", request.path(), " from ", request.peer().address, ": ", outcome.error().message()));
  if (response.begun()) co_return false;
  response.headers.clear();
  response.headers.set("Connection", "close");
  static_cast<void>(response.send(status, "text/plain; charset=utf-8",
                                  status == 500 ? "internal error\n" : cat(outcome.error().message(), "\n")));
  co_return true;
}

// --- connections ----------------------------------------------------------------------------------------------

ServerConnection::ServerConnection(Shard& shard) : shard_(shard), next_(shard.first), link_(&shard.first) {
  if (next_) next_->link_ = &next_;
  shard.first = this;
}

ServerConnection::~ServerConnection() {
  *link_ = next_;
  if (next_) next_->link_ = link_;
}

Server::State::State(Loops& l, Handler h, const Options& o) : loops(l), handler(std::move(h)), options(o) {
  for (size_t i = 0; i < loops.size(); ++i) shards.push_back(std::make_unique<Shard>(loops.at(i), *this));
}

void Server::State::connection_ended() {
  const size_t left = connections.fetch_sub(1) - 1;
  if (left > 0 && !full.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock(mutex);
  if (full.exchange(false))
    for (const auto& listener : listeners) listener->loop.post([listener] { listener->accept(); });
  if (left == 0) changed.notify_all();
}

void Server::State::start(Fd socket, const std::shared_ptr<TlsServer>& tls) {
  connections.fetch_add(1);
  Loop& loop = loops.next();
  loop.spawn(serve_connection(shared_from_this(), *shards[loop.index()], std::move(socket), tls));
}

void Server::State::each_connection(void (ServerConnection::*act)()) {
  for (const auto& shard : shards) {
    shard->loop.post([self = shared_from_this(), &shard = *shard, act] {
      shard.stopping = true;
      for (ServerConnection* connection = shard.first; connection;) {
        ServerConnection* const next = connection->next();
        (connection->*act)();
        connection = next;
      }
    });
  }
}

// --- listening ------------------------------------------------------------------------------------------------

void Listener::accept() {
  for (int i = 0; i < kAcceptTurn; ++i) {
    if (!socket.is_open()) return;
    if (server.connections.load() >= server.options.max_connections) {
      server.full = true;
      if (server.connections.load() >= server.options.max_connections) return;
    }
    Fd connected(::accept4(socket.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (connected) {
      server.start(std::move(connected), tls);
    } else if (errno == EAGAIN) {
      return socket.wait_readable({[](void* self) { static_cast<Listener*>(self)->accept(); }, this});
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // Nothing to accept with until something closes.
      log::warning("accept connections: ", errno_text(errno));
      if (!pause)
        pause = std::make_unique<Timer>(loop, [](void* self) { static_cast<Listener*>(self)->accept(); }, this);
      return pause->set_after(kAcceptPause);
    }
  }
  socket.wait_readable({[](void* self) { static_cast<Listener*>(self)->accept(); }, this});
}

void Listener::close() {
  if (!socket.is_open()) return;
  if (!unlink_path.empty()) ::unlink(unlink_path.c_str());
  socket.close();
  pause.reset();
  const std::lock_guard lock(server.mutex);
  if (--server.open_listeners == 0) server.changed.notify_all();
}

Server::Server(Loops& loops, Handler handler, const Options& options)
    : state_(std::make_shared<State>(loops, std::move(handler), options)) {}

Server::~Server() { stop(); }

Result<Endpoint> Server::listen(const Endpoint& endpoint, std::shared_ptr<TlsServer> tls) {
  Fd socket = TRY(listen_on(endpoint));
  Endpoint where = TRY(listen(std::move(socket), std::move(tls)));
  const std::lock_guard lock(state_->mutex);
  if (endpoint.is_unix()) state_->listeners.back()->unlink_path = endpoint.path;
  return where;
}

Result<Endpoint> Server::listen(Fd socket, std::shared_ptr<TlsServer> tls) {
  if (state_->stopping) return fail("listen: the server has been stopped");
  Endpoint where = local_endpoint(socket.get());
  Loop& loop = state_->loops.next();
  auto listener = std::make_shared<Listener>(*state_, loop, std::move(tls));
  {
    const std::lock_guard lock(state_->mutex);
    state_->listeners.push_back(listener);
    ++state_->open_listeners;
  }
  loop.post([listener, fd = std::move(socket)]() mutable {
    listener->socket = Descriptor(listener->loop, std::move(fd));
    listener->accept();
  });
  return where;
}

void Server::serve(Fd socket, const std::shared_ptr<TlsServer>& tls) { state_->start(std::move(socket), tls); }

size_t Server::connections() const { return state_->connections; }

void Server::stop(Duration grace) {
  State& state = *state_;
  state.stopping = true;
  {
    std::unique_lock lock(state.mutex);
    for (const auto& listener : state.listeners) listener->loop.post([listener] { listener->close(); });
    state.changed.wait(lock, [&] { return state.open_listeners == 0; });
    state.listeners.clear();
  }
  const auto idle = [&] { return state.connections == 0; };
  if (grace.count() > 0) {
    state.each_connection(&ServerConnection::drain);
    std::unique_lock lock(state.mutex);
    if (state.changed.wait_for(lock, grace, idle)) return;
  }
  state.each_connection(&ServerConnection::abort);
  std::unique_lock lock(state.mutex);
  state.changed.wait(lock, idle);
}

// --- one connection -------------------------------------------------------------------------------------------

namespace {

// Holds the connection's place while TLS is set up.
class Handshake final : public ServerConnection {
 public:
  Handshake(Shard& shard, Stream& stream) : ServerConnection(shard), stream_(stream) {}
  void drain() override { abort(); }
  void abort() override { stream_.abort(Error("the server is stopping")); }

 private:
  Stream& stream_;
};

Peer describe_peer(int socket) {
  Peer peer;
  SocketAddress address;
  address.size = sizeof address.storage;
  ::getpeername(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.size);
  peer.address = address.text();
  peer.is_unix = address.storage.ss_family == AF_UNIX;
  ucred who{};
  socklen_t size = sizeof who;
  if (peer.is_unix && ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) {
    peer.pid = who.pid;
    peer.uid = who.uid;
    peer.gid = who.gid;
  }
  return peer;
}

Task<> serve_stream(Shard& shard, std::unique_ptr<Stream> stream, Peer& peer) {
  if (stream->tls()) {
    Handshake place(shard, *stream);
    if (const Result<> done = co_await stream->handshake(shard.server.options.header_timeout); !done) {
      log::debug(done.error().message());
      co_return co_await stream->linger();  // the alert says why
    }
    peer.is_tls = true;
    peer.certificate = stream->tls()->peer_certificate();
  }
  stream->set_write_timeout(shard.server.options.write_timeout);
  if (stream->tls() && stream->tls()->protocol() == "h2")
    co_return co_await serve_http2(shard, std::move(stream), peer);
  stream = co_await serve_http1(shard, std::move(stream), peer);
  if (stream) co_await serve_http2(shard, std::move(stream), peer);
}

}  // namespace

Task<> serve_connection(std::shared_ptr<Server::State> server, Shard& shard, Fd socket,
                        std::shared_ptr<TlsServer> tls) {
  const Defer ended([&] { server->connection_ended(); });
  if (shard.stopping) co_return;
  Peer peer = describe_peer(socket.get());
  if (!peer.is_unix) tune_tcp(socket.get());
  std::unique_ptr<TlsSession> session;
  if (tls) {
    auto made = tls->session(socket.get());
    if (!made) {
      log::error(made.error().message());
      co_return;
    }
    session = std::move(*made);
  }
  auto stream = std::make_unique<Stream>(shard.loop, std::move(socket), peer.address, std::move(session));
  co_await serve_stream(shard, std::move(stream), peer);
}

}  // namespace proa::net
