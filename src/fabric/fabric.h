// The networks of one host: bridges and the addresses on them, what is published, names. There is no
// daemon: records on disk and the kernel hold all state, every call can be made from a process that
// lives for a moment, any number of them at once, and each may be killed at any instant. What a killed
// call leaves is taken away by the next one that meets it, or by converge().
//
//   Fabric fabric = TRY(Fabric::open({}));
//   Attachment web = TRY(fabric.attach({.container = id, .name = "web", .network = "bridge",
//                                       .netns = "/proc/4711/ns/net", .pid = 4711, .ports = ports}));
//   ... hand web.reserved to whoever outlives this process (the shim): they hold the host's ports ...
//   TRY(fabric.detach_all(id));
//
// Threads: one at a time per object; calls enter network namespaces with their own thread only.
// Needs CAP_NET_ADMIN and CAP_SYS_ADMIN. Errors read as Docker's where Docker's users know them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "fabric/address.h"
#include "fabric/names.h"

namespace proa::fabric {

using Texts = std::map<std::string, std::string, std::less<>>;

// Networks that are always there.
inline constexpr std::string_view kDefaultNetwork = "bridge", kHostNetwork = "host", kNoNetwork = "none";

// One address range of a network, as asked for: all but the subnet may be empty; with an empty subnet
// one is chosen.
struct SubnetSpec {
  std::string subnet, gateway, ip_range;
  Texts auxiliary;  // name to an address that is never given out
};

struct NetworkSpec {
  std::string name;
  std::string driver = "bridge";
  std::vector<SubnetSpec> subnets;  // at most one of each family; IPv4 is added when there is none
  bool ipv4 = true;
  bool ipv6 = false;  // with no IPv6 subnet given, a unique local one is made
  bool internal = false;
  Texts options;       // com.docker.network.bridge.{name,enable_icc,enable_ip_masquerade,host_binding_ipv4},
                       // com.docker.network.driver.mtu; anything else is refused
  Texts ipam_options;  // kept and shown: the one IPAM driver there is has none
  Texts labels;
  bool attachable = false;  // kept and shown: containers can be attached to every network
  // A configuration network is no network but subnets, options and labels for others, which name it.
  bool config_only = false;
  std::string config_from;
};

struct Subnet {
  Prefix prefix;
  Ip gateway;
  Prefix ip_range;  // may be empty
  std::map<std::string, Ip, std::less<>> auxiliary;
};

struct Network {
  std::string id;  // 64 hex digits; of the networks that are always there, made from the name
  std::string name, driver;
  std::string created;  // RFC 3339
  std::vector<Subnet> subnets;
  bool internal = false, ipv4 = true, ipv6 = false, attachable = false, config_only = false;
  std::string config_from;  // name of the configuration network it was made from
  Texts options, ipam_options, labels;
  // What the options say.
  std::string bridge;  // the device's name; empty: it has none
  uint32_t mtu = 0;    // 0: the kernel's
  bool icc = true, masquerade = true;
  Ip host_binding;  // where ports without an address are published; empty: everywhere

