#include "kube/validation/names.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "kube/object/json.h"

namespace proa::kube {
namespace {

bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool upper(char c) { return c >= 'A' && c <= 'Z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool lower_alnum(char c) { return lower(c) || digit(c); }
bool alnum(char c) { return lower_alnum(c) || upper(c); }

// First and last are of `edge`, all of `edge` or `inner`.
template <typename Edge>
bool shaped(std::string_view text, Edge edge, std::string_view inner) {
  return !text.empty() && edge(text.front()) && edge(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return edge(c) || inner.find(c) != std::string_view::npos; });
}

bool subdomain(std::string_view text) {
  if (text.empty() || text.back() == '.') return false;
  std::string_view rest = text;
  while (!rest.empty())
    if (!shaped(cut(rest, '.'), lower_alnum, "-")) return false;
  return true;
}

// RegexError of apimachinery.
std::string regex_fault(std::string_view message, std::string_view regex,
                        std::initializer_list<std::string_view> examples) {
  std::string out = cat(message, " (e.g. ");
  bool first = true;
  for (const std::string_view example : examples) {
    if (!first) out += " or ";
    first = false;
    out += cat("'", example, "', ");
  }
  return cat(out, "regex used for validation is '", regex, "')");
}

std::string too_long(size_t most) { return cat("must be no more than ", most, " bytes"); }

constexpr std::string_view kLabelMessage =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character";
constexpr std::string_view kSubdomainMessage =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character";
constexpr std::string_view kSubdomainRegex = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

}  // namespace

std::string quoted(std::string_view text) {
  // Go's %q and JSON differ in what they escape.
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += cat('\\', c);
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\r')
      out += "\\r";
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      constexpr std::string_view kHex = "0123456789abcdef";
      out += cat("\\x", kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 15]);
    } else
      out += c;
  }
  return out + "\"";
}

bool is_dns_label(std::string_view text) { return text.size() <= 63 && shaped(text, lower_alnum, "-"); }
bool is_dns_subdomain(std::string_view text) { return text.size() <= 253 && subdomain(text); }

Faults dns_label_faults(std::string_view text) {
  Faults out;
  if (text.size() > 63) out.push_back(too_long(63));
  if (!shaped(text, lower_alnum, "-"))
    out.push_back(regex_fault(kLabelMessage, "[a-z0-9]([-a-z0-9]*[a-z0-9])?", {"my-name", "123-abc"}));
  return out;
}

Faults dns_subdomain_faults(std::string_view text) {
  Faults out;
  if (text.size() > 253) out.push_back(too_long(253));
  if (!subdomain(text)) out.push_back(regex_fault(kSubdomainMessage, kSubdomainRegex, {"example.com"}));
  return out;
}

Faults dns1035_label_faults(std::string_view text) {
  Faults out;
  if (text.size() > 63) out.push_back(too_long(63));
  if (!shaped(text, lower_alnum, "-") || !lower(text[0]))
    out.push_back(
        regex_fault("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
                    "alphabetic character, and end with an alphanumeric character",
                    "[a-z]([-a-z0-9]*[a-z0-9])?", {"my-name", "abc-123"}));
  return out;
}

Faults wildcard_subdomain_faults(std::string_view text) {
  if (text.size() > 253) return {too_long(253)};
  if (text.starts_with("*.") && subdomain(text.substr(2))) return {};
  return {
      regex_fault("a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
                  "consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
                  cat("\\*\\.", kSubdomainRegex), {"*.example.com"})};
}

