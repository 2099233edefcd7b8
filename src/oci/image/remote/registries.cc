#include "oci/image/remote/registries.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/json.h"
#include "base/yaml.h"
#include "kernel/file.h"
#include "oci/image/json_fields.h"

namespace proa::oci::image::remote {
namespace {

constexpr size_t kLargestFile = 1u << 20;
constexpr size_t kMostRegistries = 1000;
constexpr size_t kMostMirrors = 100;
constexpr std::string_view kDockerHub = "docker.io";
constexpr std::string_view kDockerHubHost = "registry-1.docker.io";

bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "::1" || host.ends_with(".localhost")) return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

Result<> only_known(const Fields& fields, std::initializer_list<std::string_view> known) {
  for (const auto& member : fields.object())
    if (std::ranges::find(known, std::string_view(member.key())) == known.end())
      return fail(fields.at(member.key()), ": no such setting");
  return {};
}

Result<std::vector<Mirror>> read_mirrors(const Fields& in) {
  std::vector<Mirror> out;
  for (const Fields& each : TRY(in.list("mirrors", kMostMirrors))) {
    TRY(only_known(each, {"url", "digests-only"}));
    Mirror mirror{TRY(each.text("url")), TRY(each.flag("digests-only"))};
    const net::Url url = TRY_CTX(net::Url::parse(mirror.url), each.at("url"));
    if (url.scheme != "http" && url.scheme != "https")
      return fail(each.at("url"), ": must begin with https:// or http://");
    if (!url.user.empty() || !url.password.empty())
      return fail(each.at("url"), ": must not hold a password").hint("log in to the mirror: proa login HOST");
    out.push_back(std::move(mirror));
  }
  return out;
}

Result<HostSettings> read_host(const Fields& in) {
  TRY(only_known(in, {"insecure", "blocked", "mirrors", "ca", "client-certificate", "client-key"}));
  HostSettings out;
  out.insecure = TRY(in.flag("insecure"));
  out.blocked = TRY(in.flag("blocked"));
  out.mirrors = TRY(read_mirrors(in));
  if (const std::string ca = TRY(in.text("ca")); !ca.empty())
    out.ca_pem = TRY_CTX(kernel::read_file(ca.c_str(), kLargestFile), in.at("ca"));
  out.certificate_file = TRY(in.text("client-certificate"));
  out.key_file = TRY(in.text("client-key"));
  if (out.certificate_file.empty() != out.key_file.empty())
    return fail(in.at("client-certificate"), " and ", in.at("client-key"), ": must be given together");
  return out;
}

// Authorities and the client's certificate of a certs.d folder.
Result<> add_certificates(const std::string& folder, HostSettings& settings) {
  auto names = kernel::names_in(folder);
  // A folder that may not be read is as if there were none, as for Docker's users without root's rights.
  if (!names) return names.error().code() == EACCES ? Result<>() : std::unexpected(names.error());
  std::ranges::sort(*names);
  for (const std::string& name : *names) {
    const std::string path = cat(folder, "/", name);
    if (name.ends_with(".crt")) {
      settings.ca_pem += TRY(kernel::read_file(path.c_str(), kLargestFile));
      settings.ca_pem += '\n';
    }
    if (!name.ends_with(".cert") || !settings.certificate_file.empty()) continue;
    std::string key = cat(path.substr(0, path.size() - 5), ".key");
    if (!kernel::path_exists(key.c_str())) return fail(path, ": has no ", key, " beside it");
    settings.certificate_file = path;
    settings.key_file = std::move(key);
  }
  return {};
}

Result<net::Url> mirror_base(const std::string& text, bool as_it_is) {
  net::Url url = TRY(net::Url::parse(text));
  while (url.path.ends_with('/')) url.path.pop_back();
  if (!as_it_is && url.path != "/v2" && !url.path.starts_with("/v2/")) url.path += "/v2";
  url.query.clear();
  return url;
}

std::string user_file() {
  if (::geteuid() == 0) return {};
  if (const char* config = std::getenv("XDG_CONFIG_HOME"); config != nullptr && *config == '/')
    return cat(config, "/proa/registries.yaml");
  const char* home = std::getenv("HOME");
  return home == nullptr || *home != '/' ? std::string() : cat(home, "/.config/proa/registries.yaml");
}

}  // namespace

std::string registries_file() {
  if (const char* file = std::getenv("PROA_REGISTRIES"); file != nullptr && *file != '\0') return file;
  return "/etc/proa/registries.yaml";
}

std::string Endpoint::text() const {
  if (mirror) return cat("mirror ", base.origin());
  return domain;
}

Result<Registries> Registries::parse(std::string_view text) {
  if (text.size() > kLargestFile) return fail("more than ", kLargestFile, " bytes");
  const boost::json::value document = TRY(yaml::parse(text, {.max_bytes = kLargestFile, .max_alias_nodes = 4096}));
  Registries out;
  if (document.is_null()) return out;
  const Fields top = TRY(Fields::of(document, ""));
  TRY(only_known(top, {"registries"}));
  const auto registries = TRY(top.fields("registries"));
  if (!registries) return out;
  if (registries->object().size() > kMostRegistries) return fail("registries: more than ", kMostRegistries);
  for (const auto& member : registries->object()) {
    const std::string name(member.key());
    const auto host = TRY(registries->fields(name));
    if (name.empty() || name.find_first_of("/ \t") != std::string::npos)
      return fail("registries: \"", name, "\" is no HOST[:PORT]");
    if (host) out.hosts_.emplace(name, TRY(read_host(*host)));
  }
  return out;
}

