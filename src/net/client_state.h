// The client's connections: made, kept, limited. The client's loop only, but for construction.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <set>

#include "net/client_exchange.h"
#include "net/proxy.h"
#include "net/socket.h"

namespace proa::net {

class Http2Client;

// The head of an answer, interim ones (1xx but 101) passed over.
struct ResponseHead {
  int status = 0;
  int version = 11;
  Headers headers;
};
struct Answer {
  ResponseHead head;
  std::shared_ptr<ClientExchange> exchange;
};

struct Client::State : std::enable_shared_from_this<Client::State> {
  State(Loop& l, Options o) : loop(l), options(std::move(o)) {
    if (options.proxy_from_environment) proxies = ProxySettings::from_environment();
  }

  // A connection to take a request: HTTP/1.1 if `stream`, else HTTP/2.
  struct Connection {
    std::unique_ptr<Stream> stream;
    std::shared_ptr<Http2Client> http2;
    bool reused = false;
    bool to_proxy = false;  // which takes whole URLs as targets
  };
  struct Host;
  struct Kept {
    Kept(std::unique_ptr<Stream> s, bool p) : stream(std::move(s)), to_proxy(p) {}
    std::unique_ptr<Stream> stream;
    bool to_proxy;
    Clock::time_point since = Clock::now();
    Host* host = nullptr;
  };
  struct Host {
    std::list<Kept> kept;
    std::shared_ptr<Http2Client> http2;
    size_t open = 0;
    bool dialing = false;  // the first time, when the protocol is not known yet
    bool known_http1 = false;
    std::deque<Event*> waiting;
  };

  // Fresh: never a kept one.
  Task<Result<Connection>> acquire(const Url& url, const std::string& socket_path, bool fresh, bool http1_only);
  // An HTTP/1.1 connection that may take another request.
  void give_back(const std::string& key, std::unique_ptr<Stream> stream, bool to_proxy);
  // One that has ended.
  void ended(const std::string& key);
  void close();
  // Ends what runs; see Client.
  void cancel();

  Task<Result<Connection>> dial(const Url& url, const std::string& socket_path, bool http1_only);
  Task<Result<std::unique_ptr<Stream>>> tunnel(const Url& proxy, const Url& url, Clock::time_point deadline);
  Task<Result<std::unique_ptr<Stream>>> secure(std::unique_ptr<Stream> plain, const Url& url,
                                               Clock::time_point deadline, bool http1_only);
  void wake_one(Host& host);
  void sweep();
  void http2_ended(const std::string& key, const Http2Client* client);
  void arm_sweeper();
  size_t http2_in_use() const;

  Loop& loop;
  const Options options;
  ProxySettings proxies;
  std::shared_ptr<TlsClient> tls;
  std::map<std::string, Host> hosts;
  std::unique_ptr<Timer> sweeper;
  bool closed = false, cancelled = false;
  std::set<Stream*> running;  // HTTP/1.1 exchanges
  size_t http2_running = 0;
  Event http2_gone;
};

// One HTTP/2 connection to a server.
std::shared_ptr<Http2Client> start_http2(std::shared_ptr<Client::State> state, std::unique_ptr<Stream> stream,
                                         std::string key);
// Whether it takes further requests.
bool http2_usable(const Http2Client& client);
bool http2_idle(const Http2Client& client);
void http2_cancel(Http2Client& client);
// Ends it if nothing is open on it, and nothing has been for this long.
void http2_close_idle(Http2Client& client, Duration idle);
Task<Result<Answer>> exchange_http2(std::shared_ptr<Http2Client> client, ClientRequest& request, bool& unanswered);

// What tells connections apart: origin, or socket.
std::string connection_key(const Url& url, const std::string& socket_path);
// Passes interim answers over. `received` is set once there was a byte.
Task<Result<ResponseHead>> read_response_head(Stream& stream, Duration timeout, bool& received);

// Sends the request and waits for the head of its answer. `unanswered` says that the connection ended before a byte of
// an answer came.
Task<Result<Answer>> exchange_http1(std::shared_ptr<Client::State> state, Client::State::Connection connection,
                                    ClientRequest& request, std::string key, bool& unanswered);

}  // namespace proa::net
