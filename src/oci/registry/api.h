// The distribution specification's API on repositories, uploads and an authenticator: one handler for net::Server.
//
// Threads: any number of requests on any of its server's loops.
#pragma once

#include <cstdint>

#include "net/server.h"
#include "oci/registry/auth.h"
#include "oci/registry/metrics.h"
#include "oci/registry/repositories.h"
#include "oci/registry/uploads.h"

namespace proa::oci::registry {

class Mirror;

struct ApiOptions {
  bool read_only = false;       // pull alone
  bool deletes = true;          // of tags, manifests and blobs by clients
  bool automatic_mount = true;  // a mount without `from` looks in all repositories that the client may pull
  bool sparse = false;          // manifests whose parts are not there are taken too
  uint64_t max_blob_bytes = 0;  // 0: no limit
  size_t max_manifest_bytes = 4u << 20;
  size_t max_requests = 1024;  // at a time; 429 above. 0: no limit
  bool access_log = true;
  bool metrics = true;  // serves /metrics
};

class Api {
 public:
  Api(Repositories repositories, Authenticator& authenticator, Metrics& metrics, ApiOptions options);

  net::Task<Result<>> handle(net::Request& request, net::Response& response);
  // Where content comes from that is not there; must outlive this.
  void set_mirror(Mirror* mirror) { mirror_ = mirror; }

  const Repositories& repositories() const { return repositories_; }
  Uploads& uploads() { return uploads_; }

 private:
  friend class Call;
  const Repositories repositories_;
  Uploads uploads_;
  Authenticator& authenticator_;
  Metrics& metrics_;
  const ApiOptions options_;
  Mirror* mirror_ = nullptr;
};

}  // namespace proa::oci::registry
