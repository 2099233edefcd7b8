// Where registries are and how they are spoken to: mirrors, plain HTTP, authorities, client certificates.
//
// From $PROA_REGISTRIES, else /etc/proa/registries.yaml, and before that without root's rights
// $XDG_CONFIG_HOME/proa/registries.yaml; YAML or JSON:
//
//   registries:
//     docker.io:
//       mirrors:                             # tried in order, then the registry itself
//         - url: https://mirror.example      # .../v2/ is added unless the path has it
//           digests-only: true               # not asked what a tag means
//     registry.example:5000:
//       insecure: true                       # plain HTTP, or a certificate of anybody's
//       ca: /etc/ssl/example.pem
//       client-certificate: /etc/ssl/me.pem
//       client-key: /etc/ssl/me.key
//     bad.example:
//       blocked: true
//
// For registries that are not in that file, containerd's hosts.toml (hosts_file.h), the first of
// /etc/{proa,containerd,docker}/certs.d/HOST[:PORT]/hosts.toml. And for all servers, as Docker, podman and containerd
// do, from /etc/{docker,containers,containerd}/certs.d/HOST[:PORT]: *.crt are authorities, *.cert with *.key is the
// client's own.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "net/url.h"
#include "oci/image/remote/hosts_file.h"

namespace proa::oci::image::remote {

struct Mirror {
  std::string url;
  bool digests_only = false;
};

// How one host is spoken to.
struct HostSettings {
  bool insecure = false;
  bool blocked = false;
  std::vector<Mirror> mirrors;
  std::string ca_pem;  // authorities trusted beside the system's
  std::string certificate_file, key_file;
  std::vector<std::pair<std::string, std::string>> headers;  // for each request
  std::optional<int64_t> connect_timeout_ms;
};

// One server that may have a registry's content.
struct Endpoint {
  std::string domain;  // of the registry that is meant: "docker.io"
  net::Url base;       // its path ends with "/v2", or has a prefix of the server's after it
  // The scheme is to be found out: plain HTTP first where that stays within the machine, else TLS first.
  bool open_scheme = false;
  bool loopback = false;
  bool mirror = false;
  bool foreign = false;  // the server is to be told which registry is meant (ns=)
  Capabilities capabilities;
  // Beside those of the host's name: hosts.toml's.
  std::shared_ptr<const HostSettings> own;

  // "registry.example:5000", "mirror https://mirror.example"
  std::string text() const;
};

class Registries {
 public:
  Registries() = default;
  // Errors name file and field. Bounds: 1 MiB, 1000 registries, 100 mirrors each.
  static Result<Registries> parse(std::string_view text);
  // The files above; missing ones are fine.
  static Result<Registries> load();

  // The registry's own server.
  Result<Endpoint> endpoint(const std::string& domain) const;
  // Its mirrors, then itself.
  Result<std::vector<Endpoint>> endpoints(const std::string& domain) const;
  // How a "host[:port]" is spoken to; reads certs.d.
  Result<HostSettings> settings(const std::string& authority) const;
  // ... as this endpoint's.
  Result<HostSettings> settings(const Endpoint& endpoint) const;

  // As if the file said so (--tls-verify=false).
  void make_insecure(const std::string& domain) { insecure_.insert(domain); }
  // For tests; in place of the folders above.
  void set_certificate_folders(std::vector<std::string> folders) { folders_ = std::move(folders); }
  void set_hosts_folders(std::vector<std::string> folders) { hosts_folders_ = std::move(folders); }

 private:
  const HostSettings* named(const std::string& domain) const;
  bool is_insecure(const std::string& domain) const;
  // Of the first folder that has one for the registry.
  Result<std::optional<HostsFile>> hosts_file(const std::string& domain) const;
  Result<Endpoint> upstream(const std::string& domain, const HostsEntry* server) const;
  Result<Endpoint> listed(const std::string& domain, const HostsEntry& entry) const;

  std::map<std::string, HostSettings> hosts_;
  std::set<std::string> insecure_;
  std::vector<std::string> folders_ = {"/etc/docker/certs.d", "/etc/containers/certs.d", "/etc/containerd/certs.d"};
  std::vector<std::string> hosts_folders_ = {"/etc/proa/certs.d", "/etc/containerd/certs.d", "/etc/docker/certs.d"};
};

// The file that users are told to write.
std::string registries_file();

}  // namespace proa::oci::image::remote
