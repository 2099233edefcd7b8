// Answers the containers' queries: names of their networks from the records, everything else from the
// servers they or the host use. One thread; no query waits for another; memory is bounded.
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "fabric/dns/message.h"
#include "fabric/dns/names.h"
#include "fabric/dns/poller.h"
#include "fabric/dns/sockets.h"

namespace proa::fabric::dns {

class Server {
 public:
  explicit Server(Poller& poller) : poller_(poller) {}
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // The records as they are now. Containers that came are listened for, those that went are left; what
  // could not be done is in error_of().
  void update(std::vector<Endpoint> endpoints);
  bool serves_any() const { return !served_.empty(); }
  bool serves(std::string_view container) const { return served_.contains(container); }
  std::string error_of(std::string_view container) const;

  // How long wait() may take until expire() has something to do; -1: for ever.
  int next_deadline_ms() const;
  // Gives up on servers that do not answer, and on slow TCP clients.
  void expire();

 private:
  using Clock = std::chrono::steady_clock;
  struct Served {
    uint64_t inode = 0;
    Listeners listeners;
    Fd process;  // pidfd: its end is the container's
  };
  // A query on its way to a server and back.
  struct Forwarded {
    std::string container;
    Packet query;  // with our id
    uint16_t id = 0, asker_id = 0;
    bool tcp = false;
    std::vector<std::string> servers;
    size_t next = 0;  // server to try
    Fd socket;
    Clock::time_point deadline;
    SocketAddress asker;          // of UDP
    int connection = -1;          // of TCP: the client's descriptor
    Packet received;              // over TCP, so far
    bool from_container = false;  // servers are the container's own
  };
  struct Connection {
    std::string container;
    Fd socket;
    Packet in, out;
    bool busy = false;  // its query is being forwarded
    Clock::time_point deadline;
  };

  void start(const Endpoint& endpoint);
  void stop(const std::string& container);
  void read_datagrams(const std::string& container);
  void accept_connections(const std::string& container);
  void on_connection(int fd, uint32_t events);
  void take_queries(Connection& connection);
  void send_on(Connection& connection, const Packet& packet);
  void flush(Connection& connection);
  void drop_connection(int fd);

  // The answer, or nothing when the query was forwarded or is not worth one.
  std::optional<Packet> handle(const std::string& container, PacketView packet, const SocketAddress& asker,
                               int connection);
  bool forward(const std::string& container, PacketView packet, const SocketAddress& asker, int connection);
  bool try_next_server(Forwarded& forwarded);
  void on_server(int fd, uint32_t events);
  void on_server_tcp(Forwarded& forwarded, uint32_t events);
  void finish(int fd, Packet answer);
  void give_up(int fd);
  Result<Fd> server_socket(const Forwarded& forwarded, const SocketAddress& server) const;

  Poller& poller_;
  Names names_;
  std::map<std::string, Served, std::less<>> served_;
  std::map<std::string, std::string, std::less<>> errors_;
  std::map<int, Forwarded> forwarded_;     // by the descriptor of its socket
  std::map<int, Connection> connections_;  // by descriptor
};

}  // namespace proa::fabric::dns
