// Endpoints: attached, detached, and all of it put right.
#include "fabric/fabric.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/ids.h"
#include "fabric/device.h"
#include "fabric/dns/process.h"
#include "fabric/firewall.h"
#include "fabric/ipam.h"
#include "fabric/ports.h"
#include "fabric/records.h"
#include "fabric/store.h"
#include "kernel/file.h"
#include "kernel/nft.h"

namespace proa::fabric {
namespace {

Result<uint64_t> inode_of(const std::string& netns) {
  struct stat status{};
  if (::stat(netns.c_str(), &status) != 0) return fail_errno(errno, "network namespace ", netns);
  return status.st_ino;
}

bool alive(const Endpoint& endpoint) {
  const Result<uint64_t> inode = inode_of(endpoint.netns);
  return inode && *inode == endpoint.netns_inode;
}

// The kernel's side of the fabric, opened for one call.
struct Kernel {
  kernel::Netlink route, netfilter;

  static Result<Kernel> open() {
    return Kernel{TRY(kernel::Netlink::open(NETLINK_ROUTE)), TRY(kernel::Netlink::open(NETLINK_NETFILTER))};
  }
};

// One change: holds the lock from its beginning to its end.
class Change {
 public:
  static Result<Change> begin(const Options& options) {
    Store store(options);
    Fd lock = TRY(store.lock());
    return Change(options, std::move(store), std::move(lock), TRY(Kernel::open()));
  }

  const Store& store() const { return store_; }
  // Those that have devices.
  Result<std::vector<Network>> networks() const {
    std::vector<Network> all = TRY(store_.networks());
    std::erase_if(all, [](const Network& network) { return network.config_only; });
    return all;
  }
  Kernel& kernel() { return kernel_; }
  Firewall firewall() { return {kernel_.netfilter, options_.names}; }

  // The bridge, and the tables of the firewall if somebody flushed them.
  Result<int> prepare(const Network& network) {
    bool made_bridge = false, made_entry = false;
    const int bridge = TRY(ensure_bridge(kernel_.route, network, made_bridge));
    if (made_bridge) {
      TRY_CTX(enable_forwarding(network.ipv6), "switch on forwarding");
      const std::vector<Endpoint> endpoints = TRY(store_.endpoints());
      TRY(adopt(kernel_.route, network, bridge, endpoints));
    }
    const int entry = TRY(ensure_entry(kernel_.route, options_.names, made_entry));
    if (made_entry || !TRY(firewall().present()))
      TRY(rewrite_firewall(entry));
    else if (made_bridge)
      TRY(firewall().add_network(network));
    return bridge;
  }

  Result<> rewrite_firewall(int entry) {
    const std::vector<Network> networks = TRY(this->networks());
    std::vector<Endpoint> endpoints = TRY(store_.endpoints());
    std::erase_if(endpoints, [](const Endpoint& endpoint) { return !alive(endpoint); });
    return firewall().write(networks, endpoints, entry);
  }

  // Kernel first, record last: killed on the way, it is done again by whoever finds the record.
  Result<> take_away(const Endpoint& endpoint, Devices devices = Devices::kRemove) {
    TRY(firewall().unpublish(endpoint));
    if (devices == Devices::kRemove) TRY(kernel::delete_link(kernel_.route, endpoint.host_interface));
    if (const auto network = TRY(store_.network(endpoint.network)); network && network->id == endpoint.network_id)
      for (const Ip& ip : {endpoint.ipv4, endpoint.ipv6})
        if (ip.given()) TRY(store_.drop_lease(*network, ip));
    return store_.remove_endpoint(endpoint);
  }

  // Endpoints whose namespace is gone, and leases without an endpoint.
  Result<size_t> collect() {
    size_t count = 0;
    std::set<std::string, std::less<>> living;
    for (const Endpoint& endpoint : TRY(store_.endpoints())) {
      if (alive(endpoint)) {
        living.insert(endpoint.id);
        continue;
      }
      TRY(take_away(endpoint));
      ++count;
    }
    for (const Network& network : TRY(networks())) count += TRY(store_.drop_orphan_leases(network, living));
    return count;
  }

  const Options& options() const { return options_; }

 private:
  Change(const Options& options, Store store, Fd lock, Kernel kernel)
      : options_(options), store_(std::move(store)), lock_(std::move(lock)), kernel_(std::move(kernel)) {}

