#include "engine/network.h"

#include <fcntl.h>

#include <algorithm>

#include "base/ids.h"
#include "base/text.h"
#include "engine/shim_client.h"
#include "fabric/fabric.h"
#include "kernel/file.h"

namespace proa::engine {
namespace {

// Written in place: a running container has it mounted.
Result<> write(const std::string& path, std::string_view text) {
  Fd file = TRY(kernel::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
  return kernel::write_all(file.get(), text);
}

// host-gateway: the host, as the container reaches it.
std::string host_line(const Container& c, const std::string& entry) {
  const size_t at = entry.find_first_of(":=");
  std::string ip = entry.substr(at + 1);
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  if (ip == "host-gateway") {
    ip = "127.0.0.1";
    for (const Attachment& network : c.state.networks)
      if (!network.gateway.empty()) {
        ip = network.gateway;
        break;
      }
  }
  return cat(ip, "\t", entry.substr(0, at), "\n");
}

std::string hosts(const Container& c) {
  std::string out =
      "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
  for (const std::string& entry : c.config.extra_hosts) out += host_line(c, entry);
  std::string names = c.config.hostname;
  if (!c.config.domainname.empty()) names = cat(c.config.hostname, ".", c.config.domainname, " ", c.config.hostname);
  for (const Attachment& network : c.state.networks) {
    if (!network.ip.empty()) out += cat(network.ip, "\t", names, "\n");
    if (!network.ip6.empty()) out += cat(network.ip6, "\t", names, "\n");
  }
  return out;
}

fabric::DnsSettings dns_settings(const ContainerConfig& config) {
  return {.servers = config.dns, .search = config.dns_search, .options = config.dns_options};
}

// Names of other containers are answered on networks that users made.
bool has_resolver(const Container& c) {
  return std::ranges::any_of(c.config.networks,
                             [](const NetworkConfig& n) { return n.name != fabric::kDefaultNetwork; });
}

// What systemd-resolved listens on is the host's alone; behind it are the real servers.
std::string host_resolv(bool host_network) {
  std::string text = kernel::read_file("/etc/resolv.conf").value_or(std::string());
  if (text.find("nameserver 127.0.0.53") != std::string::npos && !host_network)
    if (auto real = kernel::read_file("/run/systemd/resolve/resolv.conf")) text = std::move(*real);
  return text;
}

Result<fabric::Fabric> open_fabric(const Folders& folders) {
  return fabric::Fabric::open({.state = folders.network(), .run = folders.network_run()});
}

Result<fabric::Ip> address(const std::string& text, const char* flag) {
  if (text.empty()) return fabric::Ip();
  return TRY_CTX(fabric::Ip::parse(text), flag);
}

Result<fabric::Protocol> protocol_of(const std::string& name) {
  for (const auto protocol : {fabric::Protocol::kTcp, fabric::Protocol::kUdp, fabric::Protocol::kSctp})
    if (fabric::protocol_name(protocol) == name) return protocol;
  return fail("invalid proto: ", name);
}

Result<std::vector<fabric::PortRequest>> port_requests(const Container& c) {
  std::vector<fabric::PortRequest> out;
  out.reserve(c.config.ports.size());
  for (const PortConfig& port : c.config.ports)
    out.push_back({.protocol = TRY(protocol_of(port.protocol)),
                   .container_first = port.container_port,
                   .container_last = port.container_port,
                   .host_ip = TRY(address(port.host_ip, "--publish")),
                   .host_first = port.host_port,
                   .host_last = port.host_port});
  if (!c.config.publish_all) return out;
  for (const std::string& exposed : c.resolved.exposed_ports) {
    const fabric::PortRequest port = TRY_CTX(fabric::parse_port(exposed), "exposed port ", exposed);
    const bool published = std::ranges::any_of(out, [&](const fabric::PortRequest& p) {
      return p.container_first == port.container_first && p.protocol == port.protocol;
    });
    if (!published) out.push_back(port);
  }
  return out;
}

Attachment to_attachment(const fabric::Endpoint& e) {
  return {.network = e.network,
          .network_id = e.network_id,
          .endpoint_id = e.id,
          .ip = e.ipv4.text(),
          .gateway = e.gateway.text(),
          .ip6 = e.ipv6.text(),
          .gateway6 = e.gateway6.text(),
          .mac = e.mac,
          .prefix = e.ipv4_length,
          .prefix6 = e.ipv6_length,
          .aliases = e.aliases};
}

}  // namespace

NetworkKind network_kind(const std::string& mode) {
  if (mode == "none") return NetworkKind::kNone;
  if (mode == "host") return NetworkKind::kHost;
  if (mode.starts_with("container:")) return NetworkKind::kContainer;
  return NetworkKind::kNamed;
}

Result<std::pair<std::string, std::string>> parse_link(const std::string& text) {
  const size_t colon = text.find(':');
  std::string target = text.substr(0, colon);
  std::string alias = colon == std::string::npos ? target : text.substr(colon + 1);
  if (target.starts_with('/')) target.erase(0, 1);
  if (target.empty() || alias.empty() || alias.find(':') != std::string::npos)
    return fail("bad format for links: ", text).hint("--link CONTAINER or --link CONTAINER:ALIAS");
  return std::pair(std::move(target), std::move(alias));
}

namespace {

Result<std::vector<std::pair<std::string, std::string>>> parse_links(const ContainerConfig& config) {
  std::vector<std::pair<std::string, std::string>> links;
  links.reserve(config.links.size());
  for (const std::string& link : config.links) links.push_back(TRY(parse_link(link)));
  return links;
}

// net.ipv4.conf.IFNAME.log_martians=1, several parted by commas.
Result<> parse_sysctls(std::string_view list, fabric::Texts& to) {
  for (const std::string_view one : split(list, ',')) {
    std::string_view value = one;
    const auto part = split(cut(value, '='), '.');
    const auto word = [](std::string_view text) {
      return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
    };
    const bool family = part.size() == 5 && (part[1] == "ipv4" || part[1] == "ipv6" || part[1] == "mpls");
    if (!family || part[0] != "net" || !word(part[2]) || part[3] != "IFNAME" || !word(part[4]) || value.empty())
      return fail("sysctl \"", one, "\": is not one of an interface")
          .hint("net.ipv4.conf.IFNAME.log_martians=1, with the word IFNAME for the interface's name");
    to.insert_or_assign(cat(part[1], ".", part[2], ".", part[4]), std::string(value));
  }
  return {};
}

// --driver-opt
Result<> apply_driver_options(const StringMap& options, fabric::AttachRequest& to) {
  for (const auto& [name, value] : options) {
    if (name == "com.docker.network.endpoint.ifname")
      to.interface = value;
    else if (name == "com.docker.network.endpoint.sysctls")
      TRY_CTX(parse_sysctls(value, to.sysctls), "--driver-opt ", name);
    else
      return fail("--driver-opt ", name, ": not known to driver bridge")
          .hint("com.docker.network.endpoint.ifname or com.docker.network.endpoint.sysctls");
  }
  return {};
}

}  // namespace

Result<> Networks::check(const ContainerConfig& config) const {
  for (const std::string& link : config.links) TRY(parse_link(link));
  if (network_kind(config.network_mode) != NetworkKind::kNamed) return {};
  const fabric::Fabric fabric = TRY(open_fabric(folders_));
  for (const NetworkConfig& wanted : config.networks) {
    fabric::AttachRequest unused;
    TRY(apply_driver_options(wanted.driver_options, unused));
    if (wanted.name == fabric::kDefaultNetwork) {
      if (!wanted.aliases.empty()) return fail("network-scoped aliases are only supported for user-defined networks");
      if (!wanted.ip.empty() || !wanted.ip6.empty())
        return fail("user specified IP address is supported on user defined networks only");
      continue;
    }
    auto found = fabric.network(wanted.name);
    if (!found && found.error().code() == ENOENT)
      return Failure(Error(cat("network ", wanted.name, " not found")))
          .hint(cat("`proa network create ", wanted.name, "` makes it; `proa network ls` lists those there are"));
    if (!found) return std::unexpected(found.error());
  }
  return {};
}

namespace {

// Fills state.networks and state.ports.
Result<std::vector<Fd>> attach_one(fabric::Fabric& fabric, Container& c, const NetworkConfig& wanted, pid_t pid,
                                   bool first, int gateway_priority) {
  fabric::AttachRequest request{.container = c.id,
                                .name = c.name,
                                .hostname = c.config.hostname,
                                .network = wanted.name,
                                .netns = cat("/proc/", pid, "/ns/net"),
                                .pid = pid,
                                .ipv4 = TRY(address(wanted.ip, "--ip")),
                                .ipv6 = TRY(address(wanted.ip6, "--ip6")),
                                .mac = wanted.mac.empty() && first ? c.config.mac_address : wanted.mac,
                                .aliases = wanted.aliases,
                                .dns = dns_settings(c.config),
                                .gateway_priority = gateway_priority};
  if (wanted.name != fabric::kDefaultNetwork) request.aliases.emplace_back(short_id(c.id));
  request.links = TRY(parse_links(c.config));
  for (const std::string& ip : wanted.link_local) request.link_local.push_back(TRY(address(ip, "--link-local-ip")));
  TRY(apply_driver_options(wanted.driver_options, request));
  if (first) request.ports = TRY(port_requests(c));
  fabric::Attachment made = TRY(fabric.attach(request));
  c.state.networks.push_back(to_attachment(made.endpoint));
  for (const fabric::Port& port : made.endpoint.ports)
    c.state.ports.push_back({.host_ip = port.host_ip.text(),
                             .host_port = port.host_port,
                             .container_port = port.container_port,
                             .protocol = std::string(fabric::protocol_name(port.protocol))});
  return std::move(made.reserved);
}

}  // namespace

Result<> Networks::attach(Container& c, pid_t pid, const std::string& shim_folder) const {
  fabric::Fabric fabric = TRY(open_fabric(folders_));
  std::vector<Fd> reserved;
  for (const NetworkConfig& wanted : c.config.networks)
    for (Fd& fd :
         TRY(attach_one(fabric, c, wanted, pid, c.state.networks.empty(), static_cast<int>(wanted.gateway_priority))))
      reserved.push_back(std::move(fd));
  return reserved.empty() ? Result<>() : shim_hold(shim_folder, reserved);
}

Result<> Networks::connect(Container& c, const NetworkConfig& network, int gateway_priority) const {
  fabric::Fabric fabric = TRY(open_fabric(folders_));
  const auto pid = static_cast<pid_t>(c.state.pid);
  auto made = attach_one(fabric, c, network, pid, false, gateway_priority);
  if (!made && made.error().code() == EEXIST) {
    // By a call that was killed before it could say so.
    TRY(fabric.detach(c.id, network.name));
    made = attach_one(fabric, c, network, pid, false, gateway_priority);
  }
  return made ? Result<>() : std::unexpected(std::move(made).error());
}

Result<> Networks::disconnect(Container& c, const std::string& network) const {
  fabric::Fabric fabric = TRY(open_fabric(folders_));
  const std::string name = TRY(fabric.network(network)).name;
  std::erase_if(c.state.networks, [&](const Attachment& a) { return a.network == name; });
  auto detached = fabric.detach(c.id, name);
  return detached || detached.error().code() == ENOENT ? Result<>() : detached;
}

Result<> Networks::rename(const Container& c) const {
  fabric::Fabric fabric = TRY(open_fabric(folders_));
  return fabric.rename(c.id, c.name);
}

Result<> Networks::relink(const Container& c) const {
  fabric::Fabric fabric = TRY(open_fabric(folders_));
  return fabric.set_links(c.id, TRY(parse_links(c.config)));
}

Result<> Networks::detach(const Container& c) const {
  fabric::Fabric fabric = TRY(open_fabric(folders_));
  return fabric.detach_all(c.id, fabric::Devices::kDieWithNamespace);
}

Result<> Networks::sweep() const { return TRY(open_fabric(folders_)).sweep(); }

Result<> write_network_files(const Container& c, const std::string& folder) {
  const bool host = network_kind(c.config.network_mode) == NetworkKind::kHost;
  std::string hosts_text = hosts(c);
  if (host) {
    hosts_text = kernel::read_file("/etc/hosts").value_or(hosts_text);
    for (const std::string& entry : c.config.extra_hosts) hosts_text += host_line(c, entry);
  }
  TRY(write(folder + "/hosts", hosts_text));
  TRY(write(folder + "/hostname", c.config.hostname + "\n"));
  const std::string host_text = host_resolv(host);
  const bool as_host = host && c.config.dns.empty() && c.config.dns_search.empty() && c.config.dns_options.empty();
  return write(folder + "/resolv.conf",
               as_host ? host_text : fabric::resolv_conf(host_text, dns_settings(c.config), has_resolver(c)));
}

}  // namespace proa::engine
