// The API server: store, catalog, access, admission and HTTP, wired together.
//
// Threads: start(), tick() and stop() are for one thread, which is no loop's.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "kube/apiserver/access/kubeconfig.h"
#include "kube/apiserver/audit/audit.h"

namespace proa::kube::api {

// Where objects are: a folder, or an etcd cluster.
struct DatastoreSettings {
  std::string folder;
  std::vector<std::string> endpoints;  // of etcd; the folder is not used then
  std::string ca_file, certificate_file, key_file;
  std::string prefix = "/registry/";
};

struct ServerSettings {
  std::string data_dir = "/var/lib/proa/cluster";  // keys and certificates are in pki/ below it
  DatastoreSettings datastore;
  std::vector<std::string> listen = {"*:6443"};
  std::string service_cidr = "10.43.0.0/16";
  std::string cluster_domain = "cluster.local";
  std::vector<std::string> names;  // the serving certificate is also for these
  bool anonymous = true;
  std::string token_file;              // static tokens; empty: none
  std::string issuer;                  // of service-account tokens; empty: by the cluster's domain
  std::vector<std::string> audiences;  // that they are for; empty: the issuer
  AuditOptions audit;
  std::chrono::milliseconds drain{10'000};  // for requests that run when it is told to stop
};

class Server {
 public:
  // Serves once it returns.
  static Result<std::unique_ptr<Server>> start(ServerSettings settings);
  ~Server();

  // Where it listens: "https://127.0.0.1:6443"; the first is for clients on this machine.
  const std::vector<std::string>& places() const;
  // The administrator's way in.
  KubeconfigEntry admin_entry() const;
  // To be called every minute or so: renews certificates. Whether it did: the administrator has a new way in.
  bool tick();
  // Lets running requests end.
  void stop();

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace proa::kube::api