  Options options_;
  Store store_;
  Fd lock_;
  Kernel kernel_;
};

Result<Endpoint> new_endpoint(const AttachRequest& request, const Network& network) {
  Endpoint e;
  e.id = TRY(random_id());
  e.container = request.container;
  e.name = request.name;
  e.hostname = request.hostname;
  e.network = network.name;
  e.network_id = network.id;
  e.netns = request.netns;
  e.netns_inode = TRY(inode_of(request.netns));
  e.pid = request.pid;
  e.interface = request.interface;
  e.host_interface = cat(kHostPrefix, short_id(e.id));
  e.aliases = request.aliases;
  e.links = request.links;
  e.link_local = request.link_local;
  e.sysctls = request.sysctls;
  e.dns = request.dns;
  e.forwards_names = !network.internal;
  e.gateway_priority = request.gateway_priority;
  if (!request.mac.empty()) e.mac = mac_text(TRY(parse_mac(request.mac)));
  return e;
}

Result<> check_request(const AttachRequest& request, const Network& network) {
  TRY(check_container_id(request.container));
  if (network.config_only) return fail("network ", network.name, ": is a configuration network, nothing can be on it");
  if (network.driver != "bridge") return fail("network ", network.name, ": has no devices to attach");
  if (!request.interface.empty() && (!kernel::valid_link_name(request.interface) || request.interface.contains('%')))
    return fail("interface \"", request.interface, "\": not a name for a network device");
  if (network.internal && !request.ports.empty())
    return fail("network ", network.name, ": is internal, no port can be published");
  for (const auto& [ip, family] : {std::pair(request.ipv4, AF_INET), std::pair(request.ipv6, AF_INET6)})
    if (ip.given() && network.subnet(family) == nullptr)
      return fail("address ", ip.text(), ": network ", network.name, " has no subnet of its family");
  for (const Ip& ip : request.link_local)
    if (!is_link_local(ip)) return fail("invalid link local IP address: ", ip.text());
  return {};
}

// What attach() has done so far, undone unless all of it succeeds.
class Attaching {
 public:
  Attaching(Change& change, const Network& network, Endpoint endpoint)
      : change_(change), network_(network), endpoint_(std::move(endpoint)) {}
  Attaching(const Attaching&) = delete;
  Attaching& operator=(const Attaching&) = delete;
  ~Attaching() {
    if (!done_ && begun_) static_cast<void>(change_.take_away(endpoint_));
  }

  Result<Attachment> run(const AttachRequest& request) {
    begun_ = true;
    TRY(lease_addresses(request));
    reservation_ = TRY(reserve(request.ports, network_, endpoint_));
    const std::vector<Endpoint> others = TRY(change_.store().endpoints_of(endpoint_.container));
    endpoint_.default_route = takes_default_route(others);
    TRY(change_.store().write_endpoint(endpoint_));  // before anything is made that must be found by it
    TRY(connect(request));
    endpoint_.ports = reservation_.ports;
    TRY(change_.store().write_endpoint(endpoint_));
    TRY(publish_ports());
    TRY(demote(others));
    if (network_.name != kDefaultNetwork) TRY(dns::serve(change_.options(), endpoint_));
    done_ = true;
    return Attachment{.endpoint = std::move(endpoint_), .reserved = std::move(reservation_.sockets)};
  }

 private:
  Result<> lease_addresses(const AttachRequest& request) {
    for (const Subnet& subnet : network_.subnets) {
      const bool v4 = subnet.prefix.address.v4();
      const Ip ip = TRY(lease(subnet, v4 ? request.ipv4 : request.ipv6));
      (v4 ? endpoint_.ipv4 : endpoint_.ipv6) = ip;
      (v4 ? endpoint_.ipv4_length : endpoint_.ipv6_length) = subnet.prefix.length;
      if (!network_.internal) (v4 ? endpoint_.gateway : endpoint_.gateway6) = subnet.gateway;
    }
    if (endpoint_.mac.empty())
      endpoint_.mac = mac_text(mac_for(endpoint_.ipv4.given() ? endpoint_.ipv4 : endpoint_.ipv6));
    return {};
  }

  // Where the dead hold what is wanted, they are buried first.
  Result<Ip> lease(const Subnet& subnet, const Ip& wanted) {
    Result<Ip> ip = allocate(change_.store(), network_, subnet, wanted, endpoint_.id);
    const bool full = !ip && (ip.error().code() == EADDRINUSE || ip.error().code() == EADDRNOTAVAIL);
    if (!full || TRY(change_.collect()) == 0) return ip;
    return allocate(change_.store(), network_, subnet, wanted, endpoint_.id);
  }

  bool takes_default_route(const std::vector<Endpoint>& others) const {
    if (!endpoint_.gateway.given() && !endpoint_.gateway6.given()) return false;
    return std::ranges::none_of(others, [&](const Endpoint& other) {
      return other.default_route && other.gateway_priority >= endpoint_.gateway_priority;
    });
  }