  const Subnet* subnet(int family) const;
  bool builtin() const { return name == kDefaultNetwork || name == kHostNetwork || name == kNoNetwork; }
};

enum class Protocol : uint8_t { kTcp = 6, kUdp = 17, kSctp = 132 };
std::string_view protocol_name(Protocol protocol);

// As asked for: a range of container ports goes to a range of host ports of the same size, or one
// container port to the first of a range that is free. Host port 0: any.
struct PortRequest {
  Protocol protocol = Protocol::kTcp;
  uint16_t container_first = 0, container_last = 0;
  Ip host_ip;  // empty: the network's host_binding, or every address of the host
  uint16_t host_first = 0, host_last = 0;
};
// Docker's form: [[IP:]HOST[-HOST]:]CONTAINER[-CONTAINER][/tcp|udp|sctp]; an IPv6 address in brackets.
Result<PortRequest> parse_port(std::string_view text);

struct Port {
  Protocol protocol = Protocol::kTcp;
  Ip host_ip;
  uint16_t host_port = 0, container_port = 0;
  bool operator==(const Port&) const = default;
  std::string text() const;  // "0.0.0.0:8080->80/tcp"
};

struct DnsSettings {
  std::vector<std::string> servers, search, options;
};

struct AttachRequest {
  std::string container;  // id
  std::string name;       // container's name: resolvable on user networks
  std::string hostname;
  std::string network = std::string(kDefaultNetwork);
  // The network namespace: a path that stays good while it lives, such as /proc/PID/ns/net.
  std::string netns;
  // A process whose end means that the namespace is done with; 0: the namespace outlives processes.
  int pid = 0;
  std::string interface;       // empty: the first free of eth0, eth1, ...
  Ip ipv4, ipv6;               // fixed addresses
  std::vector<Ip> link_local;  // further ones of the interface, 169.254.0.0/16 and fe80::/64
  Texts sysctls;               // of the interface: "ipv4.conf.log_martians" to "1"
  std::string mac;
  std::vector<std::string> aliases;                        // further names on this network
  std::vector<std::pair<std::string, std::string>> links;  // name or id of a container, alias for this one alone
  std::vector<PortRequest> ports;
  DnsSettings dns;
  int gateway_priority = 0;  // the highest has the default route; the first attached among equals
};

struct Endpoint {
  std::string id, container, name, hostname, network, network_id;
  std::string netns, interface, host_interface, mac;
  uint64_t netns_inode = 0;  // with the path, tells the namespace from a later one at the same path
  int pid = 0;
  Ip ipv4, ipv6, gateway, gateway6;
  std::vector<Ip> link_local;
  Texts sysctls;
  uint8_t ipv4_length = 0, ipv6_length = 0;
  std::vector<std::string> aliases;
  std::vector<std::pair<std::string, std::string>> links;
  std::vector<Port> ports;
  DnsSettings dns;
  bool forwards_names = true;  // false on internal networks
  int gateway_priority = 0;
  bool default_route = false;
};

struct Attachment {
  Endpoint endpoint;
  // Bound, silent sockets, one per port: while they are open no process of the host can take the port.
  // Nothing is ever read from them. Close them with the container.
  std::vector<Fd> reserved;
};

struct Options {
  std::string state = "/var/lib/proa/network";  // networks: kept for good
  std::string run = "/run/proa/network";        // endpoints, leases: gone at the next boot, as they should be
  std::string resolver = "/proc/self/exe";      // the program whose __dns role answers names
  Names names = {};                             // by open(), for `state`
};

// What becomes of a detached endpoint's devices. Taking them away waits some 20 ms for the kernel; a
// namespace that ends takes them with it in the background.
enum class Devices : uint8_t { kRemove, kDieWithNamespace };

class Fabric {
 public:
  // Makes the folders if missing.
  static Result<Fabric> open(Options options);

  Result<Network> create_network(const NetworkSpec& spec);
  // All, those that are always there first, then by name.
  Result<std::vector<Network>> networks() const;
  // By name, id or an id's unambiguous beginning. ENOENT when there is none.
  Result<Network> network(std::string_view reference) const;
  // EBUSY while containers are attached. When nothing is attached anywhere, all rules and devices go with it.
  Result<> remove_network(std::string_view reference);

  Result<Attachment> attach(const AttachRequest& request);
  // Takes the endpoint away, and its devices. ENOENT when there is none.
  Result<> detach(std::string_view container, std::string_view network);
  // ... from all networks; none is fine. Ports and addresses are free at once.
  Result<> detach_all(std::string_view container, Devices devices = Devices::kRemove);
  // The container answers to another name from now on.
  Result<> rename(std::string_view container, std::string_view name);
  // ... and knows others by these names alone.
  Result<> set_links(std::string_view container, const std::vector<std::pair<std::string, std::string>>& links);
  Result<std::vector<Endpoint>> endpoints() const;
  Result<std::vector<Endpoint>> endpoints_of(std::string_view container) const;
  Result<std::vector<Endpoint>> endpoints_on(const Network& network) const;

  // Takes away what killed calls left: endpoints whose namespace is gone, with their leases and ports, addresses that
  // no endpoint has, temporary files.
  Result<> sweep();
  // sweep(); takes away devices that no endpoint has; makes bridges that are
  // missing; writes the whole firewall table anew in one transaction, or removes it when no network is
  // in use; sees to the resolver. To be called at boot and whenever in doubt.
  Result<> converge();

  // What on this host keeps containers from the network: other tables that drop what is forwarded, each
  // with what to do about it. Empty when all is well.
  Result<std::vector<std::string>> warnings() const;

 private:
  explicit Fabric(Options options) : options_(std::move(options)) {}
  Options options_;
};

// --- The files of a container, as Docker writes them ---

struct HostsEntry {
  std::string ip;
  std::vector<std::string> names;
};
std::string hosts_file(const std::vector<HostsEntry>& entries);
// On a user network: the embedded resolver's address. On the default one, or without any: the host's own
// (`host_text`), whose loopback servers are left out. `settings` replace what they name.
std::string resolv_conf(std::string_view host_text, const DnsSettings& settings, bool embedded);
inline constexpr std::string_view kResolverAddress = "127.0.0.11";

}  // namespace proa::fabric
