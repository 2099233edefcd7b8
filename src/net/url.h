// URLs (RFC 3986) as HTTP has them, percent-encoding and query strings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace proa::net {

// An absolute URL of a host, or of a unix socket: "unix:///run/x.sock" has the socket's path as its path.
struct Url {
  std::string scheme;  // lower case
  std::string user;    // decoded, like the password
  std::string password;
  std::string host;   // lower case; an IPv6 address without brackets
  uint16_t port = 0;  // the scheme's own when none is given; 0 when it has none
  std::string path;   // as given, percent-encoded; at least "/"
  std::string query;  // without the question mark

  // Errors name the part. Fragments are dropped. Spaces and control characters are refused.
  static Result<Url> parse(std::string_view text);
  // What a Location header or a link means when found in the answer to this URL (RFC 3986, 5.2).
  Result<Url> resolve(std::string_view reference) const;

  bool is_tls() const { return scheme == "https" || scheme == "wss"; }
  // "host:port" with the brackets IPv6 needs; the scheme's own port is left out.
  std::string authority() const;
  // "https://host:port": what may share a connection and credentials.
  std::string origin() const;
  // Path and query: the request target.
  std::string target() const;
  // The whole without the password.
  std::string text() const;
};

// Splits "host:port", "[v6]:port", "host"; nothing when it is neither.
struct HostPort {
  std::string host;
  uint16_t port = 0;  // 0: none was given
};
std::optional<HostPort> parse_host_port(std::string_view text);
// With brackets if it is an IPv6 address, and the port if it is not 0.
std::string join_host_port(std::string_view host, uint16_t port);

// Everything but letters, digits and - . _ ~ becomes %XX; those in `also` stay too ("/" for paths).
std::string percent_encode(std::string_view text, std::string_view also = {});
// Nothing when a % is not followed by two hex digits. Plus signs are themselves.
std::optional<std::string> percent_decode(std::string_view text);

// A query's parameters in order, decoded; "+" is a space. What is not well encoded stays as it is.
class Query {
 public:
  Query() = default;
  explicit Query(std::string_view query);

  std::optional<std::string_view> find(std::string_view name) const;
  std::string_view get(std::string_view name) const { return find(name).value_or(std::string_view()); }
  bool contains(std::string_view name) const { return find(name).has_value(); }
  std::vector<std::string_view> all(std::string_view name) const;
  void add(std::string_view name, std::string_view value) { parameters_.emplace_back(name, value); }
  // Encoded, without a question mark.
  std::string text() const;
  const std::vector<std::pair<std::string, std::string>>& parameters() const { return parameters_; }

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};

}  // namespace proa::net