  Result<> connect(const AttachRequest& request) {
    const int bridge = TRY(change_.prepare(network_));
    const Fd netns = TRY(kernel::open(endpoint_.netns.c_str(), O_RDONLY));
    return wire(change_.kernel().route, network_, bridge, netns.get(), endpoint_, !request.interface.empty(),
                !request.ports.empty());
  }

  Result<> publish_ports() {
    Result<> done = change_.firewall().publish(endpoint_);
    if (!done && done.error().code() == EEXIST && TRY(change_.collect()) > 0)
      done = change_.firewall().publish(endpoint_);
    if (done || done.error().code() != EEXIST) return done;
    return taken();
  }

  Result<> taken() {
    for (const Endpoint& other : TRY(change_.store().endpoints()))
      for (const Port& theirs : other.ports)
        for (const Port& ours : endpoint_.ports)
          if (other.id != endpoint_.id && theirs.protocol == ours.protocol && theirs.host_port == ours.host_port &&
              theirs.host_ip.size() == ours.host_ip.size())
            return owned_by(ours, other);
    return fail_errno(EADDRINUSE, "publish ports");
  }

  static Failure owned_by(const Port& port, const Endpoint& owner) {
    return Failure(
               Error(cat("Bind for ", host_text(port.host_ip, port.host_port), " failed: port is already allocated"),
                     EADDRINUSE))
        .hint(cat("container ", owner.name.empty() ? owner.container : owner.name, " publishes it"));
  }

  // The route itself was replaced when the new device was set up.
  Result<> demote(const std::vector<Endpoint>& others) {
    for (Endpoint other : others) {
      if (!endpoint_.default_route || !other.default_route) continue;
      other.default_route = false;
      TRY(change_.store().write_endpoint(other));
    }
    return {};
  }

