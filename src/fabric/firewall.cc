#include "fabric/firewall.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>

#include "kernel/conntrack.h"
#include "kernel/nft.h"

namespace proa::fabric {
namespace {

namespace nft = kernel::nft;
using kernel::Bytes;
using nft::Element;
using nft::Family;
using nft::Rule;
using nft::Value;

// Sets: devices of networks; pairs (device, device) of one network; of networks without inter-container
// communication; devices of internal networks; devices whose traffic to the world is masqueraded.
constexpr std::string_view kBridges = "bridges", kSame = "same", kNoIcc = "no-icc", kInternal = "internal",
                           kMasquerade = "masquerade";
constexpr std::string_view kSubnets = "subnets";  // intervals
// Maps: (protocol, address, port) and (protocol, port) of the host to (address, port) of a container.
constexpr std::string_view kPorts = "ports", kPortsAny = "ports-any";
// Their keys once more, as sets: what is let in.
constexpr std::string_view kEntryPorts = "entry-ports", kEntryPortsAny = "entry-ports-any";

constexpr Family kFamilies[] = {Family::kIp, Family::kIp6};

// Registers, in words: the key from kKey on; what a map gives from kTarget on.
constexpr unsigned kKey = 0, kTarget = 8;

constexpr int kRaw = -300, kDestinationNat = -100, kFilter = 0, kSourceNat = 100;
// After every filter a host may have, before connections are confirmed (INT_MAX).
constexpr int kAfterAll = 2147483000;

constexpr uint32_t kStateNew = 1u << 3, kStateEstablished = 1u << 1, kStateRelated = 1u << 2;  // ct state
constexpr uint32_t kStatusDestinationNat = 1u << 5;                                            // ct status

bool is_v4(Family family) { return family == Family::kIp; }
unsigned address_size(Family family) { return is_v4(family) ? 4 : 16; }
unsigned address_words(Family family) { return address_size(family) / 4; }
nft::Type address_type(Family family) { return is_v4(family) ? nft::kIpv4Addr : nft::kIpv6Addr; }

Rule state(uint32_t bits) { return Rule().ct(NFT_CT_STATE, kKey).any_bit(kKey, bits); }
Rule from(std::string_view set) { return Rule().meta(NFT_META_IIFNAME, kKey).in_set(set, kKey); }
Rule to(std::string_view set) { return Rule().meta(NFT_META_OIFNAME, kKey).in_set(set, kKey); }
Rule between(std::string_view set) {
  return Rule().meta(NFT_META_IIFNAME, kKey).meta(NFT_META_OIFNAME, kKey + 4).in_set(set, kKey);
}
Rule destination_translated(Rule rule) { return rule.ct(NFT_CT_STATUS, kKey).any_bit(kKey, kStatusDestinationNat); }

Rule& load_address(Rule& rule, Family family, bool source, unsigned word) {
  const unsigned offset = is_v4(family) ? (source ? 12 : 16) : (source ? 8 : 24);
  return rule.payload(NFT_PAYLOAD_NETWORK_HEADER, offset, address_size(family), word);
}

// The packet's destination as a key of the ports' sets and maps.
Rule load_port_key(Family family, Rule rule, bool with_address) {
  rule.meta(NFT_META_L4PROTO, kKey);
  if (with_address) load_address(rule, family, /*source=*/false, kKey + 1);
  return rule.transport_destination_port(kKey + 1 + (with_address ? address_words(family) : 0));
}

Rule to_this_host() { return Rule().fib_destination_type(kKey).equal_number<uint32_t>(kKey, RTN_LOCAL); }

// Writes the rules of one family.
class Writer {
 public:
  Writer(nft::Batch& batch, Family family, const Names& names, int entry_index)
      : batch_(batch), family_(family), names_(names), entry_index_(entry_index) {}

  void write() {
    batch_.add_table(family_, names_.table);
    sets();
    batch_.add_chain(family_, names_.table, kRulesChain);  // empty: says which version this is
    guard();
    port_translation();
    entry();
    forwarding();
    source_translation();
  }

 private:
  void base(std::string_view chain, std::string_view type, uint32_t hook, int priority) {
    batch_.add_chain(family_, names_.table, chain, nft::BaseChain{type, hook, priority, NF_ACCEPT});
    chain_ = chain;
  }
  void plain(std::string_view chain) {
    batch_.add_chain(family_, names_.table, chain);
    chain_ = chain;
  }
  void rule(const Rule& rule) { batch_.add_rule(family_, names_.table, chain_, rule); }

