// Sockets: names resolved, connections made, listeners opened. All descriptors are non-blocking and close-on-exec.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "net/loop.h"

namespace proa::net {

// A place to listen at or connect to: "tcp://host:port", "host:port" or "unix:///path". Host "" or "*" is every
// address of this machine; port 0 any free one.
struct Endpoint {
  std::string host;
  uint16_t port = 0;
  std::string path;  // of a unix socket

  static Result<Endpoint> parse(std::string_view text);
  bool is_unix() const { return !path.empty(); }
  std::string text() const;
};

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  // "127.0.0.1:80", "[::1]:80", "unix"
  std::string text() const;
};

// Addresses of a host name in the order to try: the hosts file, then DNS, by c-ares on the blocking pool; no name
// service modules of the host's are loaded. An address is itself.
Task<Result<std::vector<SocketAddress>>> resolve(std::string host, uint16_t port, Duration timeout);
// Tries the addresses one after the other; each has its share of the time.
Task<Result<Fd>> connect_tcp(std::string host, uint16_t port, Duration timeout);
Result<Fd> connect_unix_stream(const std::string& path);

// For a connected TCP socket: small writes go at once, and a peer that has vanished is noticed in some two minutes.
void tune_tcp(int socket);

// The socket file of a unix endpoint is made anew if nobody listens on an old one; mode 0660.
Result<Fd> listen_on(const Endpoint& endpoint, int backlog = 4096);
// Where a listener listens, its real port included.
Endpoint local_endpoint(int socket);

}  // namespace proa::net
