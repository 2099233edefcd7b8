// /etc/hosts and /etc/resolv.conf of a container.
#include <algorithm>

#include "base/text.h"
#include "fabric/fabric.h"

namespace proa::fabric {
namespace {

struct ResolvConf {
  std::vector<std::string> servers, search, options;
};

ResolvConf parse_resolv_conf(std::string_view text) {
  ResolvConf conf;
  while (!text.empty()) {
    std::string line(cut(text, '\n'));
    line.resize(std::min({line.find('#'), line.find(';'), line.size()}));
    std::ranges::replace(line, '\t', ' ');
    const std::vector<std::string_view> words = split(line, ' ');
    if (words.size() < 2) continue;
    if (words[0] == "nameserver") conf.servers.emplace_back(words[1]);
    if (words[0] == "options") conf.options.insert(conf.options.end(), words.begin() + 1, words.end());
    if (words[0] == "search" || words[0] == "domain") conf.search.assign(words.begin() + 1, words.end());
  }
  return conf;
}

bool reachable_from_container(const std::string& server) {
  const Result<Ip> ip = Ip::parse(server.substr(0, server.find('%')));
  return ip && !ip->loopback();
}

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += cat(" ", word);
  return line;
}

}  // namespace

std::string hosts_file(const std::vector<HostsEntry>& entries) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::\tip6-localnet\n"
      "ff00::\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  for (const HostsEntry& entry : entries)
    if (!entry.names.empty()) text += cat(entry.ip, "\t", joined(entry.names).substr(1), "\n");
  return text;
}

std::string resolv_conf(std::string_view host_text, const DnsSettings& settings, bool embedded) {
  ResolvConf conf = parse_resolv_conf(host_text);
  std::erase_if(conf.servers, [](const std::string& server) { return !reachable_from_container(server); });
  if (!settings.servers.empty()) conf.servers = settings.servers;
  if (!settings.search.empty()) conf.search = settings.search;
  if (!settings.options.empty()) conf.options = settings.options;
  if (settings.search == std::vector<std::string>{"."}) conf.search.clear();
  if (embedded) conf.servers = {std::string(kResolverAddress)};
  const bool has_ndots = std::ranges::any_of(conf.options, [](const auto& o) { return o.starts_with("ndots:"); });
  if (embedded && !has_ndots) conf.options.emplace_back("ndots:0");
  std::string text;
  for (const std::string& server : conf.servers) text += cat("nameserver ", server, "\n");
  if (!conf.search.empty()) text += cat("search", joined(conf.search), "\n");
  if (!conf.options.empty()) text += cat("options", joined(conf.options), "\n");
  return text;
}

}  // namespace proa::fabric