  void sets() {
    for (const std::string_view name : {kBridges, kInternal, kMasquerade})
      batch_.add_set(family_, names_.table, {.name = name, .key_types = {nft::kIfname}, .data_types = {}});
    batch_.add_set(family_, names_.table,
                   {.name = kSubnets, .key_types = {address_type(family_)}, .data_types = {}, .intervals = true});
    for (const std::string_view name : {kSame, kNoIcc})
      batch_.add_set(family_, names_.table,
                     {.name = name, .key_types = {nft::kIfname, nft::kIfname}, .data_types = {}});
    const nft::Type address = address_type(family_);
    batch_.add_set(family_, names_.table,
                   {.name = kEntryPorts, .key_types = {nft::kInetProto, address, nft::kInetService}, .data_types = {}});
    batch_.add_set(family_, names_.table,
                   {.name = kEntryPortsAny, .key_types = {nft::kInetProto, nft::kInetService}, .data_types = {}});
    batch_.add_set(family_, names_.table,
                   {.name = kPorts,
                    .key_types = {nft::kInetProto, address, nft::kInetService},
                    .data_types = {address, nft::kInetService}});
    batch_.add_set(family_, names_.table,
                   {.name = kPortsAny,
                    .key_types = {nft::kInetProto, nft::kInetService},
                    .data_types = {address, nft::kInetService}});
  }

  // With route_localnet on our bridges, a container could reach what listens on the host's 127.0.0.1.
  void guard() {
    base("guard", "filter", NF_INET_PRE_ROUTING, kRaw);
    if (!is_v4(family_)) return;
    rule(from(kBridges)
             .payload(NFT_PAYLOAD_NETWORK_HEADER, 16, 1, kKey)
             .equal_number<uint8_t>(kKey, 127)
             .drop()
             .comment("the host's loopback addresses are its own"));
  }

  void port_translation() {
    plain("publish");
    for (const bool with_address : {true, false})
      rule(load_port_key(family_, to_this_host(), with_address)
               .map(with_address ? kPorts : kPortsAny, kKey, kTarget)
               .destination_nat(family_, kTarget, kTarget + address_words(family_)));
    base("prerouting", "nat", NF_INET_PRE_ROUTING, kDestinationNat);
    rule(Rule().input_name(names_.entry_in).jump("publish").comment("let in by the host's own rules"));
    rule(from(kBridges).jump("publish"));
    base("output", "nat", NF_INET_LOCAL_OUT, kDestinationNat);
    if (!is_v4(family_)) {
      // The kernel takes no answer for ::1 from a bridge. Left alone, a connection to it is refused at once
      // and clients go on to 127.0.0.1.
      const std::vector<uint8_t> one = Ip::parse("::1")->bytes();
      Rule loopback;
      load_address(loopback, family_, /*source=*/false, kKey).equal(kKey, std::as_bytes(std::span(one)));
      rule(loopback.accept());
    }
    rule(to_this_host().jump("publish"));
  }

  // A packet to a published port has passed all the host's rules for incoming packets when it comes
  // here; a copy re-enters through the pair of devices and is translated there. Only the first packet of
  // a connection takes this way.
  void entry() {
    const std::vector<uint8_t> gateway = Ip::parse(is_v4(family_) ? "192.0.0.8" : "fe80::1")->bytes();
    plain("enter");
    rule(Rule()
             .immediate(kKey, std::as_bytes(std::span(gateway)))
             .immediate(kKey + 4, std::as_bytes(std::span(&entry_index_, 1)))
             .duplicate(kKey, kKey + 4)
             .drop());
    base("input", "filter", NF_INET_LOCAL_IN, kAfterAll);
    rule(Rule().input_name(names_.entry_in).drop());  // published no longer
    rule(Rule().input_name("lo").accept());           // the host's own are translated on their way out
    for (const bool with_address : {true, false}) {
      Rule published = state(kStateNew).fib_destination_type(kKey).equal_number<uint32_t>(kKey, RTN_LOCAL);
      rule(load_port_key(family_, std::move(published), with_address)
               .in_set(with_address ? kEntryPorts : kEntryPortsAny, kKey)
               .jump("enter"));
    }
  }

