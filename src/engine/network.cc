#include "engine/network.h"

#include <fcntl.h>

#include <algorithm>

#include "base/ids.h"
#include "base/text.h"
#include "kernel/file.h"

namespace proa::engine {
namespace {

// Written in place: a running container has it mounted.
Result<> write(const std::string& path, std::string_view text) {
  Fd file = TRY(kernel::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
  return kernel::write_all(file.get(), text);
}

std::string hosts(const Container& c) {
  std::string out =
      "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
  for (const std::string& entry : c.config.extra_hosts) {
    const size_t at = entry.find_first_of(":=");
    if (at != std::string::npos) out += cat(entry.substr(at + 1), "\t", entry.substr(0, at), "\n");
  }
  std::string names = c.config.hostname;
  if (!c.config.domainname.empty()) names = cat(c.config.hostname, ".", c.config.domainname, " ", c.config.hostname);
  for (const Attachment& network : c.state.networks) {
    if (!network.ip.empty()) out += cat(network.ip, "\t", names, "\n");
    if (!network.ip6.empty()) out += cat(network.ip6, "\t", names, "\n");
  }
  return out;
}

// The host's servers but those that only the host reaches.
std::string resolv(const Container& c, bool host_network) {
  const ContainerConfig& config = c.config;
  std::string out;
  std::string text = kernel::read_file("/etc/resolv.conf").value_or(std::string());
  if (text.find("nameserver 127.0.0.53") != std::string::npos && !host_network)
    if (auto real = kernel::read_file("/run/systemd/resolve/resolv.conf")) text = std::move(*real);
  std::string_view rest = text;
  bool server = false;
  while (!rest.empty()) {
    const std::string_view line = cut(rest, '\n');
    const auto words = split(line, ' ');
    if (words.size() < 2) continue;
    if (words[0] == "nameserver") {
      if (!config.dns.empty() || (!host_network && words[1].starts_with("127."))) continue;
      server = true;
    } else if ((words[0] == "search" && !config.dns_search.empty()) ||
               (words[0] == "options" && !config.dns_options.empty()) || words[0].starts_with('#')) {
      continue;
    }
    out += cat(line, "\n");
  }
  for (const std::string& address : config.dns) out += cat("nameserver ", address, "\n"), server = true;
  if (!server && network_kind(config.network_mode) == NetworkKind::kNamed)
    out += "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";
  std::string search, options;
  for (const std::string& domain : config.dns_search)
    if (domain != ".") search += " " + domain;
  for (const std::string& option : config.dns_options) options += " " + option;
  if (!search.empty()) out += cat("search", search, "\n");
  if (!options.empty()) out += cat("options", options, "\n");
  return out;
}

}  // namespace

NetworkKind network_kind(const std::string& mode) {
  if (mode == "none") return NetworkKind::kNone;
  if (mode == "host") return NetworkKind::kHost;
  if (mode.starts_with("container:")) return NetworkKind::kContainer;
  return NetworkKind::kNamed;
}

Result<> write_network_files(const Container& c, const std::string& folder) {
  const bool host = network_kind(c.config.network_mode) == NetworkKind::kHost;
  std::string hosts_text = hosts(c);
  if (host) {
    hosts_text = kernel::read_file("/etc/hosts").value_or(hosts_text);
    for (const std::string& entry : c.config.extra_hosts)
      if (const size_t at = entry.find_first_of(":="); at != std::string::npos)
        hosts_text += cat(entry.substr(at + 1), "\t", entry.substr(0, at), "\n");
  }
  TRY(write(folder + "/hosts", hosts_text));
  TRY(write(folder + "/hostname", c.config.hostname + "\n"));
  return write(folder + "/resolv.conf", resolv(c, host));
}

}  // namespace proa::engine
