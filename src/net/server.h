// HTTP server: HTTP/1.1 and HTTP/2, plain or TLS, on TCP and unix sockets, one handler for all.
//
//   auto tls = TRY(TlsServer::create({.certificate_file = "…", .key_file = "…"}));
//   Server server(*loops, [&](Request& request, Response& response) -> Task<Result<>> {
//     if (request.path() != "/v2/") co_return co_await response.send(404, "text/plain", "no such page\n");
//     co_return co_await response.send(200, "application/json", "{}");
//   });
//   TRY(server.listen(TRY(Endpoint::parse("*:5000")), tls));
//   …
//   server.stop(std::chrono::seconds(10));
//
// The handler is called as a coroutine on the loop thread of the connection, many at a time and on several
// threads; Request and Response live until it returns and belong to that thread. It must not block the thread:
// `co_await blocking(…)` does what blocks. It runs to its end even if the client goes: reads and writes then
// return errors, and on_close() tells a handler that waits for something else.
//
// An error that the handler returns is the answer if none has begun: 413 for code EMSGSIZE, 400 for EBADMSG, 408
// for ETIMEDOUT, 500 otherwise, and the error is logged. After the answer has begun, the connection (or HTTP/2
// stream) is cut, so that the client cannot take the part for the whole.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "net/headers.h"
#include "net/loop.h"
#include "net/socket.h"
#include "net/stream.h"
#include "net/task.h"
#include "net/tls.h"

namespace proa::net {

class Exchange;

// Who is at the other end of a connection.
struct Peer {
  std::string address;  // "192.0.2.1:4711", "[2001:db8::1]:4711", "unix"
  bool is_unix = false;
  bool is_tls = false;
  pid_t pid = 0;  // of a unix peer, as of its connect; 0 otherwise
  uid_t uid = 0;
  gid_t gid = 0;
  std::unique_ptr<PeerCertificate> certificate;  // the client's, verified; null without
};

class Request {
 public:
  std::string_view method() const { return method_; }
  // As the client sent it, percent-encoded: "/v2/a/tags/list?n=5".
  std::string_view target() const { return target_; }
  std::string_view path() const { return std::string_view(target_).substr(0, target_.find('?')); }
  // Without the question mark; Query (url.h) takes it apart.
  std::string_view query() const;
  // Host, or :authority: "example.com:5000". As the client says.
  std::string_view host() const { return host_; }
  // 10, 11 or 20.
  int version() const { return version_; }
  const Headers& headers() const { return headers_; }
  const Peer& peer() const { return *peer_; }
  Loop& loop() const;

  // What the client announced; nothing for a body of unknown length.
  std::optional<uint64_t> content_length() const { return content_length_; }
  // The next piece of the body, "" at its end; valid until the next call. Nothing more is read from the client
  // than is asked for here. A body over the limit is EMSGSIZE, a stalled one ETIMEDOUT.
  Task<Result<std::string_view>> read();
  // The rest of the body, at most `limit` bytes; more is EMSGSIZE.
  Task<Result<std::string>> read_all(size_t limit = 4 << 20);
  // In place of the server's own limit; 0 is none. Before the first read.
  void set_max_body(uint64_t bytes) { max_body_ = bytes; }
  // After the end of the body.
  const Headers& trailers() const { return trailers_; }

  // `call` is called once, on this loop's thread, when the client has gone or the server is about to stop while
  // the handler runs, or at once if that is so already: it makes the handler end its wait (Event::notify). Never
  // called after the handler has ended.
  void on_close(Job call);
  // Whether the server is stopping: endless responses end now.
  bool stopping() const;

 private:
  friend class Exchange;
  friend class Http1Connection;
  friend class Http2Server;
  std::string method_;
  std::string target_;
  std::string host_;
  int version_ = 11;
  Headers headers_;
  Headers trailers_;
  const Peer* peer_ = nullptr;
  std::optional<uint64_t> content_length_;
  uint64_t max_body_ = 0;
  uint64_t body_read_ = 0;
  Exchange* exchange_ = nullptr;
};

class Response {
 public:
  int status = 200;
  Headers headers;   // until the answer begins; Date, Connection and framing are the server's own
  Headers trailers;  // sent after a streamed body

  // A whole answer. Content-Length is set here.
  Outlet::Wait send(std::string_view body = {});
  Outlet::Wait send(int status, std::string_view content_type, std::string_view body);

  // A streamed answer: begun by the first call, ended by the handler's return. With a Content-Length header the
  // pieces must add up to it; without, the body is chunked (HTTP/1.1) or framed (HTTP/2). A piece is sent at once.
  // Await the result: it comes when the client has taken most of what was written.
  Outlet::Wait write(std::string_view piece);
  // Begins the answer, so that the client sees its head before there is any body.
  Outlet::Wait flush() { return write({}); }
  // Part of a file as the whole body: sendfile on plain HTTP/1.1. Content-Length is set here; status, Content-Range
  // and the like are the caller's. `file` must stay open until this is done.
  Task<Result<>> send_file(int file, uint64_t offset, uint64_t size);

  // Answers 101 and hands the connection over: HTTP/1.1 only, and the request's body is not read. `headers` are
  // sent too. The stream's loop is this one; it may outlive the handler.
  Task<Result<std::unique_ptr<Stream>>> upgrade(std::string_view protocol);
  // As upgrade, for clients that did not ask for one: the answer has this response's status and no framing (Docker's
  // attach without Upgrade).
  Task<Result<std::unique_ptr<Stream>>> hijack();

  // Whether anything of the answer was sent; status and headers are fixed then.
  bool begun() const { return begun_; }

 private:
  friend class Exchange;
  friend class Http1Connection;
  friend class Http2Server;
  bool begun_ = false;
  bool ended_ = false;
  std::optional<uint64_t> left_;  // of an announced Content-Length
  Exchange* exchange_ = nullptr;
};

class Server {
 public:
  using Handler = std::function<Task<Result<>>(Request&, Response&)>;

  struct Options {
    size_t max_header_bytes = 64 << 10;  // request line and header fields together; 431 above
    uint64_t max_body_bytes = 16 << 20;  // 0: no limit; Request::set_max_body for one request
    size_t max_connections = 100'000;    // further ones wait in the listen queue
    uint32_t max_streams = 256;          // requests at a time on one HTTP/2 connection
    Duration header_timeout{10'000};     // from the first byte of a request to the end of its head; TLS handshake
    Duration body_timeout{60'000};       // without a byte of a body that is being read
    Duration idle_timeout{120'000};      // between requests
    Duration write_timeout{60'000};      // without the client taking a byte
    bool http2 = true;
  };

  Server(Loops& loops, Handler handler) : Server(loops, std::move(handler), Options()) {}
  Server(Loops& loops, Handler handler, const Options& options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Stops at once.
  ~Server();

  // Any number of times; each gives where it really listens. Connections are spread over all loops.
  Result<Endpoint> listen(const Endpoint& endpoint, std::shared_ptr<TlsServer> tls = nullptr);
  // A listening socket from elsewhere (socket activation).
  Result<Endpoint> listen(Fd listener, std::shared_ptr<TlsServer> tls = nullptr);
  // Serves one connected socket as if it had been accepted.
  void serve(Fd socket, const std::shared_ptr<TlsServer>& tls = nullptr);

  // Closes the listeners and idle connections, lets running requests end (HTTP/1: Connection: close, HTTP/2:
  // GOAWAY) for as long as `grace`, then cuts them; returns when all handlers have ended. Blocks: not from a loop.
  void stop(Duration grace = Duration(0));

  size_t connections() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace proa::net