  void forwarding() {
    base("forward", "filter", NF_INET_FORWARD, kFilter);
    rule(state(kStateEstablished | kStateRelated).accept());
    rule(destination_translated(between(kSame)).accept());
    rule(between(kNoIcc).drop());
    rule(between(kSame).accept());
    rule(from(kInternal).drop());
    rule(to(kInternal).drop());
    rule(destination_translated(Rule()).accept().comment("published ports"));
    rule(to(kBridges).drop().comment("other networks, and the world, see published ports only"));
  }

  void source_translation() {
    base("postrouting", "nat", NF_INET_POST_ROUTING, kSourceNat);
    // By address: where bridged packets pass through here too, they have no incoming device any more.
    Rule inside = to(kBridges);
    load_address(inside, family_, /*source=*/true, kKey).in_set(kSubnets, kKey);
    rule(destination_translated(std::move(inside)).masquerade().comment("so that answers come back through here"));
    rule(Rule()
             .meta(NFT_META_IIFNAME, kKey)
             .in_set(kMasquerade, kKey)
             .meta(NFT_META_OIFNAME, kKey)
             .in_set(kBridges, kKey, false)
             .masquerade());
    if (!is_v4(family_)) return;
    rule(to(kBridges).payload(NFT_PAYLOAD_NETWORK_HEADER, 12, 1, kKey).equal_number<uint8_t>(kKey, 127).masquerade());
  }