  Change& change_;
  const Network& network_;
  Endpoint endpoint_;
  Reservation reservation_;
  bool begun_ = false, done_ = false;
};

// After an endpoint with the default route went, the best of the others gets it.
Result<> promote(Change& change, std::string_view container) {
  std::vector<Endpoint> others = TRY(change.store().endpoints_of(container));
  std::erase_if(others, [](const Endpoint& e) { return !e.gateway.given() && !e.gateway6.given(); });
  if (others.empty()) return {};
  Endpoint& best = *std::ranges::max_element(others, {}, &Endpoint::gateway_priority);
  if (!alive(best)) return {};
  const Fd netns = TRY(kernel::open(best.netns.c_str(), O_RDONLY));
  TRY(set_default_route(netns.get(), best));
  best.default_route = true;
  return change.store().write_endpoint(best);
}

// Nothing of the resolver stays where it has nobody to answer.
Result<> leave_names(Change& change, const Endpoint& endpoint) {
  const auto named = [](const Endpoint& e) { return e.network != kDefaultNetwork; };
  const std::vector<Endpoint> others = TRY(change.store().endpoints_of(endpoint.container));
  return named(endpoint) && std::ranges::none_of(others, named) ? dns::leave(endpoint) : Result<>{};
}

Result<> remove_leftover_files(const Options& options) {
  for (const std::string& folder : {options.run + "/endpoints", options.state}) TRY(remove_temporaries(folder));
  return {};
}

Result<> take_away_remains(Change& change) {
  TRY(remove_leftover_files(change.options()));
  TRY(change.collect());
  return {};
}

// Nothing is attached: bridges, tables and devices go, records of networks stay.
Result<> take_down(Change& change) {
  for (const Network& network : TRY(change.networks())) TRY(kernel::delete_link(change.kernel().route, network.bridge));
  TRY(remove_entry(change.kernel().route, change.options().names));
  return change.firewall().remove();
}

Result<> remove_configuration(Change& change, const Network& configuration) {
  for (const Network& network : TRY(change.networks()))
    if (network.config_from == configuration.name)
      return fail_errno(EBUSY, "configuration network ", configuration.name, " is in use: ", network.name)
          .hint("remove the networks that were made from it first");
  return change.store().remove_network(configuration);
}

}  // namespace

Result<> Fabric::remove_network(std::string_view reference) {
  Change change = TRY(Change::begin(options_));
  const Network network = TRY(this->network(reference));
  if (network.builtin()) return fail(network.name, " is a pre-defined network and cannot be removed");
  if (network.config_only) return remove_configuration(change, network);
  const std::vector<Endpoint> attached = TRY(endpoints_on(network));
  if (!attached.empty())
    return fail_errno(EBUSY, "network ", network.name, " has active endpoints: ", attached.front().name,
                      attached.size() > 1 ? cat(" and ", attached.size() - 1, " more") : std::string())
        .hint("stop the containers, or disconnect them from the network");
  if (TRY(change.store().endpoints()).empty()) {
    TRY(take_down(change));
  } else {
    TRY(kernel::delete_link(change.kernel().route, network.bridge));
    TRY(change.firewall().remove_network(network));
  }
  return change.store().remove_network(network);
}

Result<Attachment> Fabric::attach(const AttachRequest& request) {
  Change change = TRY(Change::begin(options_));
  const Network network = TRY(this->network(request.network));
  TRY(check_request(request, network));
  for (const Endpoint& other : TRY(change.store().endpoints_of(request.container))) {
    if (other.network != network.name) continue;
    if (alive(other))
      return fail_errno(EEXIST, "endpoint with name ", request.name, " already exists in network ", network.name);
    TRY(change.take_away(other));
  }
  Attaching attaching(change, network, TRY(new_endpoint(request, network)));
  return attaching.run(request);
}

Result<> Fabric::detach(std::string_view container, std::string_view network) {
  Change change = TRY(Change::begin(options_));
  const Network from = TRY(this->network(network));
  for (const Endpoint& endpoint : TRY(change.store().endpoints_of(container))) {
    if (endpoint.network != from.name) continue;
    TRY(change.take_away(endpoint));
    if (!alive(endpoint)) return {};
    if (endpoint.default_route) TRY(promote(change, container));
    return leave_names(change, endpoint);
  }
  return fail_errno(ENOENT, "container ", container, " is not connected to network ", from.name);
}

Result<> Fabric::detach_all(std::string_view container, Devices devices) {
  Change change = TRY(Change::begin(options_));
  for (const Endpoint& endpoint : TRY(change.store().endpoints_of(container))) TRY(change.take_away(endpoint, devices));
  return {};
}

Result<> Fabric::rename(std::string_view container, std::string_view name) {
  const Change change = TRY(Change::begin(options_));
  for (Endpoint endpoint : TRY(change.store().endpoints_of(container))) {
    endpoint.name = name;
    TRY(change.store().write_endpoint(endpoint));
  }
  return {};
}

Result<> Fabric::set_links(std::string_view container, const std::vector<std::pair<std::string, std::string>>& links) {
  const Change change = TRY(Change::begin(options_));
  for (Endpoint endpoint : TRY(change.store().endpoints_of(container))) {
    endpoint.links = links;
    TRY(change.store().write_endpoint(endpoint));
  }
  return {};
}

Result<std::vector<Endpoint>> Fabric::endpoints() const { return Store(options_).endpoints(); }
Result<std::vector<Endpoint>> Fabric::endpoints_of(std::string_view container) const {
  return Store(options_).endpoints_of(container);
}
Result<std::vector<Endpoint>> Fabric::endpoints_on(const Network& network) const {
  std::vector<Endpoint> all = TRY(endpoints());
  std::erase_if(all, [&](const Endpoint& e) { return e.network_id != network.id || !alive(e); });
  return all;
}

Result<> Fabric::sweep() {
  Change change = TRY(Change::begin(options_));
  return take_away_remains(change);
}

Result<> Fabric::converge() {
  Change change = TRY(Change::begin(options_));
  TRY(take_away_remains(change));
  const std::vector<Endpoint> endpoints = TRY(change.store().endpoints());
  const std::vector<Network> networks = TRY(change.networks());
  TRY(remove_strays(change.kernel().route, networks, endpoints));
  if (endpoints.empty()) return take_down(change);
  for (const Network& network : networks) {
    const auto on_it = [&](const Endpoint& e) { return e.network_id == network.id; };
    if (std::ranges::none_of(endpoints, on_it)) continue;
    TRY(change.prepare(network));
    TRY_CTX(enable_forwarding(network.ipv6), "switch on forwarding");
  }
  bool made = false;
  const int entry = TRY(ensure_entry(change.kernel().route, options_.names, made));
  TRY(change.rewrite_firewall(entry));
  for (const Endpoint& endpoint : endpoints)
    if (endpoint.network != kDefaultNetwork) TRY(dns::serve(options_, endpoint));
  return {};
}

Result<std::vector<std::string>> Fabric::warnings() const {
  std::vector<std::string> all;
  kernel::Netlink netfilter = TRY(kernel::Netlink::open(NETLINK_NETFILTER));
  for (const auto& chain : TRY(kernel::nft::list_chains(netfilter)))
    if (chain.base && chain.hook == NF_INET_FORWARD && chain.policy == NF_DROP && chain.type == "filter")
      all.push_back(cat("chain ", chain.name, " of table ", chain.table,
                        " drops what is forwarded by default: containers reach the world, and are reached, only as far "
                        "as it has rules for their bridges"));
  return all;
}

}  // namespace proa::fabric
