// What is on disk. state/NAME.json: one network each, durable. run/endpoints/CONTAINER@NETWORK: one
// endpoint each. run/leases/NETWORK-ID/ADDRESS: a symlink whose target is the endpoint's id; making it
// is atomic, so an address is given out once, and by its target it is known who has it. run/lock: held
// exclusively by whoever changes anything.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "fabric/fabric.h"

namespace proa::fabric {

// Temporary files that killed processes left in a folder; the lock is held.
Result<> remove_temporaries(const std::string& folder);

class Store {
 public:
  explicit Store(const Options& options) : options_(options) {}

  Result<> make_folders() const;
  // Waits for its turn; the lock goes with the descriptor, or with the process.
  Result<Fd> lock() const;

  Result<std::vector<Network>> networks() const;
  // By exact name; nothing when there is none.
  Result<std::optional<Network>> network(std::string_view name) const;
  Result<> write_network(const Network& network) const;
  Result<> remove_network(const Network& network) const;

  Result<std::vector<Endpoint>> endpoints() const;
  Result<std::vector<Endpoint>> endpoints_of(std::string_view container) const;
  Result<> write_endpoint(const Endpoint& endpoint) const;
  Result<> remove_endpoint(const Endpoint& endpoint) const;
  std::string endpoints_folder() const { return options_.run + "/endpoints"; }

  // EEXIST when somebody has the address.
  Result<> take_lease(const Network& network, const Ip& address, std::string_view endpoint) const;
  Result<> drop_lease(const Network& network, const Ip& address) const;
  Result<std::set<Ip>> leases(const Network& network) const;
  // Takes away those whose endpoint is not among `endpoints`.
  Result<size_t> drop_orphan_leases(const Network& network, const std::set<std::string, std::less<>>& endpoints) const;

 private:
  std::string lease_folder(const Network& network) const { return options_.run + "/leases/" + network.id; }
  Result<std::vector<Endpoint>> read_endpoints(std::string_view prefix) const;
  Options options_;
};

}  // namespace proa::fabric
