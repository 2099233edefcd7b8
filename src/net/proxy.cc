#include "net/proxy.h"

#include <arpa/inet.h>

#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "net/headers.h"

namespace proa::net {

namespace {

std::string variable(const char* lower, const char* upper) {
  const char* value = getenv(lower);
  if (!value || !*value) value = getenv(upper);
  return value ? value : "";
}

struct Address {
  unsigned char bytes[16];
  size_t size = 0;
};

Address address_of(std::string_view text) {
  Address address{};
  const std::string name(text);
  if (inet_pton(AF_INET, name.c_str(), address.bytes) == 1)
    address.size = 4;
  else if (inet_pton(AF_INET6, name.c_str(), address.bytes) == 1)
    address.size = 16;
  return address;
}

bool in_network(const Address& address, std::string_view network) {
  std::string_view bits = network;
  const Address base = address_of(cut(bits, '/'));
  const auto length = parse_number<unsigned>(bits);
  if (!length || base.size != address.size || *length > base.size * 8) return false;
  const size_t whole = *length / 8;
  if (std::memcmp(base.bytes, address.bytes, whole) != 0) return false;
  const unsigned rest = *length % 8;
  return rest == 0 || (base.bytes[whole] ^ address.bytes[whole]) >> (8 - rest) == 0;
}

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  const Address address = address_of(host);
  return (address.size == 4 && address.bytes[0] == 127) || host == "::1";
}

bool entry_matches(std::string_view entry, std::string_view host, const Address& address, uint16_t port) {
  if (entry == "*") return true;
  if (address.size && entry.find('/') != std::string_view::npos) return in_network(address, entry);
  const Address whole = address_of(entry);  // an IPv6 address has colons, but no port
  if (!whole.size) {
    if (const auto place = parse_host_port(entry); place && place->port) {
      if (place->port != port) return false;
      entry = entry.substr(0, entry.rfind(':'));
    }
    if (entry.starts_with('[') && entry.ends_with(']')) entry = entry.substr(1, entry.size() - 2);
  }
  if (address.size) {
    const Address other = address_of(entry);
    return other.size == address.size && std::memcmp(other.bytes, address.bytes, other.size) == 0;
  }
  if (entry.starts_with("*.")) entry.remove_prefix(1);
  const bool below_only = entry.starts_with('.');
  if (!below_only && equals_ignoring_case(entry, host)) return true;
  const std::string_view name = below_only ? entry.substr(1) : entry;
  return !name.empty() && host.size() > name.size() && host[host.size() - name.size() - 1] == '.' &&
         equals_ignoring_case(host.substr(host.size() - name.size()), name);
}

}  // namespace

ProxySettings ProxySettings::from_environment() {
  ProxySettings settings;
  settings.http = variable("http_proxy", getenv("REQUEST_METHOD") ? "http_proxy" : "HTTP_PROXY");
  settings.https = variable("https_proxy", "HTTPS_PROXY");
  settings.none = variable("no_proxy", "NO_PROXY");
  return settings;
}

bool excepted(std::string_view list, std::string_view host, uint16_t port) {
  const Address address = address_of(host);
  while (!list.empty()) {
    const std::string_view entry = trimmed(cut(list, ','));
    if (!entry.empty() && entry_matches(entry, host, address, port)) return true;
  }
  return false;
}

Result<std::optional<Url>> proxy_for(const Url& url, const ProxySettings& settings) {
  const std::string& proxy = url.is_tls() ? settings.https : settings.http;
  if (proxy.empty() || url.scheme == "unix" || is_loopback(url.host) || excepted(settings.none, url.host, url.port))
    return std::optional<Url>();
  const std::string text = proxy.find("://") == std::string::npos ? cat("http://", proxy) : proxy;
  Url parsed = TRY_CTX(Url::parse(text), "proxy");
  if (parsed.scheme != "http") return fail("proxy ", parsed.text(), ": only http:// proxies are supported");
  return std::optional<Url>(std::move(parsed));
}

}  // namespace proa::net
