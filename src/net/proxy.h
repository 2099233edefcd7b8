// Which proxy a request goes through, by the environment variables that all clients share.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/url.h"

namespace proa::net {

struct ProxySettings {
  std::string http;   // HTTP_PROXY
  std::string https;  // HTTPS_PROXY
  std::string none;   // NO_PROXY

  // Lower-case names win. HTTP_PROXY in capitals is not heeded where REQUEST_METHOD is set: there a client may have
  // put it (CGI).
  static ProxySettings from_environment();
};

// The proxy for this URL; nothing when it is reached directly, as this machine itself always is.
Result<std::optional<Url>> proxy_for(const Url& url, const ProxySettings& settings);
// Whether a NO_PROXY list has this host: "*", names with all below them, ".names" likewise, addresses, networks
// ("10.0.0.0/8"), each with an optional port.
bool excepted(std::string_view list, std::string_view host, uint16_t port);

}  // namespace proa::net