  nft::Batch& batch_;
  Family family_;
  const Names& names_;
  int entry_index_;
  std::string_view chain_;
};

Element name_element(const Network& network) {
  return {.key = Value().ifname(network.bridge), .data = {}, .verdict = {}};
}
Element pair_element(const Network& network) {
  return {.key = Value().ifname(network.bridge).ifname(network.bridge), .data = {}, .verdict = {}};
}

using SetElements = std::vector<std::pair<std::string_view, std::vector<Element>>>;

std::vector<Element> subnet_interval(const Prefix& prefix) {
  const auto key = [](const Ip& ip) { return Value().bytes(std::as_bytes(std::span(ip.data(), ip.size()))); };
  std::vector<Element> interval{{.key = key(prefix.address), .data = {}, .verdict = {}}};
  if (const Ip beyond = prefix.last().plus(1); !beyond.unspecified())
    interval.push_back({.key = key(beyond), .data = {}, .verdict = {}, .interval_end = true});
  return interval;
}

SetElements elements_of(const Network& network, Family family) {
  SetElements all{{kBridges, {name_element(network)}}, {kSame, {pair_element(network)}}};
  if (const Subnet* subnet = network.subnet(is_v4(family) ? AF_INET : AF_INET6))
    all.emplace_back(kSubnets, subnet_interval(subnet->prefix));
  if (!network.icc) all.emplace_back(kNoIcc, std::vector{pair_element(network)});
  if (network.internal) all.emplace_back(kInternal, std::vector{name_element(network)});
  if (network.masquerade && !network.internal) all.emplace_back(kMasquerade, std::vector{name_element(network)});
  return all;
}

void add_elements(nft::Batch& batch, Family family, const std::string& table, const Network& network) {
  for (const auto& [set, elements] : elements_of(network, family)) batch.add_elements(family, table, set, elements);
}

struct PortElements {
  std::string_view set;
  std::vector<Element> elements;
};

// What an endpoint's ports are in each of the sets.
std::array<PortElements, 4> port_elements(const Endpoint& endpoint, Family family) {
  std::array<PortElements, 4> all{{{kPorts, {}}, {kPortsAny, {}}, {kEntryPorts, {}}, {kEntryPortsAny, {}}}};
  const Ip& target = is_v4(family) ? endpoint.ipv4 : endpoint.ipv6;
  const auto bytes = [](const Ip& ip) { return std::as_bytes(std::span(ip.data(), ip.size())); };
  for (const Port& port : endpoint.ports) {
    if (!target.given() || port.host_ip.size() != target.size()) continue;
    const bool any = port.host_ip.unspecified();
    Value key = Value().number8(static_cast<uint8_t>(port.protocol));
    if (!any) key.bytes(bytes(port.host_ip));
    key.port(port.host_port);
    const Value data = Value().bytes(bytes(target)).port(port.container_port);
    all[any ? 1 : 0].elements.push_back({.key = key, .data = data, .verdict = {}});
    all[any ? 3 : 2].elements.push_back({.key = std::move(key), .data = {}, .verdict = {}});
  }
  return all;
}

bool has_udp(const Endpoint& endpoint) {
  return std::ranges::any_of(endpoint.ports, [](const Port& port) { return port.protocol == Protocol::kUdp; });
}

// One element a transaction: whatever of it is there goes.
void delete_each(kernel::Netlink& netfilter, Family family, const std::string& table, std::string_view set,
                 std::span<const Element> elements) {
  for (const Element& element : elements) {
    nft::Batch batch;
    batch.delete_elements(family, table, set, {&element, 1});
    static_cast<void>(batch.commit(netfilter));  // ENOENT: it is gone already
  }
}

Result<> delete_all(kernel::Netlink& netfilter, Family family, const std::string& table, std::string_view set,
                    const std::vector<Element>& elements) {
  if (elements.empty()) return {};
  nft::Batch batch;
  batch.delete_elements(family, table, set, elements);
  const Result<> done = batch.commit(netfilter);
  if (!done && done.error().code() != ENOENT) return done;
  if (!done) delete_each(netfilter, family, table, set, elements);
  return {};
}

}  // namespace

Result<bool> Firewall::present() {
  for (const Family family : kFamilies)
    if (!TRY(nft::has_chain(netfilter_, family, names_.table, kRulesChain))) return false;
  return true;
}

Result<> Firewall::write(std::span<const Network> networks, std::span<const Endpoint> endpoints, int entry_index) {
  nft::Batch batch;
  for (const Family family : kFamilies) {
    batch.destroy_table(family, names_.table);
    Writer(batch, family, names_, entry_index).write();
    for (const Network& network : networks)
      if (network.driver == "bridge") add_elements(batch, family, names_.table, network);
    for (const Endpoint& endpoint : endpoints) {
      for (const auto& [set, elements] : port_elements(endpoint, family))
        batch.add_elements(family, names_.table, set, elements);
    }
  }
  Result<> done = batch.commit(netfilter_);
  // The only expression that comes in a module of its own.
  if (!done && (done.error().code() == ENOENT || done.error().code() == EOPNOTSUPP) &&
      done.error().message().contains("chain enter"))
    done = std::unexpected(std::move(done.error()).hint("the kernel needs the modules nft_dup_ipv4 and nft_dup_ipv6"));
  return done;
}

Result<> Firewall::remove() {
  nft::Batch batch;
  for (const Family family : kFamilies) batch.destroy_table(family, names_.table);
  return batch.commit(netfilter_);
}

Result<> Firewall::add_network(const Network& network) {
  nft::Batch batch;
  for (const Family family : kFamilies) add_elements(batch, family, names_.table, network);
  return batch.commit(netfilter_);
}

Result<> Firewall::remove_network(const Network& network) {
  for (const Family family : kFamilies)
    for (const auto& [set, elements] : elements_of(network, family))
      TRY(delete_all(netfilter_, family, names_.table, set, elements));
  return {};
}

Result<> Firewall::publish(const Endpoint& endpoint) {
  nft::Batch batch;
  for (const Family family : kFamilies) {
    for (const auto& [set, elements] : port_elements(endpoint, family))
      batch.add_new_elements(family, names_.table, set, elements);
  }
  if (batch.empty()) return {};
  TRY(batch.commit(netfilter_));
  return forget_flows(endpoint);
}

Result<> Firewall::unpublish(const Endpoint& endpoint) {
  for (const Family family : kFamilies) {
    for (const auto& [set, elements] : port_elements(endpoint, family))
      TRY(delete_all(netfilter_, family, names_.table, set, elements));
  }
  return forget_flows(endpoint);
}

Result<> Firewall::forget_flows(const Endpoint& endpoint) {
  if (!has_udp(endpoint)) return {};
  const auto ours = [&](const kernel::Connection& flow) {
    return std::ranges::any_of(endpoint.ports, [&](const Port& port) {
      return port.protocol == Protocol::kUdp && flow.original.protocol == IPPROTO_UDP &&
             flow.original.destination_port == port.host_port &&
             (port.host_ip.unspecified() || port.host_ip.bytes() == flow.original.destination);
    });
  };
  for (const int family : {AF_INET, AF_INET6})
    TRY(kernel::forget_connections(netfilter_, static_cast<uint8_t>(family), ours));
  return {};
}

}  // namespace proa::fabric
