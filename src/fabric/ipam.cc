#include "fabric/ipam.h"

#include <sys/random.h>

#include <algorithm>

namespace proa::fabric {
namespace {

bool overlaps_any(const Prefix& prefix, const std::vector<Prefix>& taken) {
  return std::ranges::any_of(taken, [&](const Prefix& other) { return other.given() && prefix.overlaps(other); });
}

// A pool of equal subnets: `count` of them, one after the other.
struct AddressPool {
  uint8_t first[4];
  uint8_t length;
  unsigned count;
};
// moby's defaults: 172.17 to 172.31 as /16, then 192.168 as /20.
constexpr AddressPool kPools[] = {{{172, 17, 0, 0}, 16, 15}, {{192, 168, 0, 0}, 20, 16}};

bool reserved(const Subnet& subnet, const Ip& ip) {
  if (ip == subnet.gateway || ip == subnet.prefix.address) return true;
  if (ip.v4() && subnet.prefix.length < 31 && ip == subnet.prefix.last()) return true;  // broadcast
  return std::ranges::any_of(subnet.auxiliary, [&](const auto& entry) { return entry.second == ip; });
}

Result<Ip> allocate_wanted(const Store& store, const Network& network, const Subnet& subnet, const Ip& wanted,
                           std::string_view endpoint) {
  if (!subnet.prefix.contains(wanted))
    return fail("address ", wanted.text(), ": not in network ", network.name, "'s subnet ", subnet.prefix.text());
  if (reserved(subnet, wanted)) return fail("address ", wanted.text(), ": reserved on network ", network.name);
  const Result<> taken = store.take_lease(network, wanted, endpoint);
  if (!taken && taken.error().code() == EEXIST)
    return fail_errno(EADDRINUSE, "address ", wanted.text(), " on network ", network.name)
        .hint("another container has it");
  TRY(Result<>(taken));
  return wanted;
}

}  // namespace

Result<Prefix> choose_ipv4(const std::vector<Prefix>& taken, bool default_network) {
  for (const AddressPool& pool : kPools) {
    const Ip first = Ip::from_bytes(pool.first, 4);
    for (unsigned i = 0; i < pool.count; ++i) {
      // The first of all is kept for the default network, which may not exist yet.
      if (!default_network && &pool == kPools && i == 0) continue;
      const Prefix candidate{first.plus(uint64_t{i} << (32 - pool.length)), pool.length};
      if (!overlaps_any(candidate, taken)) return candidate;
    }
  }
  return fail("all predefined address pools have been fully subnetted").hint("give a subnet: --subnet 10.99.0.0/24");
}

Result<Prefix> choose_ipv6(const std::vector<Prefix>& taken) {
  for (int attempt = 0; attempt < 16; ++attempt) {
    uint8_t bytes[16] = {0xfd};
    if (::getrandom(bytes + 1, 5, 0) != 5) return fail_errno(errno, "getrandom");
    const Prefix candidate{Ip::from_bytes(bytes, 16), 64};
    if (!overlaps_any(candidate, taken)) return candidate;
  }
  return fail("no free IPv6 subnet found").hint("give one: --subnet fd00:99::/64");
}

Result<Subnet> complete_subnet(const SubnetSpec& spec, const Prefix& prefix) {
  const size_t least = prefix.address.v4() ? 30 : 126;
  if (prefix.length > least) return fail("subnet ", prefix.text(), ": too small for a gateway and a container");
  Subnet subnet{.prefix = prefix, .gateway = {}, .ip_range = {}, .auxiliary = {}};
  if (!spec.ip_range.empty()) {
    subnet.ip_range = TRY_CTX(Prefix::parse(spec.ip_range, true), "ip-range");
    if (subnet.ip_range.length < prefix.length || !prefix.contains(subnet.ip_range.address))
      return fail("ip-range ", spec.ip_range, ": not within subnet ", prefix.text());
  }
  subnet.gateway = prefix.address.plus(1);
  if (!spec.gateway.empty()) subnet.gateway = TRY_CTX(Ip::parse(spec.gateway), "gateway");
  if (!prefix.contains(subnet.gateway))
    return fail("gateway ", subnet.gateway.text(), ": not in subnet ", prefix.text());
  for (const auto& [name, text] : spec.auxiliary) {
    const Ip ip = TRY_CTX(Ip::parse(text), "aux-address ", name);
    if (!prefix.contains(ip)) return fail("aux-address ", name, "=", text, ": not in subnet ", prefix.text());
    subnet.auxiliary.emplace(name, ip);
  }
  return subnet;
}

Result<Ip> allocate(const Store& store, const Network& network, const Subnet& subnet, const Ip& wanted,
                    std::string_view endpoint) {
  if (wanted.given()) return allocate_wanted(store, network, subnet, wanted, endpoint);
  const std::set<Ip> taken = TRY(store.leases(network));
  const Prefix range = subnet.ip_range.given() ? subnet.ip_range : subnet.prefix;
  const Ip last = range.last();
  for (Ip ip = range.address;; ip = ip.plus(1)) {
    if (!reserved(subnet, ip) && !taken.contains(ip)) {
      const Result<> lease = store.take_lease(network, ip, endpoint);
      if (lease) return ip;
      if (lease.error().code() != EEXIST) return std::unexpected(lease.error());
    }
    if (ip == last) break;
  }
  return fail_errno(EADDRNOTAVAIL, "no available addresses on network ", network.name, " (", range.text(), ")");
}

}  // namespace proa::fabric
