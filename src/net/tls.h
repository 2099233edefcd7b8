// TLS by OpenSSL: who we are, whom we trust, and one session on a connected socket. Nothing of OpenSSL is set up
// before the first create().
//
// A TlsServer or TlsClient is shared by any number of sessions and threads. A TlsSession belongs to its Stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "net/tls_socket.h"

struct ssl_st;
struct ssl_ctx_st;

namespace proa::net {

// What the peer's verified certificate says. Times and chains are checked by then.
struct PeerCertificate {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names;
  std::string user_id;    // what Kubernetes keeps in the subject beside the names (OID 1.3.6.1.4.1.57683.2)
  std::string sha256;     // of the DER form, hex
  int64_t not_after = 0;  // seconds since 1970
  // With ClientAuth::kJudge: why it is not to be believed, "certificate has expired"; empty otherwise.
  std::string fault;
};

class TlsSession {
 public:
  enum class Status : uint8_t { kDone, kWantRead, kWantWrite, kEnd, kFailed };
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  Status handshake();
  Status read(std::span<char> to, size_t& got);
  Status write(std::string_view from, size_t& sent);
  // Sends close_notify.
  Status shutdown();
  // All that the kernel had was read, and decrypted, and given out: it will tell of more.
  bool drained() const;
  // Data that can be read without asking the kernel, whether it is decrypted yet or not.
  bool pending() const;
  // What failed last.
  const std::string& error() const { return error_; }

  // "h2", "http/1.1" or "": what both sides agreed on.
  std::string_view protocol() const;
  // "TLSv1.3"
  std::string_view version() const;
  // Null when the peer sent none or it could not be verified.
  std::unique_ptr<PeerCertificate> peer_certificate() const;

 private:
  friend class TlsServer;
  friend class TlsClient;
  TlsSession(ssl_st* ssl, int socket) : ssl_(ssl), socket_{.fd = socket} {}
  Status judge(int returned);

  ssl_st* ssl_;
  TlsSocket socket_;
  bool starved_ = false;  // the last read wanted more than had come
  std::string error_;
};

class TlsServer {
 public:
  enum class ClientAuth : uint8_t { kNone, kRequest, kJudge, kRequire };
  struct Options {
    std::string certificate_file;  // PEM: the server's certificate, then intermediate ones
    std::string key_file;          // PEM
    std::string client_ca_file;    // PEM: who may issue client certificates
    // kRequest: a client may come without one, but not with one that does not verify. kJudge: with any, and the
    // server's user looks at PeerCertificate::fault.
    ClientAuth client_auth = ClientAuth::kNone;
    bool allow_tls12 = false;  // TLS 1.3 only, otherwise
    bool http2 = true;         // offered by ALPN beside http/1.1
  };
  // Errors name the file.
  static Result<std::shared_ptr<TlsServer>> create(Options options);
  ~TlsServer();

  // Reads the files anew, for connections from now on; on an error the old ones stay.
  Result<> reload();
  Result<std::unique_ptr<TlsSession>> session(int socket) const;

 private:
  explicit TlsServer(Options options) : options_(std::move(options)) {}
  const Options options_;
  mutable std::mutex mutex_;
  ssl_ctx_st* context_ = nullptr;
};

class TlsClient {
 public:
  struct Options {
    std::string ca_file;           // PEM; trusted beside nothing else. Empty: the system's authorities
    std::string ca_pem;            // trusted beside those of ca_file or the system's
    std::string certificate_file;  // PEM: the client's own
    std::string key_file;
    bool insecure = false;  // any certificate will do
    bool http2 = true;      // offered by ALPN
    bool http = true;       // false: no protocol is offered at all
  };
  static Result<std::shared_ptr<TlsClient>> create(Options options);
  ~TlsClient();

  // `host` is what the certificate must be for: a name or an IP address. `http2` false: http/1.1 is offered alone.
  Result<std::unique_ptr<TlsSession>> session(int socket, const std::string& host, bool http2) const;

 private:
  explicit TlsClient(Options options) : options_(std::move(options)) {}
  const Options options_;
  ssl_ctx_st* context_ = nullptr;
};

}  // namespace proa::net
