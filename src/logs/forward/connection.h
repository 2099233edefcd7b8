// One connection to a receiver of logs, with blocking calls that end early when there is no reason left to go on.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "logs/options.h"

namespace proa::net {
class TlsClient;
class TlsSession;
}  // namespace proa::net

namespace proa::logs {

// What a forwarder keeps an eye on while it waits: the log's folder and the run that is logged.
class Watch {
 public:
  // One that never ends, for a first try of a connection.
  Watch() = default;
  // `run`: a connection that ends with the run, or none.
  static Result<Watch> open(const std::string& folder, Fd run);

  // Until `fd` has `events` or the time is over (ETIMEDOUT). ECANCELED: the log's folder is not there any more.
  Result<> wait(int fd, short events, int timeout_ms);
  // Until something may have been written, the run has ended, or the time is over.
  Result<> wait_for_change(int timeout_ms);
  Result<> sleep(int ms);

  bool ended() const { return ended_; }
  bool removed() const;

 private:
  Result<bool> poll_once(int fd, short events, int timeout_ms, bool changes);

  std::string folder_;
  Fd changes_, run_;
  bool ended_ = false, gone_ = false;
};

struct TlsFiles {
  std::string authorities, certificate, key;
  bool insecure = false;
};

class Connection {
 public:
  // Names are looked up each time. A "unix" address is tried as a stream, then as datagrams.
  static Result<Connection> open(const Address& address, const TlsFiles& tls, int timeout_ms, Watch& watch);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  bool stream() const { return stream_; }
  // All of it, or one datagram. EMSGSIZE: the datagram is too long.
  Result<> send(std::string_view bytes, int timeout_ms);
  // A datagram that is nothing but a descriptor.
  Result<> send_descriptor(int descriptor, int timeout_ms);
  // Until the other end's system has everything that was sent: streams alone can tell.
  Result<> settle(int timeout_ms);
  // Some bytes; "" at the end.
  Result<std::string> receive(int timeout_ms);
  // What the other end said, or its end, without waiting: an error if it has closed.
  Result<> check();

 private:
  Connection(Fd socket, bool stream, Watch& watch);
  Result<> handshake(const std::string& host, int timeout_ms);

  Fd socket_;
  bool stream_;
  Watch* watch_;
  std::shared_ptr<net::TlsClient> client_;
  std::unique_ptr<net::TlsSession> session_;
};

}  // namespace proa::logs