Result<Registries> Registries::load() {
  const char* given = std::getenv("PROA_REGISTRIES");
  const bool named = given != nullptr && *given != '\0';
  std::string file = registries_file();
  if (const std::string own = user_file(); !named && !own.empty() && kernel::path_exists(own.c_str())) file = own;
  const auto text = kernel::read_file(file.c_str(), kLargestFile);
  if (!text && text.error().code() == ENOENT && !named) return Registries();
  if (!text) return std::unexpected(text.error());
  return TRY_CTX(parse(*text), file);
}

const HostSettings* Registries::named(const std::string& domain) const {
  const auto own = hosts_.find(domain);
  return own == hosts_.end() ? nullptr : &own->second;
}

bool Registries::is_insecure(const std::string& domain) const {
  const HostSettings* own = named(domain);
  return insecure_.contains(domain) || (own != nullptr && own->insecure);
}

Result<HostSettings> Registries::settings(const std::string& authority) const {
  HostSettings out;
  if (const HostSettings* own = named(authority); own != nullptr) out = *own;
  out.insecure = is_insecure(authority);
  for (const std::string& folder : folders_) {
    const std::string path = cat(folder, "/", authority);
    if (authority.find('/') == std::string::npos && kernel::path_exists(path.c_str())) TRY(add_certificates(path, out));
  }
  return out;
}

Result<HostSettings> Registries::settings(const Endpoint& endpoint) const {
  HostSettings out = TRY(settings(endpoint.base.authority()));
  if (endpoint.own == nullptr) return out;
  out.insecure |= endpoint.own->insecure;
  out.ca_pem += endpoint.own->ca_pem;
  if (!endpoint.own->certificate_file.empty()) {
    out.certificate_file = endpoint.own->certificate_file;
    out.key_file = endpoint.own->key_file;
  }
  out.connect_timeout_ms = endpoint.own->connect_timeout_ms;
  return out;
}

Result<std::optional<HostsFile>> Registries::hosts_file(const std::string& domain) const {
  for (const std::string& folder : hosts_folders_)
    for (const std::string& name : hosts_folder_names(domain)) {
      const std::string home = cat(folder, "/", name), path = home + "/hosts.toml";
      const auto text = kernel::read_file(path.c_str(), kLargestFile);
      if (text) return TRY_CTX(parse_hosts(*text, home), path);
      const int code = text.error().code();
      if (code != ENOENT && code != EACCES && code != ENOTDIR) return std::unexpected(text.error());
    }
  return std::nullopt;
}

// A server of hosts.toml.
Result<Endpoint> Registries::listed(const std::string& domain, const HostsEntry& entry) const {
  Endpoint out;
  out.domain = domain;
  out.base = TRY(mirror_base(entry.url, entry.override_path));
  out.capabilities = entry.capabilities;
  HostSettings own{.insecure = entry.skip_verify};
  for (const std::string& file : entry.authority_files)
    own.ca_pem += TRY_CTX(kernel::read_file(file.c_str(), kLargestFile), "ca") + "\n";
  own.certificate_file = entry.certificate_file;
  own.key_file = entry.key_file;
  own.headers = entry.headers;
  own.connect_timeout_ms = entry.connect_timeout_ms;
  out.own = std::make_shared<const HostSettings>(std::move(own));
  return out;
}

Result<Endpoint> Registries::upstream(const std::string& domain, const HostsEntry* server) const {
  if (const HostSettings* own = named(domain); own != nullptr && own->blocked)
    return fail_errno(EACCES, "registry ", domain, ": is blocked").hint(cat("by ", registries_file()));
  const std::string usual = cat("https://", domain == kDockerHub ? kDockerHubHost : domain);
  Endpoint out;
  if (server != nullptr) {
    HostsEntry entry = *server;
    if (entry.url.empty()) entry.url = usual;
    out = TRY_CTX(listed(domain, entry), "registry ", domain);
    out.foreign = !server->url.empty() && out.base.authority() != TRY(net::Url::parse(usual)).authority();
    // It says how it is to be spoken to, where it says where it is.
    out.loopback = server->url.empty() && is_loopback(out.base.host);
  } else {
    out.domain = domain;
    out.base = TRY_CTX(net::Url::parse(usual), "registry ", domain);
    out.base.path = "/v2";
    out.loopback = is_loopback(out.base.host);
  }
  out.open_scheme = out.loopback || is_insecure(domain);
  return out;
}

Result<Endpoint> Registries::endpoint(const std::string& domain) const {
  return std::move(TRY(endpoints(domain)).back());
}

Result<std::vector<Endpoint>> Registries::endpoints(const std::string& domain) const {
  std::vector<Endpoint> out;
  if (const HostSettings* own = named(domain); own != nullptr) {
    for (const Mirror& mirror : own->mirrors) {
      Endpoint& each = out.emplace_back();
      each.domain = domain;
      each.base = TRY_CTX(mirror_base(mirror.url, false), "mirror of ", domain);
      each.mirror = each.foreign = true;
      each.capabilities = {.pull = true, .resolve = !mirror.digests_only, .push = false};
    }
    out.push_back(TRY(upstream(domain, nullptr)));
    return out;
  }
  const auto file = TRY_CTX(hosts_file(domain), "registry ", domain);
  if (file)
    for (const HostsEntry& entry : file->hosts) {
      Endpoint& each = out.emplace_back(TRY_CTX(listed(domain, entry), "registry ", domain, ": ", entry.url));
      each.mirror = each.foreign = true;
    }
  out.push_back(TRY(upstream(domain, file ? &file->server : nullptr)));
  return out;
}

}  // namespace proa::oci::image::remote
