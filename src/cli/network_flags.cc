#include <algorithm>

#include "base/text.h"
#include "base/values.h"
#include "cli/container_flag_parts.h"
#include "cli/container_flags.h"
#include "fabric/address.h"
#include "fabric/device.h"

namespace proa::cli {
namespace {

using engine::ContainerConfig;
using engine::PortConfig;

std::vector<std::string> both(const Invocation& in, std::string_view flag, std::string_view other) {
  std::vector<std::string> out = in.texts(flag);
  for (std::string& text : in.texts(other)) out.push_back(std::move(text));
  return out;
}

// 80, 80/udp, 3000-3005/tcp
Result<> expose(const std::string& text, std::vector<std::string>& to) {
  std::string_view protocol = text;
  std::string_view last = cut(protocol, '/');
  if (protocol.empty()) protocol = "tcp";
  const auto first = parse_number<uint16_t>(cut(last, '-'));
  const auto end = last.empty() ? first : parse_number<uint16_t>(last);
  if (!first || !end || *first == 0 || *end < *first || (protocol != "tcp" && protocol != "udp" && protocol != "sctp"))
    return fail("invalid range format for --expose: ", text).hint("PORT, PORT/udp or PORT-PORT");
  for (int port = *first; port <= *end; ++port) to.push_back(cat(port, "/", protocol));
  return {};
}

// NETWORK, or name=NETWORK,alias=NAME,ip=ADDRESS...
Result<engine::NetworkConfig> parse_network(const std::string& given) {
  engine::NetworkConfig network;
  if (given.find('=') == std::string::npos) {
    network.name = given;
    return network;
  }
  for (const std::string_view part : split(given, ',')) {
    std::string_view value = part;
    const std::string_view key = cut(value, '=');
    if (key == "name")
      network.name = value;
    else if (key == "alias")
      network.aliases.emplace_back(value);
    else if (key == "ip")
      network.ip = value;
    else if (key == "ip6")
      network.ip6 = value;
    else if (key == "mac-address")
      network.mac = value;
    else if (key == "gw-priority") {
      const auto priority = parse_number<int>(value);
      if (!priority) return fail("--network ", given, ": gw-priority '", value, "' is not a number");
      network.gateway_priority = *priority;
    } else if (key == "link-local-ip") {
      network.link_local.emplace_back(value);
    } else if (key == "driver-opt") {
      TRY_CTX(add_driver_option(std::string(value), network), "--network ", given);
    } else {
      return fail("--network ", given, ": invalid field key ", key)
          .hint("name, alias, driver-opt, gw-priority, ip, ip6, link-local-ip or mac-address");
    }
  }
  return network;
}

}  // namespace

Result<> check_addresses(const ContainerConfig& config) {
  for (const std::string& server : config.dns)
    if (!fabric::Ip::parse(server)) return fail("--dns: IP address is not correctly formatted: ", server);
  for (const std::string& host : config.extra_hosts) {
    const size_t at = host.find_first_of(":=");
    if (at == std::string::npos || at == 0) return fail("bad format for add-host: \"", host, "\"").hint("HOST:IP");
    std::string ip = host.substr(at + 1);
    if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
    if (ip != "host-gateway" && !fabric::Ip::parse(ip)) return fail("invalid IP address in add-host: \"", ip, "\"");
  }
  const std::string& name = config.hostname;
  if (name.size() > 64 || name.find_first_of(" \t\n/") != std::string::npos)
    return fail("invalid hostname format: ", name).hint("at most 64 letters, digits, '-' and '.'");
  for (const std::string* mac : {&config.mac_address})
    if (!mac->empty() && !fabric::parse_mac(*mac)) return fail(*mac, " is not a valid mac address");
  for (const engine::NetworkConfig& network : config.networks) {
    if (!network.mac.empty() && !fabric::parse_mac(network.mac))
      return fail(network.mac, " is not a valid mac address");
    for (const std::string* ip : {&network.ip, &network.ip6})
      if (!ip->empty() && !fabric::Ip::parse(*ip)) return fail("invalid IP address: ", *ip);
    for (const std::string& text : network.link_local)
      if (const auto ip = fabric::Ip::parse(text); !ip || !fabric::is_link_local(*ip))
        return fail("invalid link local IP address: ", text).hint("169.254.x.x or fe80::x");
  }
  return {};
}

Result<> read_networks(const Invocation& in, ContainerConfig& to) {
  const std::vector<std::string> names = both(in, "network", "net");
  const std::vector<std::string> aliases = both(in, "network-alias", "net-alias");
  to.mac_address = in.text("mac-address");
  for (const std::string& given : names) {
    engine::NetworkConfig network = TRY(parse_network(given));
    if (network.name == "default") network.name = "bridge";
    to.networks.push_back(std::move(network));
  }
  const std::vector<std::string> link_local = in.texts("link-local-ip");
  if (to.networks.empty() && (!aliases.empty() || !link_local.empty() || in.is_set("ip") || in.is_set("ip6")))
    to.networks.push_back({.name = "bridge"});
  if (!to.networks.empty()) {
    engine::NetworkConfig& first = to.networks.front();
    for (const std::string& alias : aliases) first.aliases.push_back(alias);
    first.link_local.insert(first.link_local.end(), link_local.begin(), link_local.end());
    if (in.is_set("ip")) first.ip = in.text("ip");
    if (in.is_set("ip6")) first.ip6 = in.text("ip6");
    to.network_mode = first.name;
    if (first.name == "none" || first.name == "host" || first.name.starts_with("container:")) {
      if (to.networks.size() > 1)
        return fail("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
      if (!first.aliases.empty() || !first.ip.empty() || !first.link_local.empty())
        return fail("network-scoped aliases and addresses are only supported for user-defined networks");
      to.networks.clear();
    }
  }
  for (const std::string& text : in.texts("publish"))
    for (PortConfig& port : TRY(parse_publish(text))) to.ports.push_back(std::move(port));
  to.publish_all = in.on("publish-all");
  for (const std::string& text : in.texts("expose")) TRY(expose(text, to.exposed_ports));
  to.dns = in.texts("dns");
  to.dns_search = in.texts("dns-search");
  to.dns_options = both(in, "dns-option", "dns-opt");
  to.extra_hosts = in.texts("add-host");
  to.links = in.texts("link");
  return {};
}

Result<> add_driver_option(const std::string& text, engine::NetworkConfig& to) {
  const size_t at = text.find('=');
  if (at == 0 || at == std::string::npos) return fail("driver-opt: \"", text, "\" is not NAME=VALUE");
  to.driver_options[text.substr(0, at)] = text.substr(at + 1);
  return {};
}

Result<std::vector<PortConfig>> parse_publish(const std::string& text) {
  std::string body = text, protocol = "tcp";
  if (const size_t slash = body.rfind('/'); slash != std::string::npos) {
    protocol = body.substr(slash + 1);
    body.resize(slash);
  }
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") return fail("invalid proto: ", protocol);
  std::string ip, host, container;
  const size_t last = body.rfind(':');
  container = last == std::string::npos ? body : body.substr(last + 1);
  if (last != std::string::npos) {
    const std::string before = body.substr(0, last);
    const size_t second = before.rfind(':');
    host = second == std::string::npos ? before : before.substr(second + 1);
    if (second != std::string::npos) ip = before.substr(0, second);
    if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  }
  const auto range = [&](const std::string& ports) -> Result<std::pair<int, int>> {
    if (ports.empty()) return std::pair(0, 0);
    std::string_view rest = ports;
    const auto first = parse_number<uint16_t>(cut(rest, '-'));
    const auto end = rest.empty() ? first : parse_number<uint16_t>(rest);
    if (!first || !end || *first == 0 || *end < *first) return fail("invalid port in --publish ", text, ": ", ports);
    return std::pair(int{*first}, int{*end});
  };
  const auto [from, to] = TRY(range(container));
  const auto [host_from, host_to] = TRY(range(host));
  if (from == 0) return fail("No port specified: ", text, "<empty>");
  if (host_from != 0 && host_to - host_from != to - from)
    return fail("invalid ranges specified for container and host Ports: ", container, " and ", host);
  std::vector<PortConfig> out;
  for (int port = from; port <= to; ++port)
    out.push_back({.host_ip = ip,
                   .host_port = static_cast<uint16_t>(host_from == 0 ? 0 : host_from + port - from),
                   .container_port = static_cast<uint16_t>(port),
                   .protocol = protocol});
  return out;
}

}  // namespace proa::cli