Faults qualified_name_faults(std::string_view text) {
  Faults out;
  std::string_view name = text;
  const size_t slashes = static_cast<size_t>(std::ranges::count(text, '/'));
  constexpr std::string_view kMessage =
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
  constexpr std::string_view kRegex = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
  if (slashes > 1)
    return {cat("a qualified name ", regex_fault(kMessage, kRegex, {"MyName", "my.name", "123-abc"}),
                " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")};
  if (slashes == 1) {
    const std::string_view prefix = cut(name, '/');
    if (prefix.empty())
      out.push_back("prefix part must be non-empty");
    else
      for (const std::string& fault : dns_subdomain_faults(prefix)) out.push_back(cat("prefix part ", fault));
  }
  if (name.empty())
    out.push_back("name part must be non-empty");
  else if (name.size() > 63)
    out.push_back(cat("name part ", too_long(63)));
  if (!shaped(name, alnum, "-_."))
    out.push_back(cat("name part ", regex_fault(kMessage, kRegex, {"MyName", "my.name", "123-abc"})));
  return out;
}

Faults label_value_faults(std::string_view text) {
  Faults out;
  if (text.size() > 63) out.push_back(too_long(63));
  if (!text.empty() && !shaped(text, alnum, "-_."))
    out.push_back(
        regex_fault("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
                    "'.', and must start and end with an alphanumeric character",
                    "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", {"MyValue", "my_value", "12345"}));
  return out;
}

Faults config_map_key_faults(std::string_view text) {
  Faults out;
  if (text.size() > 253) out.push_back(too_long(253));
  if (!std::ranges::all_of(text, [](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; }) || text.empty())
    out.push_back(regex_fault("a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                              "[-._a-zA-Z0-9]+", {"key.name", "KEY_NAME", "key-name"}));
  if (text == ".")
    out.push_back("must not be '.'");
  else if (text == "..")
    out.push_back("must not be '..'");
  else if (text.starts_with(".."))
    out.push_back("must not start with '..'");
  return out;
}

// RelaxedEnvironmentVariableValidation.
Faults env_var_name_faults(std::string_view text) {
  if (text.empty()) return {"environment variable name must not be empty"};
  if (!std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f && c != '='; }))
    return {"a valid environment variable name must consist only of printable ASCII characters other than '='"};
  return {};
}

Faults port_name_faults(std::string_view text) {
  Faults out;
  if (text.size() > 15) out.push_back("must be no more than 15 characters");
  if (text.empty() || !std::ranges::all_of(text, [](char c) { return lower_alnum(c) || c == '-'; }))
    out.push_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!std::ranges::any_of(text, lower)) out.push_back("must contain at least one letter (a-z)");
  if (text.find("--") != std::string_view::npos) out.push_back("must not contain consecutive hyphens");
  if (!text.empty() && (text.front() == '-' || text.back() == '-'))
    out.push_back("must not begin or end with a hyphen");
  return out;
}

Faults path_segment_faults(std::string_view text) {
  if (text == "." || text == "..") return {cat("may not be '", text, "'")};
  Faults out;
  for (const char c : {'/', '%'})
    if (text.find(c) != std::string_view::npos) out.push_back(cat("may not contain '", c, "'"));
  return out;
}

Faults http_path_faults(std::string_view text) {
  if (!text.starts_with('/')) return {"must be an absolute path"};
  return {};
}

Faults port_number_faults(int64_t port) {
  return port >= 1 && port <= 65535 ? Faults() : Faults{"must be between 1 and 65535, inclusive"};
}

Faults percent_faults(std::string_view text) {
  const bool good =
      text.size() > 1 && text.back() == '%' && std::ranges::all_of(text.substr(0, text.size() - 1), digit);
  if (good) return {};
  return {regex_fault("a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%",
                      {"1%", "93%"})};
}

bool is_ipv6(std::string_view text) {
  in6_addr address;
  return text.find(':') != std::string_view::npos && inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

Faults ip_faults(std::string_view text) {
  in_addr address;
  if (is_ipv6(text) || inet_pton(AF_INET, std::string(text).c_str(), &address) == 1) return {};
  return {"must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"};
}

bool is_cidr(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos || !ip_faults(text.substr(0, slash)).empty()) return false;
  const auto length = parse_number<unsigned>(text.substr(slash + 1));
  return length && *length <= (is_ipv6(text.substr(0, slash)) ? 128u : 32u);
}

}  // namespace proa::kube
