#include "net/url.h"

#include <algorithm>

#include "base/text.h"
#include "net/headers.h"

namespace proa::net {

namespace {

constexpr size_t kMaxUrl = 64 << 10;
constexpr size_t kMaxParameters = 4096;

bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_unreserved(char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

uint16_t default_port(std::string_view scheme) {
  if (scheme == "http" || scheme == "ws") return 80;
  if (scheme == "https" || scheme == "wss") return 443;
  return 0;
}

bool valid_scheme(std::string_view scheme) {
  return !scheme.empty() && is_alpha(scheme[0]) && std::ranges::all_of(scheme, [](char c) {
    return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
  });
}

// Registered names, IPv4, and the inside of IPv6 brackets.
bool valid_host(std::string_view host, bool bracketed) {
  if (host.empty()) return false;
  if (bracketed)
    return host.find(':') != std::string_view::npos &&
           std::ranges::all_of(host, [](char c) { return hex_value(c) >= 0 || c == ':' || c == '.'; });
  return std::ranges::all_of(host, [](char c) { return is_unreserved(c) || static_cast<unsigned char>(c) >= 0x80; });
}

Result<> parse_authority(std::string_view text, Url& url) {
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    std::string_view password = text.substr(0, at);
    const std::string_view user = cut(password, ':');
    auto decoded_user = percent_decode(user);
    auto decoded_password = percent_decode(password);
    if (!decoded_user || !decoded_password) return fail("user information is not well encoded");
    url.user = std::move(*decoded_user);
    url.password = std::move(*decoded_password);
    text.remove_prefix(at + 1);
  }
  auto place = parse_host_port(text);
  if (!place) return fail("\"", text, "\" is not a host with an optional port");
  url.host = std::move(place->host);
  url.port = place->port ? place->port : default_port(url.scheme);
  return {};
}

// Dot segments out (RFC 3986, 5.2.4), empty segments kept.
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  bool folder = false;
  for (std::string_view rest = path.substr(path.starts_with('/') ? 1 : 0);;) {
    const size_t at = rest.find('/');
    const std::string_view segment = rest.substr(0, at);
    folder = segment == "." || segment == "..";
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (segment != ".") {
      kept.push_back(segment);
    }
    if (at == std::string_view::npos) break;
    rest.remove_prefix(at + 1);
  }
  std::string out;
  for (const std::string_view segment : kept) out.append("/").append(segment);
  if (folder || out.empty()) out += '/';
  return out;
}

}  // namespace

std::optional<HostPort> parse_host_port(std::string_view text) {
  HostPort out;
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    has_port = port.starts_with(':');
    if (!port.empty() && !has_port) return std::nullopt;
    if (!valid_host(host, true)) return std::nullopt;
  } else {
    const size_t colon = text.rfind(':');
    has_port = colon != std::string_view::npos;
    host = text.substr(0, colon);
    if (has_port) port = text.substr(colon);
    if (!valid_host(host, false)) return std::nullopt;
  }
  if (has_port) {
    const auto number = parse_number<uint16_t>(port.substr(1));
    if (!number || *number == 0) return std::nullopt;
    out.port = *number;
  }
  out.host = ascii_lower(host);
  return out;
}

std::string join_host_port(std::string_view host, uint16_t port) {
  std::string out = host.find(':') == std::string_view::npos ? std::string(host) : cat("[", host, "]");
  if (port) out += cat(":", port);
  return out;
}

Result<Url> Url::parse(std::string_view text) {
  if (text.size() > kMaxUrl) return fail("URL: longer than ", kMaxUrl, " characters");
  if (std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; }))
    return fail("URL: holds a space or control character");
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos || !valid_scheme(text.substr(0, colon)))
    return fail("URL ", text, ": does not begin with a scheme such as https://");
  Url url;
  url.scheme = ascii_lower(text.substr(0, colon));
  std::string_view rest = text.substr(colon + 3);
  rest = rest.substr(0, rest.find('#'));
  const size_t end = rest.find_first_of("/?");
  if (url.scheme != "unix") {
    TRY_CTX(parse_authority(rest.substr(0, end), url), "URL ", text.substr(0, colon), "://…");
  } else if (end != 0) {
    return fail("URL ", text, ": a unix socket's path begins with /");
  }
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  url.path = rest.starts_with('/') ? std::string(cut(rest, '?')) : (cut(rest, '?'), "/");
  url.query = rest;
  return url;
}

Result<Url> Url::resolve(std::string_view reference) const {
  reference = reference.substr(0, reference.find('#'));
  const size_t colon = reference.find(':');
  if (colon != std::string_view::npos && valid_scheme(reference.substr(0, colon)) &&
      colon < reference.find_first_of("/?"))
    return parse(reference);
  if (reference.starts_with("//")) return parse(cat(scheme, ":", reference));
  Url url = *this;
  if (reference.empty()) return url;
  std::string_view query_part = reference;
  const std::string_view path_part = cut(query_part, '?');
  url.query = query_part;
  if (path_part.starts_with('/')) {
    url.path = without_dots(path_part);
  } else if (!path_part.empty()) {
    url.path = without_dots(cat(path.substr(0, path.rfind('/') + 1), path_part));
  }
  // Once more as a whole, for its checks.
  return parse(cat(url.origin(), url.target()));
}

std::string Url::authority() const { return join_host_port(host, port == default_port(scheme) ? 0 : port); }
std::string Url::origin() const { return cat(scheme, "://", authority()); }
std::string Url::target() const { return query.empty() ? path : cat(path, "?", query); }
std::string Url::text() const {
  return cat(scheme, "://", user.empty() ? "" : cat(percent_encode(user), "@"), authority(), target());
}

std::string percent_encode(std::string_view text, std::string_view also) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (is_unreserved(c) || also.find(c) != std::string_view::npos) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.append({'%', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
  return out;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

Query::Query(std::string_view query) {
  const auto decode = [](std::string_view text) {
    std::string plain(text);
    std::ranges::replace(plain, '+', ' ');
    return percent_decode(plain).value_or(plain);
  };
  while (!query.empty() && parameters_.size() < kMaxParameters) {
    std::string_view value = cut(query, '&');
    if (value.empty()) continue;
    const std::string_view name = cut(value, '=');
    parameters_.emplace_back(decode(name), decode(value));
  }
}

std::optional<std::string_view> Query::find(std::string_view name) const {
  for (const auto& [key, value] : parameters_)
    if (key == name) return value;
  return std::nullopt;
}

std::vector<std::string_view> Query::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : parameters_)
    if (key == name) values.push_back(value);
  return values;
}

std::string Query::text() const {
  std::string out;
  for (const auto& [key, value] : parameters_) {
    if (!out.empty()) out += '&';
    out.append(percent_encode(key)).append("=").append(percent_encode(value));
  }
  return out;
}

}  // namespace proa::net
