// The forms of names in the API: DNS labels and subdomains, label keys and values, and what is said of those that are
// not. Each function gives the faults of a text, worded as upstream words them; none when it is well-formed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace proa::kube {

using Faults = std::vector<std::string>;

Faults dns_label_faults(std::string_view text);      // RFC 1123, at most 63
Faults dns_subdomain_faults(std::string_view text);  // RFC 1123, at most 253
Faults dns1035_label_faults(std::string_view text);  // begins with a letter
Faults wildcard_subdomain_faults(std::string_view text);
Faults qualified_name_faults(std::string_view text);  // "[prefix/]name", of labels, annotations, finalizers
Faults label_value_faults(std::string_view text);
Faults config_map_key_faults(std::string_view text);
Faults env_var_name_faults(std::string_view text);
Faults port_name_faults(std::string_view text);     // IANA_SVC_NAME
Faults path_segment_faults(std::string_view text);  // names of RBAC objects
Faults http_path_faults(std::string_view text);
// A port number or a percentage.
Faults port_number_faults(int64_t port);
Faults percent_faults(std::string_view text);
Faults ip_faults(std::string_view text);
bool is_ipv6(std::string_view text);
// An address and a prefix length.
bool is_cidr(std::string_view text);
bool is_dns_label(std::string_view text);
bool is_dns_subdomain(std::string_view text);

// As Go's %q prints it.
std::string quoted(std::string_view text);

}  // namespace proa::kube
