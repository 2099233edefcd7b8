// `proa registry serve`: the API on its addresses, with all that goes on beside it.
//
// Threads: start(), tick() and stop() are for one thread, which is no loop's.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "oci/registry/collect.h"

namespace proa::oci::registry {

struct TlsSettings {
  std::string certificate, key;  // PEM files; both or neither
  std::string client_ca;         // who may issue client certificates
  bool client_required = false;  // a client without one is sent away
  bool allow_tls12 = false;
};

struct AuthSettings {
  std::string realm = "proa registry";
  std::string htpasswd, policy;  // files
  bool anonymous_pull = false;
  bool client_certificates = false;
  bool own_tokens = false;
  std::string token_key, token_realm, service = "proa-registry", issuer, certificates, jwks;
  std::chrono::seconds token_lifetime{300};
};

// Where repositories come from that are not here.
struct UpstreamSettings {
  std::string prefix;  // of repositories here: "hub" has hub/library/alpine; "": all others
  std::string url;     // https://registry.example[/prefix of its repositories]
  std::string user, password, password_file;
  std::string ca_file;
  bool insecure = false;              // any certificate, plain HTTP if it must be
  std::chrono::seconds tag_ttl{300};  // that a tag is believed without asking
  uint64_t max_bytes = 0;             // of its content that is kept; 0: all
};

struct ServeSettings {
  std::string root;
  std::vector<std::string> listen = {"127.0.0.1:5000"};  // "host:port", "*:port", "unix:///path"
  TlsSettings tls;
  AuthSettings auth;
  bool read_only = false, deletes = true, automatic_mount = true, sparse = false;
  uint64_t max_blob_bytes = 0;  // 0: no limit
  size_t max_manifest_bytes = 4u << 20;
  size_t max_requests = 1024;
  std::chrono::seconds gc_interval{0};  // 0: never
  CollectOptions gc;
  std::vector<UpstreamSettings> mirrors;
  std::string metrics_listen;  // an address of its own for /metrics, in place of the registry's
  bool access_log = true;
  std::chrono::seconds drain{30};  // for requests that run when it is told to stop
};

class RegistryServer {
 public:
  static Result<std::unique_ptr<RegistryServer>> start(ServeSettings settings);
  ~RegistryServer();

  // Where it really listens: "http://127.0.0.1:5000".
  const std::vector<std::string>& places() const;
  // To be called every second or so: reads changed files, closes what is idle, and has garbage collected when it is
  // time, on a thread of its own.
  void tick();
  // Lets running requests end.
  void stop();

 private:
  struct State;
  explicit RegistryServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Serves until SIGTERM or SIGINT; says where in the log.
Result<> serve(ServeSettings settings);

}  // namespace proa::oci::registry
