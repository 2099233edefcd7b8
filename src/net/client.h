// HTTP client: HTTP/1.1 and HTTP/2, plain or TLS, over TCP, unix sockets and proxies, with kept connections.
//
//   Client client(*loops, {.tls = {.ca_file = "…"}});
//   ClientRequest request{.method = "GET", .url = TRY(Url::parse("https://registry.example/v2/"))};
//   ClientResponse response = CO_TRY(co_await client.send(std::move(request)));
//   for (;;) {
//     const std::string_view piece = CO_TRY(co_await response.read());
//     if (piece.empty()) break;
//     …
//   }
//
// From a thread that is no loop's, BlockingClient does the same and blocks.
//
// A Client has one loop, does all its work there and may be used from coroutines on any loop: they go on on their
// own. Any status is a success; redirects are the caller's (redirect_target). Errors name the host and the step:
// "registry.example:443: TLS handshake with 192.0.2.1:443: certificate: self-signed certificate"; their code is
// ETIMEDOUT after a timeout, ECONNREFUSED, ECONNRESET and the like where the kernel said so.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/headers.h"
#include "net/loop.h"
#include "net/stream.h"
#include "net/task.h"
#include "net/tls.h"
#include "net/url.h"

namespace proa::net {

class ClientExchange;

// The next piece of a body to send, "" at its end. A piece stays valid until the next call. Called on the client's
// loop; never again once send() has returned.
using BodySource = std::function<Task<Result<std::string_view>>()>;
// One whose function may block: it is called on the blocking pool.
BodySource blocking_source(std::function<Result<std::string_view>()> function);

struct ClientRequest {
  std::string method = "GET";
  Url url;          // scheme http, https, or unix: the rest of the URL is then in `target`
  Headers headers;  // Host, Connection and framing are the client's own
  std::string body;
  BodySource source;                       // instead of body
  std::optional<uint64_t> content_length;  // of source; chunked without
  std::string target;                      // path and query in place of the URL's
  // Asks for another protocol on this connection: status 101 and take_stream() follow if the server agrees.
  std::string upgrade;
  // HTTP/2 only: the body goes on after the answer's head, by ClientResponse::write; `body` is its beginning.
  bool keep_sending = false;
  // Set once a connection was there to take the request: from then on the server may have got it.
  bool* sent = nullptr;
  // Until the head of the answer; in place of the client's own. 0: for ever.
  std::optional<Duration> response_timeout;
};

class ClientResponse {
 public:
  int status = 0;
  int version = 11;  // 10, 11 or 20
  Headers headers;

  explicit ClientResponse(std::shared_ptr<ClientExchange> exchange);
  ClientResponse(ClientResponse&&) noexcept = default;
  ClientResponse& operator=(ClientResponse&& other) noexcept;
  // What was not read is abandoned; if that is more than little, with the connection (HTTP/2: the stream). Any thread.
  ~ClientResponse();

  std::optional<uint64_t> content_length() const;
  // The next piece of the body, "" at its end; valid until the next call. The server is slowed to the pace of these
  // calls. A body that ends early is an error.
  Task<Result<std::string_view>> read();
  // The rest; more than `limit` bytes is an error with code EMSGSIZE.
  Task<Result<std::string>> read_all(size_t limit = 4 << 20);
  // After the end of the body.
  const Headers& trailers() const;

  // More of the request's body (keep_sending). Waits while the server takes none.
  Task<Result<>> write(std::string_view piece);
  // Ends a read under way with an error, and the exchange. On the client's loop.
  void cancel();

  // The connection itself, after status 101 or for raw protocols after 200: whatever follows the head, both ways.
  // HTTP/1.1 only. On the client's loop.
  Result<std::unique_ptr<Stream>> take_stream();

 private:
  friend class BlockingResponse;
  std::shared_ptr<ClientExchange> exchange_;
};

class Client {
 public:
  struct Options {
    TlsClient::Options tls;              // files are read when the first https connection is made
    bool http2 = true;                   // by ALPN
    bool http2_prior_knowledge = false;  // on plain connections
    bool proxy_from_environment = true;  // HTTPS_PROXY, HTTP_PROXY, NO_PROXY, upper or lower case
    std::string user_agent = "proa";
    size_t max_connections_per_host = 32;  // further requests wait
    Duration connect_timeout{30'000};      // name, connection, proxy and TLS together
    Duration response_timeout{120'000};    // from the end of the request to the head of its answer; 0: for ever
    Duration body_timeout{120'000};        // without a byte of a body; 0: for ever
    Duration idle_timeout{60'000};         // of kept connections
  };

  explicit Client(Loops& loops) : Client(loops, Options()) {}
  Client(Loops& loops, Options options);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  // Closes kept connections. Running requests must have ended; responses may live on.
  ~Client();

  Loop& loop() const;
  // Ends all requests and answers under way with errors of code ECANCELED, and so each later one. A connection that is
  // being made is waited for. Any thread.
  void cancel();
  // Until the answer's head. The request's body has been sent then, or the server did not want it.
  Task<Result<ClientResponse>> send(ClientRequest request);

  struct State;

 private:
  std::shared_ptr<State> state_;
};

// The same for threads that are no loop's. Each call blocks its thread.
class BlockingResponse {
 public:
  explicit BlockingResponse(ClientResponse response, Loop& loop) : response_(std::move(response)), loop_(&loop) {}
  int status() const { return response_.status; }
  const Headers& headers() const { return response_.headers; }
  std::optional<uint64_t> content_length() const { return response_.content_length(); }
  Result<std::string_view> read() { return Loops::wait(*loop_, response_.read()); }
  Result<std::string> read_all(size_t limit = 4 << 20) { return Loops::wait(*loop_, response_.read_all(limit)); }

 private:
  ClientResponse response_;
  Loop* loop_;
};

class BlockingClient {
 public:
  explicit BlockingClient(Client& client) : client_(client) {}
  Result<BlockingResponse> send(ClientRequest request) {
    auto response = Loops::wait(client_.loop(), client_.send(std::move(request)));
    if (!response) return std::unexpected(std::move(response).error());
    return BlockingResponse(std::move(*response), client_.loop());
  }

 private:
  Client& client_;
};

// Where an answer with status 301, 302, 303, 307 or 308 sends the client on; nothing for other statuses. 303 means
// a GET. Credentials go along only if the origin stays: `same_origin`.
struct Redirect {
  Url url;
  bool same_origin = false;
  bool as_get = false;
};
Result<std::optional<Redirect>> redirect_target(const Url& from, int status, const Headers& headers);

}  // namespace proa::net
