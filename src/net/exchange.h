// The server's insides: one request with its response, whatever the HTTP version, and what connections share.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "net/server.h"

namespace proa::net {

class ServerConnection;

// A server's connections on one loop. The loop's thread only.
struct Shard {
  Shard(Loop& l, Server::State& s) : loop(l), server(s) {}
  Loop& loop;
  Server::State& server;
  ServerConnection* first = nullptr;
  bool stopping = false;
};

struct Listener {
  Listener(Server::State& s, Loop& l, std::shared_ptr<TlsServer> t) : server(s), loop(l), tls(std::move(t)) {}
  Server::State& server;
  Loop& loop;
  Descriptor socket;
  std::shared_ptr<TlsServer> tls;
  std::string unlink_path;
  std::unique_ptr<Timer> pause;

  // All on its loop's thread.
  void accept();
  void close();
};

struct Server::State : std::enable_shared_from_this<Server::State> {
  State(Loops& l, Handler h, const Options& o);

  Loops& loops;
  const Handler handler;
  const Options options;
  std::vector<std::unique_ptr<Shard>> shards;  // one for each loop
  std::atomic<size_t> connections = 0;
  std::atomic<bool> stopping = false;
  std::atomic<bool> full = false;  // a listener waits for a connection to end
  std::mutex mutex;
  std::condition_variable changed;  // connections or open_listeners have become 0
  std::vector<std::shared_ptr<Listener>> listeners;
  size_t open_listeners = 0;

  void start(Fd socket, const std::shared_ptr<TlsServer>& tls);
  void connection_ended();
  void each_connection(void (ServerConnection::*act)());
};

// In its shard's list for as long as it lives. The shard's thread only.
class ServerConnection {
 public:
  explicit ServerConnection(Shard& shard);
  ServerConnection(const ServerConnection&) = delete;
  virtual ~ServerConnection();
  // Finish what runs, take nothing new. Does not destroy this at once; nor does abort.
  virtual void drain() = 0;
  // End now.
  virtual void abort() = 0;
  ServerConnection* next() const { return next_; }

 protected:
  Shard& shard_;
  const Server::Options& options() const { return shard_.server.options; }

 private:
  ServerConnection* next_;
  ServerConnection** link_;
};

class Exchange {
 public:
  Exchange() {
    request.exchange_ = this;
    response.exchange_ = this;
  }
  Exchange(const Exchange&) = delete;
  virtual ~Exchange() = default;

  Request request;
  Response response;

  virtual Loop& loop() const = 0;
  virtual bool stopping() const = 0;
  // "" at the end.
  virtual Task<Result<std::string_view>> read_body() = 0;
  // Head with the first of the body; `last` if that is all.
  virtual Outlet::Wait begin(std::string_view body, bool last) = 0;
  virtual Outlet::Wait send(std::string_view body) = 0;
  virtual Task<Result<>> send_file(int file, uint64_t offset, uint64_t size) = 0;
  virtual Task<Result<std::unique_ptr<Stream>>> hand_over(std::string_view protocol) = 0;
  virtual void watch_close() = 0;
  virtual Outlet& outlet() = 0;

  // Runs the handler; what it returns says whether the answer may be ended properly.
  Task<bool> run_handler(const Server::Handler& handler);
  void tell_closed();
  // Whether a response body is not to be sent: HEAD, 204, 304.
  bool without_body() const { return request.method() == "HEAD" || !status_allows_body(); }

 protected:
  friend class Request;
  bool status_allows_body() const;
  Job on_close_;
};

// Runs a new connection to its end: TLS, then HTTP/1 or HTTP/2.
Task<> serve_connection(std::shared_ptr<Server::State> server, Shard& shard, Fd socket, std::shared_ptr<TlsServer> tls);
// HTTP/1 on a stream; what was read of it before is its unread bytes. Gives the stream back when the client begins
// with HTTP/2's preface.
Task<std::unique_ptr<Stream>> serve_http1(Shard& shard, std::unique_ptr<Stream> stream, const Peer& peer);
Task<> serve_http2(Shard& shard, std::unique_ptr<Stream> stream, const Peer& peer);

}  // namespace proa::net
