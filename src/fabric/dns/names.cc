#include "fabric/dns/names.h"

#include <sys/random.h>

#include <algorithm>

#include "base/ids.h"

namespace proa::fabric::dns {
namespace {

// Short: a container that is made anew may come back with another address.
constexpr uint32_t kTtl = 10;

bool same_name(std::string_view written, std::string_view lower) {
  return std::ranges::equal(written, lower, {}, [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
}

// NAME.NETWORK is a name too.
std::string_view without_network(std::string_view name, std::string_view network) {
  if (name.size() <= network.size() + 1 || name[name.size() - network.size() - 1] != '.') return name;
  return same_name(network, name.substr(name.size() - network.size()))
             ? name.substr(0, name.size() - network.size() - 1)
             : name;
}

bool called(const Endpoint& endpoint, std::string_view name) {
  if (name.empty()) return false;
  if (same_name(endpoint.name, name) || same_name(endpoint.hostname, name)) return true;
  if (name == short_id(endpoint.container) || name == endpoint.container) return true;
  return std::ranges::any_of(endpoint.aliases, [&](const std::string& alias) { return same_name(alias, name); });
}

bool is_target(const Endpoint& endpoint, std::string_view target) {
  return endpoint.name == target || endpoint.container == target ||
         (target.size() >= 12 && endpoint.container.starts_with(target));
}

bool has_names(const Endpoint& endpoint) { return endpoint.network != kDefaultNetwork; }

void add_addresses(const Endpoint& endpoint, std::vector<Ip>& addresses) {
  for (const Ip& ip : {endpoint.ipv4, endpoint.ipv6})
    if (ip.given() && std::ranges::find(addresses, ip) == addresses.end()) addresses.push_back(ip);
}

// Askers take the first: each in turn is first.
void rotate(std::vector<Ip>& addresses) {
  uint32_t random = 0;
  if (addresses.size() < 2 || ::getrandom(&random, sizeof random, 0) != sizeof random) return;
  std::ranges::rotate(addresses, addresses.begin() + static_cast<long>(random % addresses.size()));
}

}  // namespace

std::optional<std::vector<Ip>> Names::find(std::string_view container, std::string_view name) const {
  std::vector<Ip> addresses;
  bool found = false;
  for (const Endpoint& own : endpoints_) {
    if (own.container != container || !has_names(own)) continue;
    const std::string_view bare = without_network(name, own.network);
    for (const Endpoint& other : endpoints_) {
      if (other.network_id != own.network_id) continue;
      const bool linked = std::ranges::any_of(
          own.links, [&](const auto& link) { return same_name(link.second, name) && is_target(other, link.first); });
      if (!linked && !called(other, bare) && !called(other, name)) continue;
      found = true;
      add_addresses(other, addresses);
    }
  }
  if (!found) return std::nullopt;
  rotate(addresses);
  return addresses;
}

std::optional<Packet> Names::answer(std::string_view container, const Query& query) const {
  if (query.opcode != 0) return plain_answer(query, kNotImplemented);
  if (query.klass != kClassIn) return std::nullopt;
  if (query.type == kTypePtr) {
    const std::optional<Ip> asked = reverse_address(query.name);
    if (!asked) return std::nullopt;
    for (const Endpoint& own : endpoints_)
      for (const Endpoint& other : endpoints_)
        if (own.container == container && has_names(own) && other.network_id == own.network_id &&
            (other.ipv4 == *asked || other.ipv6 == *asked))
          return name_answer(query, cat(other.name, ".", other.network), kTtl);
    return std::nullopt;
  }
  // A name that is ours has no other records than these.
  if (const auto addresses = find(container, query.name)) return address_answer(query, *addresses, kTtl);
  return std::nullopt;
}

Names::Forwarding Names::forwarding(std::string_view container) const {
  Forwarding forwarding;
  for (const Endpoint& own : endpoints_) {
    if (own.container != container) continue;
    forwarding.allowed = forwarding.allowed || own.forwards_names;
    if (forwarding.servers.empty()) forwarding.servers = own.dns.servers;
  }
  return forwarding;
}

}  // namespace proa::fabric::dns
