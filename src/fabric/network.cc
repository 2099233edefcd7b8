// Networks: made, found, removed.
#include <fcntl.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include "base/clock.h"
#include "base/ids.h"
#include "fabric/device.h"
#include "fabric/fabric.h"
#include "fabric/firewall.h"
#include "fabric/ipam.h"
#include "fabric/records.h"
#include "fabric/store.h"
#include "kernel/route.h"

namespace proa::fabric {
namespace {

constexpr std::string_view kNullDriver = "null";
constexpr size_t kMostNetworkName = 128;  // with a container's id it becomes a file name

Network without_devices(std::string_view name, std::string_view driver, std::string_view id) {
  Network network;
  network.id = std::string(id);
  network.name = name;
  network.driver = driver;
  return network;
}
const Network& host_network() {
  static const Network network =
      without_devices(kHostNetwork, "host", "686f737470726f612d6e6574776f726b2d6e616d657370616365000000000000");
  return network;
}
const Network& no_network() {
  static const Network network =
      without_devices(kNoNetwork, kNullDriver, "6e6f6e6570726f612d6e6574776f726b2d6e616d657370616365000000000000");
  return network;
}

// What a new subnet must keep clear of.
Result<std::vector<Prefix>> taken_prefixes(const std::vector<Network>& networks) {
  std::vector<Prefix> taken;
  for (const Network& network : networks)
    for (const Subnet& subnet : network.subnets)
      if (!network.config_only) taken.push_back(subnet.prefix);
  kernel::Netlink route = TRY(kernel::Netlink::open(NETLINK_ROUTE));
  for (const kernel::Route& one : TRY(kernel::list_routes(route)))
    if (one.prefix_length != 0 && one.type == RTN_UNICAST)
      taken.push_back({Ip::from_bytes(one.destination.data(), one.destination.size()), one.prefix_length});
  return taken;
}

Result<Prefix> given_prefix(const SubnetSpec& spec, const std::vector<Network>& networks) {
  const Prefix prefix = TRY_CTX(Prefix::parse(spec.subnet), "subnet");
  for (const Network& other : networks)
    for (const Subnet& subnet : other.subnets)
      if (!other.config_only && prefix.overlaps(subnet.prefix))
        return fail("Pool overlaps with other one on this address space: ", prefix.text(), " and ",
                    subnet.prefix.text(), " of network ", other.name);
  return prefix;
}

bool has_family(const std::vector<Subnet>& subnets, int family) {
  return std::ranges::any_of(subnets, [&](const Subnet& s) { return s.prefix.address.family() == family; });
}

// Those that were asked for; of a configuration network they may overlap others.
Result<std::vector<Subnet>> given_subnets(const NetworkSpec& spec, const std::vector<Network>& networks) {
  std::vector<Subnet> subnets;
  for (const SubnetSpec& one : spec.subnets) {
    if (one.subnet.empty()) {
      if (!one.gateway.empty() || !one.ip_range.empty() || !one.auxiliary.empty())
        return fail("gateway, ip-range and aux-address: need a subnet");
      continue;
    }
    const Prefix prefix = TRY(given_prefix(one, networks));
    if (has_family(subnets, prefix.address.family()))
      return fail("subnet ", one.subnet, ": a network has one subnet of a family");
    subnets.push_back(TRY(complete_subnet(one, prefix)));
  }
  return subnets;
}

Result<std::vector<Subnet>> choose_subnets(const NetworkSpec& spec, const std::vector<Network>& networks) {
  if (spec.config_only) return given_subnets(spec, {});
  std::vector<Subnet> subnets = TRY(given_subnets(spec, networks));
  const std::vector<Prefix> taken = TRY(taken_prefixes(networks));
  const SubnetSpec rest;  // a gateway or range without a subnet has none to be in
  if (spec.ipv4 && !has_family(subnets, AF_INET)) {
    const Prefix chosen = TRY(choose_ipv4(taken, spec.name == kDefaultNetwork));
    subnets.insert(subnets.begin(), TRY(complete_subnet(rest, chosen)));
  }
  if (spec.ipv6 && !has_family(subnets, AF_INET6)) {
    const Prefix chosen = TRY(choose_ipv6(taken));
    subnets.push_back(TRY(complete_subnet(rest, chosen)));
  }
  if (subnets.empty()) return fail("network ", spec.name, ": needs IPv4 or IPv6");
  return subnets;
}

// What the configuration network says, in place of what was left out.
Result<NetworkSpec> configured(const Store& store, NetworkSpec spec) {
  if (spec.config_from.empty()) return spec;
  if (spec.config_only) return fail("network ", spec.name, ": a configuration network cannot be made from another");
  if (!spec.subnets.empty() || !spec.options.empty() || !spec.ipam_options.empty() || spec.ipv6 || !spec.ipv4)
    return fail("user specified configurations are not supported if the network depends on a configuration network")
        .hint(cat("leave subnets, options and address families to network ", spec.config_from));
  const auto from = TRY(store.network(spec.config_from));
  if (!from) return fail_errno(ENOENT, "configuration network ", spec.config_from, " not found");
  if (!from->config_only) return fail("network ", from->name, ": is not a configuration network");
  for (const Subnet& subnet : from->subnets) {
    SubnetSpec one{.subnet = subnet.prefix.text(), .gateway = subnet.gateway.text(), .ip_range = {}, .auxiliary = {}};
    if (subnet.ip_range.given()) one.ip_range = subnet.ip_range.text();
    for (const auto& [name, ip] : subnet.auxiliary) one.auxiliary.emplace(name, ip.text());
    spec.subnets.push_back(std::move(one));
  }
  spec.ipv4 = from->ipv4, spec.ipv6 = from->ipv6;
  spec.options = from->options, spec.ipam_options = from->ipam_options;
  spec.labels.insert(from->labels.begin(), from->labels.end());  // its own go before
  return spec;
}

Result<Network> make_network(const Store& store, const NetworkSpec& given) {
  const NetworkSpec spec = TRY(configured(store, given));
  const std::vector<Network> existing = TRY(store.networks());
  Network network;
  network.id = TRY(random_id());
  network.name = spec.name;
  network.driver = spec.config_only ? kNullDriver : spec.driver;
  network.created = format_rfc3339(Clock::system().wall());
  network.internal = spec.internal;
  network.options = spec.options;
  network.labels = spec.labels;
  network.ipam_options = spec.ipam_options;
  network.attachable = spec.attachable;
  network.config_only = spec.config_only;
  network.config_from = spec.config_from;
  TRY(apply_options(network));
  for (const Network& other : existing)
    if (!network.config_only && other.bridge == network.bridge)
      return fail("network ", spec.name, ": device ", network.bridge, " belongs to network ", other.name);
  network.subnets = TRY_CTX(choose_subnets(spec, existing), "network ", spec.name);
  network.ipv4 = spec.config_only ? spec.ipv4 : network.subnet(AF_INET) != nullptr;
  network.ipv6 = spec.config_only ? spec.ipv6 : network.subnet(AF_INET6) != nullptr;
  TRY(store.write_network(network));
  return network;
}

NetworkSpec default_network(const Names& names) {
  NetworkSpec spec;
  spec.name = kDefaultNetwork;
  if (names.bridge != Names().bridge) spec.options.emplace("com.docker.network.bridge.name", names.bridge);
  return spec;
}

Result<> check_spec(const NetworkSpec& spec) {
  TRY(check_name(spec.name, "network name"));
  if (spec.name.size() > kMostNetworkName) return fail("network name: longer than ", kMostNetworkName, " characters");
  if (spec.name == kHostNetwork || spec.name == kNoNetwork || spec.name == "default" || spec.name == "container")
    return fail("network ", spec.name, ": the name is reserved");
  if (spec.driver != "bridge")
    return fail("driver ", spec.driver, ": not known").hint("networks with devices of their own have driver bridge");
  return {};
}

bool is_id_prefix(const Network& network, std::string_view reference) {
  return !reference.empty() && network.id.starts_with(reference);
}

}  // namespace

const Subnet* Network::subnet(int family) const {
  const auto found =
      std::ranges::find_if(subnets, [&](const Subnet& s) { return s.prefix.address.family() == family; });
  return found == subnets.end() ? nullptr : &*found;
}

Result<Fabric> Fabric::open(Options options) {
  options.names = names_of(options.state);
  Fabric fabric(std::move(options));
  const Store store(fabric.options_);
  TRY(store.make_folders());
  if (TRY(store.network(kDefaultNetwork))) return fabric;
  const Fd lock = TRY(store.lock());
  if (!TRY(store.network(kDefaultNetwork))) TRY(make_network(store, default_network(fabric.options_.names)));
  return fabric;
}

Result<Network> Fabric::create_network(const NetworkSpec& spec) {
  TRY(check_spec(spec));
  const Store store(options_);
  const Fd lock = TRY(store.lock());
  if (TRY(store.network(spec.name)))
    return Failure(Error(cat("network with name ", spec.name, " already exists"), EEXIST));
  return make_network(store, spec);
}

Result<std::vector<Network>> Fabric::networks() const {
  std::vector<Network> all{host_network(), no_network()};
  for (Network& network : TRY(Store(options_).networks()))
    all.insert(network.name == kDefaultNetwork ? all.begin() : all.end(), std::move(network));
  return all;
}

Result<Network> Fabric::network(std::string_view reference) const {
  if (reference == kHostNetwork) return host_network();
  if (reference == kNoNetwork) return no_network();
  if (const Result<> name = check_name(reference, "network"); !name) return std::unexpected(name.error());
  if (auto exact = TRY(Store(options_).network(reference))) return *std::move(exact);
  std::vector<Network> all = TRY(networks());
  std::erase_if(all, [&](const Network& network) { return !is_id_prefix(network, reference); });
  if (all.empty())
    return Failure(Error(cat("network ", reference, " not found"), ENOENT).hint("`proa network ls` lists them"));
  if (all.size() > 1)
    return fail("network ", reference, ": the id is ambiguous, ", all.size(), " networks begin with it");
  return std::move(all.front());
}

}  // namespace proa::fabric
