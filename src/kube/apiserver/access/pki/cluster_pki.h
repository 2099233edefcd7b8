// The cluster's own keys and certificates, in one folder with the names that kubeadm gives them:
//
//   ca.crt ca.key                        signs the certificates of servers, users and nodes
//   apiserver.crt apiserver.key          what the API server shows
//   admin.crt admin.key                  a user of the group system:masters
//   sa.key sa.pub                        sign and verify service-account tokens; sa.pub may hold further public keys
//   front-proxy-ca.crt front-proxy-ca.key, front-proxy-client.crt front-proxy-client.key
//                                        what the API server shows to extension API servers
//
// What is missing, damaged, not for the right names or near its end is made anew. An authority is renewed with its key,
// so that what it signed stays good; one without a key is left alone. Files appear whole, mode 0600.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "kube/apiserver/access/pki/certificate.h"

namespace proa::kube::api::pki {

struct ClusterPkiOptions {
  std::string folder;
  // Whom the serving certificate is for, beside localhost and the cluster's own names; addresses or DNS names.
  std::vector<std::string> names;
  std::string cluster_domain = "cluster.local";
  // First address of the service range.
  std::string service_address = "10.43.0.1";
};

// The host's name and the addresses of its interfaces, for `names`. Links' own addresses (fe80::) are left out.
std::vector<std::string> names_of_host();

class ClusterPki {
 public:
  // Makes or renews all that needs it. `now` in seconds since 1970.
  static Result<ClusterPki> open(ClusterPkiOptions options, int64_t now);

  // What is near its end, again; which files have changed. To be called now and then while the cluster runs.
  Result<std::vector<std::string>> renew(int64_t now);

  std::string path(std::string_view file) const { return cat(options_.folder, "/", file); }
  const Authority& authority() const { return authority_; }
  const Authority& front_proxy() const { return front_proxy_; }
  std::string authority_pem() const { return authority_.certificate.pem(); }
  // The admin's certificate and key, for kubeconfigs.
  const Certificate& admin() const { return admin_; }
  const Key& admin_key() const { return admin_key_; }
  const Key& token_key() const { return token_keys_.front(); }
  // Those whose tokens are believed; token_key() first.
  const std::vector<Key>& token_keys() const { return token_keys_; }

 private:
  struct Leaf;
  explicit ClusterPki(ClusterPkiOptions options, Authority authority, Authority front_proxy, Certificate admin,
                      Key admin_key, std::vector<Key> token_keys)
      : options_(std::move(options)),
        authority_(std::move(authority)),
        front_proxy_(std::move(front_proxy)),
        admin_(std::move(admin)),
        admin_key_(std::move(admin_key)),
        token_keys_(std::move(token_keys)) {}

  ClusterPkiOptions options_;
  Authority authority_, front_proxy_;
  Certificate admin_;
  Key admin_key_;
  std::vector<Key> token_keys_;
};

}  // namespace proa::kube::api::pki
